//! The API server of a cluster or of the hub: embedded in the test's own process, or a real one behind a relay.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use subm_apiserver::Rule;
use subm_lab::Host;
use subm_servers::{Cluster, Faults, Objects, Servers, Which};

const PORT: u16 = 6443;

/// One API server, reachable over TLS in its host.
#[derive(Debug, Clone)]
pub struct Api(Arc<Cluster>);

/// A condition of an object's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// A CamelCase word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

impl Api {
    pub(super) fn start(
        servers: &Servers,
        which: Which,
        (host, address): (&Host, Ipv4Addr),
        namespace: &str,
    ) -> Result<Self> {
        let listener = host.enter(|| TcpListener::bind((address, PORT)))?;
        let listener = listener.with_context(|| format!("the API server of {}", host.name()))?;
        Ok(Self(Arc::new(servers.cluster(which, namespace, listener)?)))
    }

    /// `host:port`.
    pub fn endpoint(&self) -> String {
        self.0.address().to_string()
    }

    /// The certificate of its authority.
    pub fn authority(&self) -> String {
        self.0.authority()
    }

    /// The name in that certificate.
    pub fn authority_name(&self) -> &'static str {
        self.0.authority_name()
    }

    /// Its objects, as an administrator has them.
    pub fn objects(&self) -> Objects<'_> {
        self.0.objects()
    }

    /// What may go wrong with it.
    pub fn faults(&self) -> Faults<'_> {
        self.0.faults()
    }

    /// Stores a new object.
    pub fn create(&self, object: Value) -> Result<()> {
        self.objects().create(object).map(drop).context("an object of the test was refused")
    }

    /// The token of a user, who may do from now on what these rules say and nothing else.
    pub fn grant(&self, user: &str, rules: &[Rule]) -> Result<String> {
        self.0.allow(user, rules)
    }

    /// The token of a member of the clusterset.
    pub(super) fn grant_member(&self, cluster: &str) -> Result<String> {
        self.0.join(cluster)
    }

    /// A kubeconfig for the holder of a token.
    pub fn kubeconfig(&self, token: &str) -> String {
        self.0.kubeconfig_of(token)
    }

    /// A condition of an object.
    pub fn condition(
        &self,
        (resource, namespace, name): (&str, &str, &str),
        kind: &str,
    ) -> Result<Condition> {
        let object = self.objects().get(resource, namespace, name);
        let object = object.with_context(|| format!("there is no {resource} {name}"))?;
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let Some(found) = conditions.iter().find(|one| one["type"] == kind) else {
            let known: Vec<&Value> = conditions.iter().map(|one| &one["type"]).collect();
            bail!("{resource} {name} has no condition {kind}: it has {known:?}");
        };
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        Ok(Condition { status: text("status"), reason: text("reason"), message: text("message") })
    }
}
