//! Watches: a complete list first, then every change, whatever happens to the connection.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use kube::Resource;
use kube::core::params::{ListParams, WatchParams};
use kube::core::request::Request;
use kube::core::{Status, WatchEvent};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use subm_types::Problem;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::request::{ANSWER, action, requests};
use crate::{Action, ApiError, Connection, Key};

/// How long the server lets a watch live; then everything is listed anew, which also shows a hub that was emptied
/// or restored behind a connection that did not break.
const LIFE: u32 = 240;
/// A watch that is not ended by then is dead.
const OVERDUE: Duration = Duration::from_secs(10);
/// A watch that breaks earlier than this counts as a failure.
const SOON: Duration = Duration::from_secs(5);
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LAST_DELAY: Duration = Duration::from_secs(2);
const PAGE: u32 = 500;

/// What a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<K> {
    /// The complete list: what is not in it is gone.
    Snapshot {
        /// All objects that could be read.
        objects: Vec<K>,
        /// All others.
        unreadable: Vec<Unreadable>,
    },
    /// An object was made or changed.
    Applied(K),
    /// An object was made or changed and cannot be read.
    Unreadable(Unreadable),
    /// An object is gone.
    Deleted(Key),
    /// The server cannot be watched. What was known stands; a [`Event::Snapshot`] ends this.
    Unavailable(ApiError),
}

impl<K> Event<K> {
    /// Tells whether the server said this.
    pub const fn is_contact(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }
}

/// An object that its kind's type does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Which.
    pub key: Key,
    /// Why.
    pub problem: Problem,
}

/// What to watch.
#[derive(Debug)]
pub struct Watch<K> {
    connection: Connection,
    namespace: Option<String>,
    labels: Option<String>,
    fields: Option<String>,
    trim: fn(&mut K),
    kind: PhantomData<fn() -> K>,
}

impl<K> Watch<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Debug + Send + 'static,
{
    /// All objects of a kind in the connection's namespace.
    pub fn namespaced(connection: &Connection) -> Self {
        Self { namespace: Some(connection.namespace.clone()), ..Self::all(connection) }
    }

    /// All objects of a kind in all namespaces, or of a kind that has none.
    pub fn all(connection: &Connection) -> Self {
        Self {
            connection: connection.clone(),
            namespace: None,
            labels: None,
            fields: None,
            trim: |_| {},
            kind: PhantomData,
        }
    }

    /// Only those that this label selector takes.
    #[must_use]
    pub fn labels(mut self, selector: &str) -> Self {
        self.labels = Some(selector.to_owned());
        self
    }

    /// Only those that this field selector takes.
    #[must_use]
    pub fn fields(mut self, selector: &str) -> Self {
        self.fields = Some(selector.to_owned());
        self
    }

    /// Forgets what nobody needs of each object, before it is kept. Managed fields are always forgotten.
    #[must_use]
    pub fn trim(mut self, trim: fn(&mut K)) -> Self {
        self.trim = trim;
        self
    }

    /// The events. The stream never ends.
    pub fn events(self) -> impl Stream<Item = Event<K>> + Send {
        let start = Running { watch: self, state: State::Empty, failures: 0, reachable: true };
        futures::stream::unfold(start, |mut running| async move {
            let event = running.next().await;
            Some((event, running))
        })
    }

    /// Sends every event to an application's loop until that has ended.
    pub async fn forward<I>(self, to: mpsc::Sender<I>, into: impl Fn(Event<K>) -> I + Send)
    where
        I: Send,
    {
        let mut events = std::pin::pin!(self.events());
        while let Some(event) = events.next().await {
            if to.send(into(event)).await.is_err() {
                return;
            }
        }
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

    fn read(&self, object: Value) -> Result<K, Unreadable> {
        let key = Key::of_value(&object);
        let mut object: K = serde_json::from_value(object).map_err(|cause| Unreadable {
            problem: Problem {
                reason: "MalformedObject",
                object: format!("{} {key}", K::kind(&())),
                field: String::new(),
                what: cause.to_string(),
                remedy: "write the object again as its kind defines it, or delete it".to_owned(),
            },
            key,
        })?;
        object.meta_mut().managed_fields = None;
        (self.trim)(&mut object);
        Ok(object)
    }

    async fn list(&self) -> Result<(Vec<Value>, String), ApiError> {
        let (mut items, mut from) = (Vec::new(), None);
        loop {
            let params = ListParams {
                label_selector: self.labels.clone(),
                field_selector: self.fields.clone(),
                limit: Some(PAGE),
                continue_token: from,
                ..ListParams::default()
            };
            let page: Page = self.connection.ask(self.action("list"), self.request().list(&params)).await?;
            items.extend(page.items.unwrap_or_default());
            from = page.metadata.continue_token.filter(|token| !token.is_empty());
            if from.is_none() {
                return Ok((items, page.metadata.resource_version));
            }
        }
    }

    async fn follow(&self, version: &str) -> Result<Changes, ApiError> {
        let params = WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            timeout: Some(LIFE),
            bookmarks: true,
            ..WatchParams::default()
        };
        let request = self.connection.built(&self.action("watch"), self.request().watch(&params, version))?;
        match timeout(ANSWER, self.connection.client.request_events::<Value>(request)).await {
            Ok(Ok(stream)) => Ok(stream.boxed()),
            Ok(Err(error)) => Err(self.error("watch", &error)),
            Err(_) => Err(self.connection.silent(self.action("watch"))),
        }
    }
}

type Changes = BoxStream<'static, kube::Result<WatchEvent<Value>>>;

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

enum State {
    /// Nothing is known, or no longer complete.
    Empty,
    /// Everything up to here is known.
    Listed(String),
    /// Changes come in, since then.
    Following(Changes, Instant),
}

struct Running<K> {
    watch: Watch<K>,
    state: State,
    failures: u32,
    reachable: bool,
}

impl<K> Running<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Debug + Send + 'static,
{
    async fn next(&mut self) -> Event<K> {
        loop {
            let event = match std::mem::replace(&mut self.state, State::Empty) {
                State::Empty => Some(self.begin().await),
                State::Listed(version) => self.resume(&version).await,
                State::Following(changes, since) => self.change(changes, since).await,
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    async fn begin(&mut self) -> Event<K> {
        if let Some(doublings) = self.failures.checked_sub(1) {
            sleep((FIRST_DELAY * (1 << doublings.min(10))).min(LAST_DELAY)).await;
        }
        let (items, version) = match self.watch.list().await {
            Ok(listed) => listed,
            Err(error) => return self.unavailable(error),
        };
        self.state = State::Listed(version);
        if !std::mem::replace(&mut self.reachable, true) {
            info!(server = %self.watch.connection.server, resource = %self.watch.action("watch").resource, "watching again");
        }
        let (mut objects, mut unreadable) = (Vec::with_capacity(items.len()), Vec::new());
        for item in items {
            match self.watch.read(item) {
                Ok(object) => objects.push(object),
                Err(of) => unreadable.push(of),
            }
        }
        Event::Snapshot { objects, unreadable }
    }

    async fn resume(&mut self, version: &str) -> Option<Event<K>> {
        match self.watch.follow(version).await {
            Ok(changes) => {
                self.state = State::Following(changes, Instant::now());
                None
            }
            Err(error) => Some(self.unavailable(error)),
        }
    }

    async fn change(&mut self, mut changes: Changes, since: Instant) -> Option<Event<K>> {
        let overdue = Duration::from_secs(u64::from(LIFE)) + OVERDUE;
        let change = match timeout(overdue, changes.next()).await {
            Ok(Some(Ok(WatchEvent::Error(status)))) => return self.ended(&status),
            Ok(Some(Ok(change))) => change,
            Ok(Some(Err(error))) => {
                let error = self.watch.error("watch", &error);
                debug!(%error, "watch broke, listing anew");
                self.broke(since);
                return None;
            }
            Ok(None) | Err(_) => {
                self.broke(since);
                return None;
            }
        };
        self.failures = 0;
        self.state = State::Following(changes, since);
        match change {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                Some(self.watch.read(object).map_or_else(Event::Unreadable, Event::Applied))
            }
            WatchEvent::Deleted(object) => Some(Event::Deleted(Key::of_value(&object))),
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => None,
        }
    }

    /// A watch that ends soon and often is a failure, one that ends in time is none.
    fn broke(&mut self, since: Instant) {
        self.failures = if since.elapsed() > SOON { 0 } else { self.failures.saturating_add(1) };
    }

    /// The server ended the watch with a reason; an expired version only means that everything is listed anew.
    fn ended(&mut self, status: &Status) -> Option<Event<K>> {
        if status.code == 410 {
            self.failures = self.failures.saturating_add(1);
            return None;
        }
        let error = ApiError::refused(&self.watch.connection.server, self.watch.action("watch"), status);
        Some(self.unavailable(error))
    }

    fn unavailable(&mut self, error: ApiError) -> Event<K> {
        self.failures = self.failures.saturating_add(1);
        if std::mem::replace(&mut self.reachable, false) {
            warn!(%error, "cannot watch, what was known stands");
        }
        Event::Unavailable(error)
    }
}
