//! Following a collection: lines of events, sent the moment that they happen.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::stream;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::faults::Link;
use crate::kinds::KindId;
use crate::negotiate::Form;
use crate::refusal::Refusal;
use crate::selector::Selector;
use crate::server::Shared;
use crate::store::{Change, Event, Object, Store, line};
use crate::table::{Carried, partial, table};

/// A watch answers at most so many bytes at once before it lets others go on.
const CHUNK: usize = 256 * 1024;

/// COMPAT: before a watch ends by itself, it tells so early how far it came.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);

/// What a watch is to show.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) kind: KindId,
    pub(crate) namespace: Option<String>,
    pub(crate) selector: Selector,
    pub(crate) form: Form,
    pub(crate) carried: Carried,
    /// Whether a table's columns were sent.
    pub(crate) columns_told: Cell<bool>,
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// With what happens after this version.
    After(u64),
    /// With what happens from now on.
    Now,
    /// With everything that there is.
    Everything,
    /// With everything that there is, and a bookmark that ends it.
    EverythingThenBookmark,
}

/// How a watch goes on.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) start: Start,
    /// How often a bookmark is sent, if the client takes them.
    pub(crate) bookmarks: Option<Duration>,
    /// None, and one beyond all clocks: the watch has no end.
    pub(crate) timeout: Option<Duration>,
    pub(crate) revoked: CancellationToken,
}

struct Watch {
    shared: Arc<Shared>,
    scope: Scope,
    terms: Terms,
    position: u64,
    ready: BytesMut,
    finished: bool,
    changed: watch::Receiver<u64>,
    cuts: watch::Receiver<u64>,
    link: watch::Receiver<Link>,
    deadline: Option<Instant>,
    closing: CancellationToken,
    /// Counted while it runs.
    _counted: Arc<()>,
}

/// The endless body of a watch.
pub(crate) fn body(shared: Arc<Shared>, scope: Scope, terms: Terms) -> Body {
    let faults = shared.faults();
    let mut watch = Watch {
        changed: shared.bell(scope.kind),
        cuts: faults.cuts(),
        link: faults.link(),
        deadline: terms.timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
        closing: shared.closing().clone(),
        _counted: shared.watching(),
        position: 0,
        ready: BytesMut::new(),
        finished: false,
        shared,
        scope,
        terms,
    };
    watch.begin();
    Body::from_stream(stream::unfold(watch, |mut watch| async move {
        let bytes = watch.next().await?;
        Some((Ok::<_, Infallible>(bytes), watch))
    }))
}

impl Watch {
    fn begin(&mut self) {
        let shared = Arc::clone(&self.shared);
        let store = shared.read();
        self.position = match self.terms.start {
            Start::After(version) => version,
            Start::Now | Start::Everything | Start::EverythingThenBookmark => store.version(),
        };
        if matches!(self.terms.start, Start::After(_) | Start::Now) {
            return;
        }
        for object in store.list(self.scope.kind, self.scope.namespace.as_deref()) {
            if self.scope.selector.matches(object) {
                self.ready.extend_from_slice(&self.scope.encode("ADDED", object));
            }
        }
        if self.terms.start == Start::EverythingThenBookmark && self.terms.bookmarks.is_some() {
            let bookmark = self.scope.bookmark(self.position, json!({"k8s.io/initial-events-end": "true"}));
            self.ready.extend_from_slice(&bookmark);
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        let bookmark_at = self.next_bookmark();
        loop {
            self.link.wait_for(|link| *link != Link::Silent).await.ok()?;
            if *self.link.borrow_and_update() == Link::Refused {
                return None;
            }
            if !self.ready.is_empty() {
                self.shared.settled().await.ok()?;
                return Some(self.ready.split().freeze());
            }
            if self.finished {
                return None;
            }
            self.collect();
            if !self.ready.is_empty() {
                continue;
            }
            tokio::select! {
                changed = self.changed.changed() => changed.ok()?,
                changed = self.link.changed() => changed.ok()?,
                _ = self.cuts.changed() => return None,
                () = self.terms.revoked.cancelled() => return None,
                () = self.closing.cancelled() => return None,
                () = at(self.deadline) => return None,
                () = at(bookmark_at) => {
                    self.collect();
                    self.ready.extend_from_slice(&self.scope.bookmark(self.position, json!(null)));
                }
            }
        }
    }

    /// When to say next how far it is, if nothing happens.
    fn next_bookmark(&self) -> Option<Instant> {
        let now = Instant::now();
        let regular = now + self.terms.bookmarks?;
        let last = self.deadline.and_then(|deadline| deadline.checked_sub(BOOKMARK_BEFORE_END));
        Some(last.filter(|last| *last > now).map_or(regular, |last| last.min(regular)))
    }

    /// Takes up what happened since the last time.
    fn collect(&mut self) {
        self.changed.mark_unchanged();
        let shared = Arc::clone(&self.shared);
        let store = shared.read();
        if let Err(expired) = self.collect_from(&store) {
            self.ready.extend_from_slice(&line("ERROR", expired.status().to_string().as_bytes()));
            self.finished = true;
        }
    }

    fn collect_from(&mut self, store: &Store) -> Result<(), Refusal> {
        for event in store.since(self.scope.kind, self.position)? {
            if let Some(line) = self.scope.line(event) {
                self.ready.extend_from_slice(&line);
            }
            self.position = event.object.version();
            if self.ready.len() >= CHUNK {
                return Ok(());
            }
        }
        self.position = store.version();
        Ok(())
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl Scope {
    /// The line of an event for this watch: an object that is no longer selected is deleted as far as it can see.
    fn line(&self, event: &Event) -> Option<Bytes> {
        if self.namespace.as_deref().is_some_and(|namespace| namespace != event.object.namespace()) {
            return None;
        }
        if self.selector.is_empty() && self.form == Form::Plain && self.is_kept() {
            return Some(event.line().clone());
        }
        let now = event.change != Change::Deleted && self.selector.matches(&event.object);
        let before = event.previous.as_ref().filter(|previous| self.selector.matches(previous));
        match (before, now) {
            (None, false) => None,
            (None, true) => Some(self.encode("ADDED", &event.object)),
            (Some(_), true) => Some(self.encode("MODIFIED", &event.object)),
            (Some(_), false) if event.change == Change::Deleted => {
                Some(self.encode("DELETED", &event.object))
            }
            (Some(before), false) => {
                let last = Object::new(before.kind(), event.object.version(), &before.value());
                Some(self.encode("DELETED", &Arc::new(last)))
            }
        }
    }

    /// Whether objects are kept as this watch shows them.
    fn is_kept(&self) -> bool {
        self.kind.is_stored
    }

    fn encode(&self, word: &str, object: &Arc<Object>) -> Bytes {
        let object = object.seen_as(self.kind);
        match self.form {
            Form::Plain => line(word, object.json()),
            Form::Metadata => line(word, partial(&object.value()).to_string().as_bytes()),
            Form::Table => {
                let now = Timestamp::now();
                let objects = std::iter::once(object.value());
                let mut table = table(self.kind, objects, object.version(), self.carried, now);
                // COMPAT: the columns are told once.
                if self.columns_told.replace(true) {
                    table["columnDefinitions"] = Value::Null;
                }
                line(word, table.to_string().as_bytes())
            }
        }
    }

    fn bookmark(&self, version: u64, annotations: Value) -> Bytes {
        let (kind, api_version) = match self.form {
            Form::Plain => (self.kind.name, self.kind.api_version()),
            Form::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
            Form::Table => ("Table", "meta.k8s.io/v1".to_owned()),
        };
        let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
        if annotations.is_object() {
            metadata["annotations"] = annotations;
        }
        let mut object = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        if self.form == Form::Table {
            object["columnDefinitions"] = json!([]);
            object["rows"] = json!([]);
        }
        line("BOOKMARK", object.to_string().as_bytes())
    }
}
