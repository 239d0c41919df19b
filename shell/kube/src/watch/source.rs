//! The requests behind a watch: one complete list, and the changes from a version on.

use std::fmt;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use kube::Resource;
use kube::core::WatchEvent;
use kube::core::params::{ListParams, WatchParams};
use kube::core::request::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use subm_types::Problem;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::{Event, Unreadable, Watch};
use crate::request::{ANSWER, action, requests, resource};
use crate::{Action, ApiError, Key};

/// How long the server lets a watch live; then everything is listed anew, which also shows a hub that was emptied
/// or restored behind a connection that did not break.
const LIFE: u32 = 240;
/// A watch that says nothing for so long beyond its life is dead.
const OVERDUE: Duration = Duration::from_secs(10);
/// A watch that breaks earlier than this counts as a failure.
const SOON: Duration = Duration::from_secs(5);
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LAST_DELAY: Duration = Duration::from_secs(2);
const PAGE: u32 = 500;

pub(crate) type Changes = BoxStream<'static, kube::Result<WatchEvent<Value>>>;

/// What a running watch says.
pub(crate) enum Heard<E> {
    /// A change.
    News(E),
    /// That it is alive.
    Nothing,
    /// That everything must be listed anew.
    Over,
    /// That it goes on no more, and why.
    Refused(ApiError),
}

impl<E> Heard<E> {
    /// Says the same of something else.
    pub(crate) fn map<F>(self, into: impl FnOnce(E) -> F) -> Heard<F> {
        match self {
            Self::News(event) => Heard::News(into(event)),
            Self::Nothing => Heard::Nothing,
            Self::Over => Heard::Over,
            Self::Refused(error) => Heard::Refused(error),
        }
    }
}

/// How long to wait before the next list: nothing at first, from 100 ms to 2 s after failures.
#[derive(Debug, Default)]
pub(crate) struct Backoff(u32);

impl Backoff {
    pub(crate) async fn rest(&self) {
        if let Some(doublings) = self.0.checked_sub(1) {
            sleep((FIRST_DELAY * (1 << doublings.min(10))).min(LAST_DELAY)).await;
        }
    }

    pub(crate) const fn failed(&mut self) {
        self.0 = self.0.saturating_add(1);
    }

    pub(crate) const fn heard(&mut self) {
        self.0 = 0;
    }

    /// A watch that ends soon and often is a failure, one that ends in time is none.
    pub(crate) fn over(&mut self, since: Instant) {
        self.0 = if since.elapsed() > SOON { 0 } else { self.0.saturating_add(1) };
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMeta,
    // Go writes an empty list as null.
    #[serde(default)]
    items: Option<Vec<Value>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PageMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    continue_token: Option<String>,
}

impl<K> Watch<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + fmt::Debug + Send + 'static,
{
    /// The complete list as a snapshot, and the version that it has.
    pub(crate) async fn list(&self) -> Result<(Event<K>, String), ApiError> {
        let (mut objects, mut unreadable, mut from) = (Vec::new(), Vec::new(), None);
        loop {
            let params = ListParams {
                label_selector: self.labels.clone(),
                field_selector: self.fields.clone(),
                limit: Some(PAGE),
                continue_token: from,
                ..ListParams::default()
            };
            let page: Page = self.connection.ask(self.action("list"), self.request().list(&params)).await?;
            for item in page.items.unwrap_or_default() {
                match self.read(item) {
                    Ok(object) => objects.push(object),
                    Err(of) => unreadable.push(*of),
                }
            }
            from = page.metadata.continue_token.filter(|token| !token.is_empty());
            if from.is_none() {
                return Ok((Event::Snapshot { objects, unreadable }, page.metadata.resource_version));
            }
        }
    }

    /// The changes from a version on; `None` when the server no longer knows them.
    pub(crate) async fn follow(&self, version: &str) -> Result<Option<Changes>, ApiError> {
        let params = WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            timeout: Some(LIFE),
            bookmarks: true,
            ..WatchParams::default()
        };
        let request = self.connection.built(&self.action("watch"), self.request().watch(&params, version))?;
        match timeout(ANSWER, self.connection.client.request_events::<Value>(request)).await {
            Ok(Ok(stream)) => Ok(Some(stream.boxed())),
            Ok(Err(kube::Error::Api(status))) if status.code == 410 => Ok(None),
            Ok(Err(error)) => Err(self.error("watch", &error)),
            Err(_) => Err(self.connection.silent(self.action("watch"))),
        }
    }

    /// Waits for the next that a running watch says.
    pub(crate) async fn hear(&self, changes: &mut Changes) -> Heard<Event<K>> {
        let overdue = Duration::from_secs(u64::from(LIFE)) + OVERDUE;
        match timeout(overdue, changes.next()).await {
            Ok(Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)))) => {
                Heard::News(self.read(object).map_or_else(|of| Event::Unreadable(*of), Event::Applied))
            }
            Ok(Some(Ok(WatchEvent::Deleted(object)))) => Heard::News(Event::Deleted(Key::of_value(&object))),
            Ok(Some(Ok(WatchEvent::Bookmark(_)))) => Heard::Nothing,
            Ok(Some(Ok(WatchEvent::Error(status)))) if status.code == 410 => Heard::Over,
            Ok(Some(Ok(WatchEvent::Error(status)))) => {
                Heard::Refused(ApiError::refused(&self.connection.server, self.action("watch"), &status))
            }
            Ok(Some(Err(error))) => {
                let error = self.error("watch", &error);
                debug!(%error, "watch broke, listing anew");
                Heard::Over
            }
            Ok(None) | Err(_) => Heard::Over,
        }
    }

    fn read(&self, object: Value) -> Result<K, Box<Unreadable>> {
        let key = Key::of_value(&object);
        let mut object: K = serde_json::from_value(object).map_err(|cause| {
            let problem = Problem {
                reason: "MalformedObject",
                object: format!("{} {key}", K::kind(&())),
                field: String::new(),
                what: cause.to_string(),
                remedy: "write the object again as its kind defines it, or delete it".to_owned(),
            };
            Box::new(Unreadable { key, problem })
        })?;
        object.meta_mut().managed_fields = None;
        (self.trim)(&mut object);
        Ok(object)
    }

    fn action(&self, verb: &'static str) -> Action {
        action::<K>(verb, &Key::new(self.namespace.clone().unwrap_or_default(), ""))
    }

    fn error(&self, verb: &'static str, error: &kube::Error) -> ApiError {
        ApiError::sort(&self.connection.server, self.action(verb), error)
    }

    fn request(&self) -> Request {
        requests::<K>(self.namespace.as_deref().unwrap_or_default())
    }
}

impl<K: Resource<DynamicType = ()>> fmt::Display for Watch<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", resource::<K>(), self.connection.server)
    }
}
