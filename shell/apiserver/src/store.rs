//! The objects, the version counter and the bounded history of each kind: pure state, no clock, no lock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::backup::Contents;
use crate::kinds::{KindId, Kinds, ResourceKey};
use crate::refusal::Refusal;
use crate::services::{ServiceRanges, Taken};
use crate::storage::{Row, row_key};

mod collect;
mod definitions;
mod delete;
mod event;
mod namespace;
mod object;
mod pods;
mod shape;
mod snapshot;
mod versions;
mod write;

pub use collect::Propagation;
pub use delete::{Deletion, Preconditions, Selected};
pub(crate) use event::line;
pub use event::{Change, Event};
pub use object::Object;
pub(crate) use versions::{converted, kept_field};
pub(crate) use write::{Draft, labels_of};
pub use write::{Effect, Place, Writer};

/// The history of one kind takes at most so many bytes of objects, however few events that leaves.
const HISTORY_BYTES: usize = 32 * 1024 * 1024;
/// That of all kinds takes at most so many: kinds are defined through the API, so there may be any number of them.
const ALL_HISTORY_BYTES: usize = 4 * HISTORY_BYTES;

/// Everything that the server keeps.
#[derive(Debug)]
pub struct Store {
    kinds: Kinds,
    collections: BTreeMap<ResourceKey, Collection>,
    /// The collections that changed since someone last asked.
    touched: BTreeSet<ResourceKey>,
    /// The version before the first write.
    first: u64,
    ownership: collect::Ownership,
    /// The namespaces that something was taken from since they were last looked at.
    left: BTreeSet<String>,
    services: Taken,
    ranges: ServiceRanges,
    version: u64,
    seed: [u8; 16],
    history: usize,
    /// The size of the objects in all histories.
    logged: usize,
    /// What is to be written to the disk; None where nothing is.
    rows: Option<Vec<Row>>,
}

/// The objects of one kind and what happened to them lately.
#[derive(Debug, Default)]
struct Collection {
    objects: BTreeMap<String, Arc<Object>>,
    log: VecDeque<Arc<Event>>,
    /// The newest version that is no longer in the log.
    forgotten: u64,
    latest: u64,
    /// The size of the objects in the log.
    logged: usize,
}

fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

impl Store {
    /// An empty store that counts on from `version`, draws uids from `seed` and keeps `history` events per kind.
    pub fn new(seed: [u8; 16], version: u64, history: usize) -> Self {
        Self {
            kinds: Kinds::default(),
            collections: BTreeMap::new(),
            touched: BTreeSet::new(),
            first: version,
            ownership: collect::Ownership::default(),
            left: BTreeSet::new(),
            services: Taken::default(),
            ranges: ServiceRanges::default(),
            version,
            seed,
            history,
            logged: 0,
            rows: None,
        }
    }

    /// Gives Services addresses of these ranges.
    #[must_use]
    pub fn with_services(mut self, ranges: ServiceRanges) -> Self {
        self.ranges = ranges;
        self
    }

    /// The kinds that are served.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// The collections that changed since this was last called.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<ResourceKey> {
        std::mem::take(&mut self.touched)
    }

    /// Takes an object as it stood in an earlier store; it is no event.
    pub(crate) fn restore(&mut self, value: &Value) -> Result<(), Refusal> {
        let kind = self.kinds.of(value).ok_or(Refusal::UnknownResource)?;
        let version = crate::metadata::text(value, "resourceVersion").parse().unwrap_or_default();
        let object = Arc::new(Object::new(kind, version, value));
        let place = key(object.namespace(), object.name());
        self.collection_mut(kind.key()).objects.insert(place.clone(), Arc::clone(&object));
        self.note(kind, place, None, Some(&object));
        if kind == KindId::definitions() && crate::definitions::is_established(value) {
            self.serve(&object);
        }
        Ok(())
    }

    /// Collects rows for the disk from now on.
    pub(crate) fn keep_rows(&mut self) {
        self.rows = Some(Vec::new());
    }

    /// The rows that changed since the last call.
    pub(crate) fn take_rows(&mut self) -> Vec<Row> {
        self.rows.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Everything that there is, without history.
    pub fn contents(&self) -> Contents {
        let objects = self.collections.values().flat_map(|collection| collection.objects.values());
        Contents { version: self.version, objects: objects.map(|object| object.value()).collect() }
    }

    /// The version of the latest write.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The version of the latest write to a kind.
    pub fn latest(&self, kind: KindId) -> u64 {
        self.latest_of(kind.key())
    }

    pub(crate) fn latest_of(&self, key: ResourceKey) -> u64 {
        self.collections.get(&key).map_or(self.first, |collection| collection.latest)
    }

    /// How many objects there are of a kind.
    pub fn count(&self, kind: KindId) -> usize {
        self.collection(kind).map_or(0, |collection| collection.objects.len())
    }

    fn collection(&self, kind: KindId) -> Option<&Collection> {
        self.collections.get(&kind.key())
    }

    fn collection_mut(&mut self, key: ResourceKey) -> &mut Collection {
        let first = self.first;
        let empty = || Collection { forgotten: first, latest: first, ..Collection::default() };
        self.collections.entry(key).or_insert_with(empty)
    }

    /// One object; the namespace of a cluster-scoped one is empty.
    pub fn get(&self, kind: KindId, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        self.collection(kind)?.objects.get(&key(namespace, name))
    }

    /// The objects of a kind, of one namespace or of all.
    pub fn list<'a>(
        &'a self,
        kind: KindId,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let prefix = namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let objects = self.collection(kind).map(|collection| collection.objects.range(prefix.clone()..));
        let objects = objects.into_iter().flatten();
        objects.take_while(move |(key, _)| key.starts_with(&prefix)).map(|(_, object)| object)
    }

    /// What happened to a kind after a version, oldest first.
    pub fn since(&self, kind: KindId, version: u64) -> Result<impl Iterator<Item = &Arc<Event>>, Refusal> {
        let collection = self.collection(kind);
        let forgotten = collection.map_or(self.first, |collection| collection.forgotten);
        // INVARIANT: versions never repeat in one store, so one that lies ahead comes from another and proves nothing.
        if version < forgotten || version > self.version {
            return Err(Refusal::Expired { asked: version, oldest: forgotten });
        }
        let start =
            |log: &VecDeque<Arc<Event>>| log.partition_point(|event| event.object.version() <= version);
        let events = collection.map(|collection| collection.log.range(start(&collection.log)..));
        Ok(events.into_iter().flatten())
    }

    /// Forgets the history of every kind: a watch that has not seen all of it gets `Expired`.
    pub fn compact(&mut self) {
        for collection in self.collections.values_mut() {
            collection.log.clear();
            collection.logged = 0;
            collection.forgotten = collection.latest;
        }
        self.logged = 0;
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// Sixteen bytes that no other write of this store draws.
    fn draw(&self, purpose: &str) -> [u8; 16] {
        let digest = Sha256::new()
            .chain_update(self.seed)
            .chain_update(self.version.to_be_bytes())
            .chain_update(purpose)
            .finalize();
        std::array::from_fn(|index| digest[index])
    }

    /// Keeps an object of any version of its kind in the version that it is kept in.
    fn insert(&mut self, kind: KindId, value: &Value) -> Arc<Object> {
        let version = self.next_version();
        let kept = self.kinds.kept(kind.key()).unwrap_or(kind);
        let object = if kept == kind {
            Arc::new(Object::new(kind, version, value))
        } else {
            let mut value = converted(value.clone(), kind, kept);
            if !kept.is_custom() {
                crate::schema::fill(kept.schema(), &mut value);
            }
            Arc::new(Object::new(kept, version, &value))
        };
        let kind = kept;
        let place = key(object.namespace(), object.name());
        let previous = self.collection_mut(kind.key()).objects.insert(place.clone(), Arc::clone(&object));
        self.note(kind, place, previous.as_deref(), Some(&object));
        let change = if previous.is_some() { Change::Modified } else { Change::Added };
        self.record(kind, Event::new(change, Arc::clone(&object), previous));
        object
    }

    fn remove(&mut self, kind: KindId, object: &Object) -> Arc<Object> {
        let version = self.next_version();
        let last = Arc::new(Object::new(kind, version, &object.value()));
        let place = key(object.namespace(), object.name());
        let previous = self.collection_mut(kind.key()).objects.remove(&place);
        self.note(kind, place, previous.as_deref(), None);
        self.record(kind, Event::new(Change::Deleted, Arc::clone(&last), previous));
        last
    }

    /// Keeps what is derived from all objects true.
    fn note(&mut self, kind: KindId, place: String, before: Option<&Object>, after: Option<&Object>) {
        if kind.key() == ("", "services") {
            self.services.note(&place, before, after);
        }
        self.ownership.note(&(kind.key(), place), before, after);
    }

    fn record(&mut self, kind: KindId, event: Event) {
        if let Some(rows) = &mut self.rows {
            let object = &event.object;
            rows.push(Row {
                key: row_key((kind.group, kind.name), object.namespace(), object.name()),
                text: (event.change != Change::Deleted).then(|| object.json().clone()),
                version: object.version(),
            });
        }
        self.touched.insert(kind.key());
        let (key, history, bytes) = (kind.key(), self.history, event.object.json().len());
        let collection = self.collection_mut(key);
        collection.latest = event.object.version();
        collection.logged += bytes;
        collection.log.push_back(Arc::new(event));
        let mut forgotten = 0;
        while collection.log.len() > history || collection.logged > HISTORY_BYTES {
            forgotten += collection.forget_oldest();
        }
        self.logged = self.logged + bytes - forgotten;
        self.shorten_the_longest();
    }

    /// Keeps all histories together within bounds, at the cost of the one that takes most.
    fn shorten_the_longest(&mut self) {
        while self.logged > ALL_HISTORY_BYTES {
            let longest = self.collections.values_mut().max_by_key(|collection| collection.logged);
            let Some(longest) = longest.filter(|longest| longest.logged > 0) else { return };
            self.logged -= longest.forget_oldest();
        }
    }
}

impl Collection {
    /// Forgets the oldest event; returns the size of its object.
    fn forget_oldest(&mut self) -> usize {
        let Some(oldest) = self.log.pop_front() else { return 0 };
        let bytes = oldest.object.json().len();
        self.logged -= bytes;
        self.forgotten = oldest.object.version();
        bytes
    }
}
