//! An API server in the test's own process.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use subm_apiserver::{ApiServer, Authority, Credential, Faults, Objects, Rule, ServerTls};
use subm_lab::Host;
use subm_types::ClusterId;

use super::BROKER_NAMESPACE;

const PORT: u16 = 6443;

/// One API server, reachable over TLS in its host.
#[derive(Debug, Clone)]
pub struct Api {
    server: ApiServer,
    address: Ipv4Addr,
    authority: String,
}

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
    pub(super) fn start(host: &Host, address: Ipv4Addr, namespace: &str) -> Result<Self> {
        let authority = Authority::new(&format!("{} CA", host.name()))?;
        let tls = authority.server_certificate(&[address.to_string()])?;
        let server = ApiServer::builder().build();
        let listen = || -> io::Result<TcpListener> {
            let listener = TcpListener::bind((address, PORT))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = host.enter(listen)?.with_context(|| format!("the API server of {}", host.name()))?;
        let serving = server.clone();
        host.spawn("api", move || serve(&serving, listener, tls))?;
        let api = Self { server, address, authority: authority.pem() };
        api.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))?;
        Ok(api)
    }

    /// `host:port`.
    pub fn endpoint(&self) -> String {
        format!("{}:{PORT}", self.address)
    }

    /// The certificate of its authority.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Its objects, as an administrator has them.
    pub fn objects(&self) -> Objects {
        self.server.store().managed_by("test")
    }

    /// Its fault knobs.
    pub fn faults(&self) -> Faults {
        self.server.faults()
    }

    /// Stores a new object.
    pub fn create(&self, object: Value) -> Result<()> {
        self.objects().create(object).map(drop).context("an object of the test was refused")
    }

    /// A token of a user with these rules only.
    pub fn grant(&self, user: &str, rules: Vec<Rule>) -> String {
        let token = token();
        self.server.credentials().grant(Credential::with_rules(&token, user, rules));
        token
    }

    /// A token of a member of the clusterset.
    pub(super) fn grant_member(&self, id: &ClusterId) -> String {
        let token = token();
        self.server.credentials().grant(Credential::member(&token, id, BROKER_NAMESPACE));
        token
    }

    /// Takes every token of a user away.
    pub fn revoke(&self, user: &str) {
        self.server.credentials().revoke(user);
    }

    /// A kubeconfig for the holder of a token.
    pub fn kubeconfig(&self, token: &str, context: &str) -> String {
        let url = format!("https://{}", self.endpoint());
        subm_apiserver::kubeconfig(&url, &self.authority, token, context)
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

fn serve(server: &ApiServer, listener: TcpListener, tls: ServerTls) {
    let run = || -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            match server.serve(listener, tls).await {}
        })
    };
    // A test whose server ended fails by what its clients say.
    let _ended = run();
}

/// Tokens are different; nobody but the test's daemons can reach the server.
fn token() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("token-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
