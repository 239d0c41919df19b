//! The store behind a lock, with a clock, credentials, fault knobs and bells for those who watch.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::access::{Admission, Authoriser, Credentials, User};
use crate::apply::Force;
use crate::audit::AuditLog;
use crate::backup::Contents;
use crate::fairness::{Fairness, Running};
use crate::faults::Faults;
use crate::identity::{ClientAuthority, TokenKey};
use crate::kinds::{KindId, ResourceKey};
use crate::patch::Patch;
use crate::pods::Nodes;
use crate::policy::Policies;
use crate::rbac::{self, Rbac};
use crate::reactions::{Means, react};
use crate::refusal::Refusal;
use crate::server::builder::Settings;
use crate::storage::{Journal, StorageError};
use crate::store::{Deletion, Effect, Object, Place, Preconditions, Store, Writer};

mod builder;

pub use builder::{Builder, NotServed, OpenError};

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
    token_key: TokenKey,
    fairness: Fairness,
    /// Who may do what, as of the version of the latest change of that.
    authoriser: RwLock<Option<(u64, Authoriser)>>,
    /// The admission policies, as of the version of the latest change of them.
    policies: RwLock<Option<(u64, Arc<Policies>)>>,
    settings: Settings,
    /// How many requests were answered, by the first digit of the code.
    answers: [AtomicU64; 6],
    /// A handle for every watch that runs.
    watches: Arc<()>,
    /// Who answers for the Pods of nodes.
    nodes: RwLock<Option<Arc<dyn Nodes>>>,
    closing: CancellationToken,
}

/// What a server did so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// How many requests were answered, by the first digit of the code.
    pub answers: BTreeMap<u16, u64>,
    /// How many watches run.
    pub watches: u64,
    /// How many groups of writes were synced to the disk.
    pub groups: u64,
}

/// A Kubernetes-compatible API server in this process; clones are the same server.
#[derive(Debug, Clone)]
pub struct ApiServer {
    pub(crate) shared: Arc<Shared>,
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
            settings: Settings::default(),
            token_key: None,
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

    /// What the server did so far.
    pub fn statistics(&self) -> Statistics {
        let shared = &self.shared;
        let answers = (1..).zip(&shared.answers[1..]);
        Statistics {
            answers: answers.map(|(class, count)| (class, count.load(Ordering::Relaxed))).collect(),
            watches: u64::try_from(Arc::strong_count(&shared.watches) - 1).unwrap_or_default(),
            groups: shared.journal.as_ref().map_or(0, Journal::groups),
        }
    }

    /// Ends all watches and lets connections end with their requests.
    pub fn close(&self) {
        self.shared.closing.cancel();
    }

    /// Tells who answers for the Pods of nodes: their logs, and programs beside them.
    pub fn set_nodes(&self, nodes: Arc<dyn Nodes>) {
        *self.shared.nodes.write().unwrap_or_else(PoisonError::into_inner) = Some(nodes);
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
        let before = store.version();
        let result = change(&mut store);
        if store.version() > before {
            let means = Means { key: &self.token_key, authority: self.settings.authority.as_deref() };
            react(&mut store, before, means);
        }
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

    pub(crate) fn token_key(&self) -> &TokenKey {
        &self.token_key
    }

    pub(crate) fn client_authority(&self) -> Option<&ClientAuthority> {
        self.settings.clients.as_ref()
    }

    pub(crate) fn hub(&self) -> Option<&str> {
        self.settings.hub.as_deref()
    }

    pub(crate) fn audit(&self) -> Option<&AuditLog> {
        self.settings.audit.as_ref()
    }

    /// The files that belong into a backup; none where no backups are served.
    pub(crate) fn backup_files(&self) -> Option<&BTreeMap<String, String>> {
        self.settings.files.as_ref()
    }

    /// Who may do what now.
    pub(crate) fn authoriser(&self) -> Authoriser {
        let Some(kinds) = rbac::Kinds::known() else { return Authoriser::default() };
        let store = self.read();
        let latest = kinds.latest(&store);
        let known = self.authoriser.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, authoriser)) = known.filter(|(version, _)| *version == latest) {
            return authoriser;
        }
        let fresh = Authoriser::new(Arc::new(Rbac::of(&store)));
        *self.authoriser.write().unwrap_or_else(PoisonError::into_inner) = Some((latest, fresh.clone()));
        fresh
    }

    /// The admission policies of now.
    pub(crate) fn policies(&self) -> Arc<Policies> {
        let store = self.read();
        let latest = Policies::latest(&store);
        let known = self.policies.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, policies)) = known.filter(|(version, _)| *version == latest) {
            return policies;
        }
        let fresh = Arc::new(Policies::of(&store));
        *self.policies.write().unwrap_or_else(PoisonError::into_inner) = Some((latest, Arc::clone(&fresh)));
        fresh
    }

    /// Lets a request begin, unless its user has had enough.
    pub(crate) fn begin(&self, user: &User) -> Result<Running, Refusal> {
        if user.is_master() {
            return Ok(Running::uncounted());
        }
        self.fairness.begin(&user.name, Instant::now()).ok_or(Refusal::TooManyRequests)
    }

    /// Counts an answer.
    pub(crate) fn count(&self, code: u16) {
        if let Some(count) = self.answers.get(usize::from(code / 100)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a watch for as long as the handle lives.
    pub(crate) fn watching(&self) -> Arc<()> {
        Arc::clone(&self.watches)
    }

    /// Who answers for the Pods of nodes, where somebody does.
    pub(crate) fn nodes(&self) -> Option<Arc<dyn Nodes>> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    pub(crate) fn bookmarks(&self) -> Duration {
        self.bookmarks
    }
}

/// A new uid, of no object.
pub(crate) fn draw_uid() -> String {
    let mut bytes = [0; 16];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).expect("the operating system gives random bytes");
    crate::metadata::uid(bytes)
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
