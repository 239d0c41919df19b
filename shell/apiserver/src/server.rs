//! The store behind a lock, with a clock, credentials, fault knobs and bells for those who watch.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::access::{Admission, Credential, Credentials};
use crate::apply::Force;
use crate::faults::Faults;
use crate::kinds::KindId;
use crate::patch::Patch;
use crate::refusal::Refusal;
use crate::store::{Deletion, Effect, Object, Place, Preconditions, Store, Writer};

/// What all connections and handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    store: RwLock<Store>,
    /// One per kind, rung with the version of its latest write.
    bells: Vec<watch::Sender<u64>>,
    credentials: Credentials,
    faults: Faults,
    bookmarks: Duration,
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
}

impl Builder {
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

    /// Makes the server, with the namespaces that every cluster has.
    pub fn build(self) -> ApiServer {
        let mut seed = [0; 16];
        let random = rustls::crypto::ring::default_provider().secure_random;
        random.fill(&mut seed).expect("the operating system gives random bytes");
        // INVARIANT: versions of a later server are higher, so that nobody takes its history for this one's.
        let version = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or_default();
        let shared = Shared {
            store: RwLock::new(Store::new(seed, version, self.history)),
            bells: KindId::all().map(|_| watch::Sender::new(version)).collect(),
            credentials: self.credentials,
            faults: Faults::default(),
            bookmarks: self.bookmarks,
        };
        let server = ApiServer { shared: Arc::new(shared) };
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            server.store().create(namespace).expect("an empty store takes a well-formed namespace");
        }
        server
    }
}

impl ApiServer {
    /// Starts to describe a server.
    pub fn builder() -> Builder {
        Builder { credentials: Credentials::default(), history: 4096, bookmarks: Duration::from_mins(1) }
    }

    /// Reads and writes without HTTP, as an administrator.
    pub fn store(&self) -> Objects {
        Objects { shared: Arc::clone(&self.shared), manager: "apiserver".to_owned() }
    }

    /// The valid tokens, which may change at any time.
    pub fn credentials(&self) -> Credentials {
        self.shared.credentials.clone()
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
        for (kind, bell) in KindId::all().zip(&self.bells) {
            let latest = store.latest(kind);
            bell.send_if_modified(|known| std::mem::replace(known, latest) != latest);
        }
        result
    }

    pub(crate) fn bell(&self, kind: KindId) -> watch::Receiver<u64> {
        self.bells[kind.index()].subscribe()
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

fn kind_of(object: &Value) -> Result<KindId, Refusal> {
    KindId::of(object).ok_or(Refusal::UnknownResource)
}

fn kind_named(resource: &str) -> Result<KindId, Refusal> {
    KindId::named(resource).ok_or(Refusal::UnknownResource)
}

fn place_of(object: &Value) -> Result<Place, Refusal> {
    let text = |field: &str| crate::metadata::text(object, field);
    Ok(Place::new(kind_of(object)?, text("namespace"), text("name")))
}

impl Objects {
    /// The same objects, written under another field manager's name.
    #[must_use]
    pub fn managed_by(mut self, manager: &str) -> Self {
        manager.clone_into(&mut self.manager);
        self
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

    /// Writes several things at one moment.
    pub fn write<T>(&self, change: impl FnOnce(&mut Store, &Writer) -> T) -> T {
        let writer = self.writer();
        self.shared.write(|store| change(store, &writer))
    }

    /// One object; the namespace of a cluster-scoped one is empty.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let kind = KindId::named(resource)?;
        let object = self.shared.read().get(kind, namespace, name).cloned();
        object.map(|object| object.value())
    }

    /// The objects of a resource, of one namespace or of all.
    pub fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<Value> {
        let Some(kind) = KindId::named(resource) else { return Vec::new() };
        let objects: Vec<_> = self.shared.read().list(kind, namespace).cloned().collect();
        objects.into_iter().map(|object| object.value()).collect()
    }

    /// Stores a new object.
    pub fn create(&self, object: Value) -> Result<Arc<Object>, Refusal> {
        let place = place_of(&object)?;
        self.write(|store, writer| store.create(place.kind, &place.namespace, object, writer))
    }

    /// Replaces an object.
    pub fn replace(&self, object: Value) -> Result<Arc<Object>, Refusal> {
        let place = place_of(&object)?;
        self.write(|store, writer| store.replace(&place, object, writer))
    }

    /// Replaces the status of an object.
    pub fn replace_status(&self, object: Value) -> Result<Arc<Object>, Refusal> {
        let place = place_of(&object)?;
        self.write(|store, writer| store.replace(&place.status(), object, writer))
    }

    /// Applies an object, taking over fields of others.
    pub fn apply(&self, object: Value) -> Result<Arc<Object>, Refusal> {
        let place = place_of(&object)?;
        self.write(|store, writer| store.apply(&place, object, Force::Yes, writer))
    }

    /// Merges a change into an object.
    pub fn merge(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        patch: Value,
    ) -> Result<Arc<Object>, Refusal> {
        let place = Place::new(kind_named(resource)?, namespace, name);
        self.write(|store, writer| store.patch(&place, &Patch::Merge(patch), writer))
    }

    /// Deletes an object.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) -> Result<Deletion, Refusal> {
        let place = Place::new(kind_named(resource)?, namespace, name);
        self.write(|store, writer| store.delete(&place, &Preconditions::default(), writer))
    }

    /// Forgets all history, so that watches that come back must list again.
    pub fn compact(&self) {
        self.shared.write(Store::compact);
    }
}
