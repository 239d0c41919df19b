//! How a server is described and begins.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::access::{Credential, Credentials};
use crate::audit::AuditLog;
use crate::backup::Contents;
use crate::fairness::{Fairness, Share};
use crate::faults::Faults;
use crate::identity::{ClientAuthority, TokenKey};
use crate::rbac;
use crate::refusal::Refusal;
use crate::server::{ApiServer, Shared};
use crate::services::ServiceRanges;
use crate::storage::{Journal, Storage, StorageError};
use crate::store::{Store, Writer};
use crate::tls::TlsError;

/// How an [`ApiServer`] is to be.
#[derive(Debug)]
pub struct Builder {
    pub(super) credentials: Credentials,
    pub(super) history: usize,
    pub(super) bookmarks: Duration,
    pub(super) settings: Settings,
    pub(super) token_key: Option<TokenKey>,
    pub(super) definitions: Vec<Value>,
}

/// What stays as it was built.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// The certificate of the server's authority.
    pub(super) authority: Option<String>,
    pub(super) clients: Option<ClientAuthority>,
    /// The namespace in which the members of a clusterset meet.
    pub(super) hub: Option<String>,
    pub(super) share: Share,
    pub(super) audit: Option<AuditLog>,
    pub(super) files: Option<BTreeMap<String, String>>,
    pub(super) services: ServiceRanges,
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

    /// Tells the certificate of the server's authority: it stands in the Secrets of ServiceAccounts, and clients that
    /// show a certificate of it are known by that.
    pub fn authority(mut self, pem: &str) -> Result<Self, TlsError> {
        self.settings.clients = Some(ClientAuthority::from_pem(pem)?);
        self.settings.authority = Some(pem.to_owned());
        Ok(self)
    }

    /// Tells a certificate that clients are to trust instead of the authority's, where the server's is from elsewhere.
    #[must_use]
    pub fn trusted(mut self, pem: &str) -> Self {
        self.settings.authority = Some(pem.to_owned());
        self
    }

    /// Signs tokens of ServiceAccounts with this key, so that they outlive the server.
    #[must_use]
    pub fn token_key(mut self, key: TokenKey) -> Self {
        self.token_key = Some(key);
        self
    }

    /// Makes a hub of the server: in this namespace, the ServiceAccount `cluster-ID` writes only what is that
    /// cluster's own.
    #[must_use]
    pub fn hub(mut self, namespace: &str) -> Self {
        self.settings.hub = Some(namespace.to_owned());
        self
    }

    /// Gives Services addresses of these ranges.
    #[must_use]
    pub fn services(mut self, ranges: ServiceRanges) -> Self {
        self.settings.services = ranges;
        self
    }

    /// Gives each user this share.
    #[must_use]
    pub fn share(mut self, share: Share) -> Self {
        self.settings.share = share;
        self
    }

    /// Tells every request to a log.
    #[must_use]
    pub fn audit(mut self, log: AuditLog) -> Self {
        self.settings.audit = Some(log);
        self
    }

    /// Serves backups at `/backup`, with these files in them.
    #[must_use]
    pub fn backups(mut self, files: BTreeMap<String, String>) -> Self {
        self.settings.files = Some(files);
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
        let mut store = Store::new(seed, version, self.history).with_services(self.settings.services.clone());
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
            token_key: self.token_key.unwrap_or_else(|| TokenKey::new().expect("random bytes make a key")),
            fairness: Fairness::new(self.settings.share),
            authoriser: RwLock::default(),
            policies: RwLock::default(),
            settings: self.settings,
            answers: Default::default(),
            watches: Arc::default(),
            nodes: RwLock::default(),
            closing: CancellationToken::new(),
        };
        let server = ApiServer { shared: Arc::new(shared) };
        for definition in self.definitions {
            let object = format!("definition {:?}", crate::metadata::text(&definition, "name"));
            server.store().apply(definition).map_err(|source| NotServed { object, source })?;
        }
        let namespace = |name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let namespaces = ["default", "kube-node-lease", "kube-public", "kube-system"].map(namespace);
        server.complete(namespaces.into_iter().chain(rbac::bootstrap_objects()))?;
        Ok(server)
    }
}

impl ApiServer {
    /// Creates what is not there yet.
    fn complete(&self, mut objects: impl Iterator<Item = Value>) -> Result<(), NotServed> {
        self.store().write(|store, writer| objects.try_for_each(|object| complete(store, &object, writer)))
    }
}

fn complete(store: &mut Store, object: &Value, writer: &Writer) -> Result<(), NotServed> {
    let text = |field| crate::metadata::text(object, field).to_owned();
    let (namespace, name) = (text("namespace"), text("name"));
    let not_served = |source| NotServed { object: format!("{} {name:?}", object["kind"]), source };
    let kind = store.kinds().of(object).ok_or_else(|| not_served(Refusal::UnknownResource))?;
    if store.get(kind, &namespace, &name).is_some() {
        return Ok(());
    }
    let created = store.create(kind, &namespace, object.clone(), writer);
    created.map(drop).map_err(not_served)
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
