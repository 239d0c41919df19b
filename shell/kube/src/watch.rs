//! Watches: a complete list first, then every change, whatever happens to the connection.

mod source;

use std::fmt::Debug;
use std::marker::PhantomData;

use futures::{Stream, StreamExt as _};
use kube::Resource;
use serde::de::DeserializeOwned;
use subm_types::Problem;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

pub(crate) use source::{Backoff, Changes, Heard};

use crate::{ApiError, Connection, Key};

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
        let start = Running { watch: self, following: None, backoff: Backoff::default(), reachable: true };
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
}

struct Running<K> {
    watch: Watch<K>,
    following: Option<(Changes, Instant)>,
    backoff: Backoff,
    reachable: bool,
}

impl<K> Running<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Debug + Send + 'static,
{
    async fn next(&mut self) -> Event<K> {
        loop {
            let Some((mut changes, since)) = self.following.take() else {
                self.backoff.rest().await;
                match self.begin().await {
                    Ok(event) => return event,
                    Err(error) => return self.unavailable(error),
                }
            };
            match self.watch.hear(&mut changes).await {
                Heard::Over => self.backoff.over(since),
                Heard::Refused(error) => return self.unavailable(error),
                Heard::Nothing => self.go_on(changes, since),
                Heard::News(event) => {
                    self.go_on(changes, since);
                    return event;
                }
            }
        }
    }

    fn go_on(&mut self, changes: Changes, since: Instant) {
        self.backoff.heard();
        self.following = Some((changes, since));
    }

    async fn begin(&mut self) -> Result<Event<K>, ApiError> {
        let (event, version) = self.watch.list().await?;
        match self.watch.follow(&version).await? {
            Some(changes) => self.following = Some((changes, Instant::now())),
            None => self.backoff.failed(),
        }
        if !std::mem::replace(&mut self.reachable, true) {
            info!(of = %self.watch, "watching again");
        }
        Ok(event)
    }

    fn unavailable(&mut self, error: ApiError) -> Event<K> {
        self.backoff.failed();
        if std::mem::replace(&mut self.reachable, false) {
            warn!(%error, "cannot watch, what was known stands");
        }
        Event::Unavailable(error)
    }
}
