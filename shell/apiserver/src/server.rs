//! The store behind a lock, with a clock, credentials, fault knobs and bells for those who watch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::access::{Admission, Credential, Credentials};
use crate::apply::Force;
use crate::backup::Contents;
use crate::faults::Faults;
use crate::kinds::{KindId, ResourceKey};
use crate::patch::Patch;
use crate::refusal::Refusal;
use crate::storage::{Journal, Storage, StorageError};
use crate::store::{Deletion, Effect, Object, Place, Preconditions, Store, Writer};

/// What all connections and handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    store: RwLock<Store>,
    /// One per resource that was ever watched, rung with the version of its latest write.
    bells: Mutex<BTreeMap<ResourceKey, watch::Sender<u64>>>,
    credentials: Credentials,
    faults: Faults,
    bookmarks: Duration,
    /// None where everything is in memory only.
    journal: Option<Journal>,
}

/// A Kubernetes-compatible API server in this process; clones are the same server.
#[derive(Debug, Clone)]
pub struct ApiServer {
    pub(crate) shared: Arc<Shared>,
}

/// How an [`ApiServer`] is to be.
#[derive(Debug)]
pub struct Builder {
    credentials: Credentials,
    history: usize,
    bookmarks: Duration,
    definitions: Vec<Value>,
}

impl Builder {
    /// Starts without the definitions of Submariner's own kinds.
    #[must_use]
    pub fn without_definitions(mut self) -> Self {
        self.definitions.clear();
        self
    }

    /// Adds valid tokens.
    #[must_use]
    pub fn credentials(self, credentials: impl IntoIterator<Item = Credential>) -> Self {
        for credential in credentials {
            self.credentials.grant(credential);
        }
        self
    }

    /// Keeps so many events per kind for watches that come back.
    #[must_use]
    pub fn history(mut self, events: usize) -> Self {
        self.history = events;
        self
    }

    /// Sends bookmarks to idle watches this often.
    #[must_use]
    pub fn bookmarks_every(mut self, interval: Duration) -> Self {
        self.bookmarks = interval;
        self
    }

    /// Makes a server that keeps everything in memory, with the namespaces that every cluster has.
    pub fn build(self) -> ApiServer {
        self.assemble(&Contents::default(), None).expect("an empty store takes well-formed objects")
    }

    /// Makes a server that keeps everything in a file and goes on with what is in it.
    pub fn open(self, storage: Storage) -> Result<ApiServer, OpenError> {
        let contents = storage.contents()?;
        Ok(self.assemble(&contents, Some(storage))?)
    }

    fn assemble(self, contents: &Contents, storage: Option<Storage>) -> Result<ApiServer, NotServed> {
        let mut seed = [0; 16];
        let random = rustls::crypto::ring::default_provider().secure_random;
        random.fill(&mut seed).expect("the operating system gives random bytes");
        // INVARIANT: versions of a later server are higher, so that nobody takes its history for this one's. One more
        // than the newest write: a watch from before that has seen everything must list again as well.
        let version = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or_default();
        let version = version.max(contents.version + 1);
        let mut store = Store::new(seed, version, self.history);
        restore(&mut store, &contents.objects)?;
        let journal = storage.map(|storage| {
            store.keep_rows();
            Journal::start(storage, version)
        });
        let shared = Shared {
            store: RwLock::new(store),
            bells: Mutex::default(),
            credentials: self.credentials,
            faults: Faults::default(),
            bookmarks: self.bookmarks,
            journal,
        };
        let server = ApiServer { shared: Arc::new(shared) };
        for definition in self.definitions {
            let object = format!("definition {:?}", crate::metadata::text(&definition, "name"));
            server.store().apply(definition).map_err(|source| NotServed { object, source })?;
        }
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            match server.store().create(namespace) {
                Ok(_) | Err(Refusal::AlreadyExists(_)) => {}
                Err(refused) => {
                    return Err(NotServed { object: format!("namespaces {name:?}"), source: refused });
                }
            }
        }
        Ok(server)
    }
}

/// A server cannot go on with what a file holds.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot serve.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An object of the file is not served.
    #[error(transparent)]
    NotServed(#[from] NotServed),
}

/// An object is not served by this version.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve {object}; was it stored by a later version?")]
pub struct NotServed {
    object: String,
    source: Refusal,
}

/// Definitions come first: without them the objects that they define are unknown.
fn restore(store: &mut Store, objects: &[Value]) -> Result<(), NotServed> {
    let is_definition = |object: &&Value| object["kind"] == "CustomResourceDefinition";
    let definitions = objects.iter().filter(is_definition);
    for object in definitions.chain(objects.iter().filter(|object| !is_definition(object))) {
        store.restore(object).map_err(|source| {
            let text = |field| crate::metadata::text(object, field);
            let kind = object["kind"].as_str().unwrap_or("object");
            NotServed {
                object: format!("{kind} {:?} in namespace {:?}", text("name"), text("namespace")),
                source,
            }
        })?;
    }
    Ok(())
}

impl ApiServer {
    /// Starts to describe a server.
    pub fn builder() -> Builder {
        let definitions = subm_api::crds().into_iter();
        Builder {
            credentials: Credentials::default(),
            history: 4096,
            bookmarks: Duration::from_mins(1),
            definitions: definitions.filter_map(|definition| serde_json::to_value(definition).ok()).collect(),
        }
    }

    /// Reads and writes without HTTP, as an administrator.
    pub fn store(&self) -> Objects {
        Objects { shared: Arc::clone(&self.shared), manager: "apiserver".to_owned() }
    }

    /// The valid tokens, which may change at any time.
    pub fn credentials(&self) -> Credentials {
        self.shared.credentials.clone()
    }

    /// Everything at one moment, as it is on the disk.
    pub async fn contents(&self) -> Result<Contents, Refusal> {
        let contents = self.shared.read().contents();
        self.shared.settled().await?;
        Ok(contents)
    }

    /// Waits until the disk fails; from then on every request is refused.
    pub async fn storage_failure(&self) -> Arc<StorageError> {
        match &self.shared.journal {
            Some(journal) => journal.failure().await,
            None => std::future::pending().await,
        }
    }

    /// How many groups of writes were synced to the disk.
    pub fn synced_groups(&self) -> u64 {
        self.shared.journal.as_ref().map_or(0, Journal::groups)
    }

    /// The fault knobs.
    pub fn faults(&self) -> Faults {
        self.shared.faults.clone()
    }
}

impl Shared {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the store and wakes whoever watches a kind that changed.
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut store);
        if let Some(journal) = &self.journal {
            let rows = store.take_rows();
            if !rows.is_empty() {
                journal.submit(rows);
            }
        }
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        for key in store.take_touched() {
            if let Some(bell) = bells.get(&key) {
                bell.send_replace(store.latest_of(key));
            }
        }
        result
    }

    /// Waits until everything that happened so far is on the disk, if there is one.
    pub(crate) async fn settled(&self) -> Result<(), Refusal> {
        match &self.journal {
            Some(journal) => journal.settled().await,
            None => Ok(()),
        }
    }

    /// The same for callers that are not asynchronous.
    fn settle(&self) -> Result<(), Refusal> {
        self.journal.as_ref().map_or(Ok(()), Journal::settle)
    }

    pub(crate) fn bell(&self, kind: KindId) -> watch::Receiver<u64> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.entry(kind.key()).or_default().subscribe()
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(crate) fn bookmarks(&self) -> Duration {
        self.bookmarks
    }
}

/// The objects of a server, read and written without HTTP. Resources are named in full: `endpoints.submariner.io`.
#[derive(Debug, Clone)]
pub struct Objects {
    shared: Arc<Shared>,
    manager: String,
}

impl Objects {
    /// The same objects, written under another field manager's name.
    #[must_use]
    pub fn managed_by(mut self, manager: &str) -> Self {
        manager.clone_into(&mut self.manager);
        self
    }

    fn kind_named(&self, resource: &str) -> Result<KindId, Refusal> {
        self.shared.read().kinds().named(resource).ok_or(Refusal::UnknownResource)
    }

    fn place_of(&self, object: &Value) -> Result<Place, Refusal> {
        let text = |field: &str| crate::metadata::text(object, field);
        let kind = self.shared.read().kinds().of(object).ok_or(Refusal::UnknownResource)?;
        Ok(Place::new(kind, text("namespace"), text("name")))
    }

    fn writer(&self) -> Writer {
        Writer {
            manager: self.manager.clone(),
            admission: Admission::Anything,
            now: Timestamp::now(),
            effect: Effect::Lasting,
        }
    }

    /// Reads several things at one moment.
    pub fn read<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        look(&self.shared.read())
    }

    /// Writes and waits for the disk.
    fn kept<T>(&self, change: impl FnOnce(&mut Store, &Writer) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let done = self.write(change)?;
        self.shared.settle()?;
        Ok(done)
    }

    /// Writes several things at one moment; does not wait for the disk.
    pub fn write<T>(&self, change: impl FnOnce(&mut Store, &Writer) -> T) -> T {
        let writer = self.writer();
        self.shared.write(|store| change(store, &writer))
    }

    /// One object; the namespace of a cluster-scoped one is empty.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let store = self.shared.read();
        let object = store.get(store.kinds().named(resource)?, namespace, name).cloned();
        drop(store);
        object.map(|object| object.value())
    }

    /// The objects of a resource, of one namespace or of all.
    pub fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<Value> {
        let store = self.shared.read();
        let Some(kind) = store.kinds().named(resource) else { return Vec::new() };
        let objects: Vec<_> = store.list(kind, namespace).cloned().collect();
        drop(store);
        objects.into_iter().map(|object| object.value()).collect()
    }

    /// Stores a new object.
    pub fn create(&self, object: Value) -> Result<Arc<Object>, Refusal> {
        let place = self.place_of(&object)?;
        self.kept(|store, writer| store.create(place.kind, &place.namespace, object, writer))
    }

    /// Replaces an object.
    pub fn replace(&self, object: Value) -> Result<Arc<Object>, Refusal> {
        let place = self.place_of(&object)?;
        self.kept(|store, writer| store.replace(&place, object, writer))
    }

    /// Replaces the status of an object.
    pub fn replace_status(&self, object: Value) -> Result<Arc<Object>, Refusal> {
        let place = self.place_of(&object)?;
        self.kept(|store, writer| store.replace(&place.status(), object, writer))
    }

    /// Applies an object, taking over fields of others.
    pub fn apply(&self, object: Value) -> Result<Arc<Object>, Refusal> {
        let place = self.place_of(&object)?;
        self.kept(|store, writer| store.apply(&place, object, Force::Yes, writer))
    }

    /// Merges a change into an object.
    pub fn merge(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        patch: Value,
    ) -> Result<Arc<Object>, Refusal> {
        let place = Place::new(self.kind_named(resource)?, namespace, name);
        self.kept(|store, writer| store.patch(&place, &Patch::Merge(patch), writer))
    }

    /// Deletes an object.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) -> Result<Deletion, Refusal> {
        let place = Place::new(self.kind_named(resource)?, namespace, name);
        self.kept(|store, writer| store.delete(&place, &Preconditions::default(), writer))
    }

    /// Forgets all history, so that watches that come back must list again.
    pub fn compact(&self) {
        self.shared.write(Store::compact);
    }
}
