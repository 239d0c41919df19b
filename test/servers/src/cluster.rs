//! An API server as a test's own cluster or hub.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::Client;
use serde_json::json;
use subm_apiserver::{ApiServer, Authority, Credential, Link, Rule, kubeconfig};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::fleet::Entry;
use crate::objects::{Objects, Side};
use crate::real::Real;

/// Under these an embedded API is reached, beside the address of its listener.
const LOOPBACK: &str = "127.0.0.1";
const ADMIN: &str = "admin";

/// An API server, embedded or real.
#[derive(Debug)]
pub struct Cluster {
    address: SocketAddr,
    namespace: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Embedded(Own),
    Real(Real),
}

/// An embedded API of this test alone.
#[derive(Debug)]
struct Own {
    server: ApiServer,
    runtime: Handle,
    authority: Arc<Authority>,
    serving: JoinHandle<()>,
    /// What users other than the administrator come with.
    granted: Mutex<BTreeMap<String, Credential>>,
}

impl Drop for Own {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Own {
    fn serve(
        runtime: &Handle,
        authority: Arc<Authority>,
        namespace: &str,
        listener: TcpListener,
    ) -> Result<Self> {
        let server = ApiServer::builder().credentials([Credential::admin(ADMIN)]).build();
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        server.store().create(object)?;
        let tls = authority.server_certificate(&[LOOPBACK, &listener.local_addr()?.ip().to_string()])?;
        listener.set_nonblocking(true)?;
        let serving = server.clone();
        let serving = runtime.spawn(async move {
            // What cannot be listened on is found out by whoever connects.
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                serving.serve(listener, tls).await;
            }
        });
        Ok(Self { server, runtime: runtime.clone(), authority, serving, granted: Mutex::default() })
    }

    fn grant(&self, user: &str, credential: Credential) {
        self.server.credentials().grant(credential.clone());
        self.granted.lock().unwrap_or_else(PoisonError::into_inner).insert(user.to_owned(), credential);
    }
}

impl Cluster {
    pub(crate) fn embedded(runtime: &Handle, namespace: &str, listener: TcpListener) -> Result<Self> {
        let authority = Arc::new(Authority::new("right authority")?);
        let address = listener.local_addr()?;
        let own = Own::serve(runtime, authority, namespace, listener)?;
        Ok(Self { address, namespace: namespace.to_owned(), kind: Kind::Embedded(own) })
    }

    pub(crate) fn real(
        runtime: &Handle,
        entry: &Entry,
        namespace: &str,
        listener: TcpListener,
    ) -> Result<Self> {
        let address = listener.local_addr()?;
        let real = Real::start(runtime, entry, namespace, listener)?;
        Ok(Self { address, namespace: namespace.to_owned(), kind: Kind::Real(real) })
    }

    pub(crate) fn side(&self) -> Side<'_> {
        match &self.kind {
            Kind::Embedded(own) => Side::Embedded(own.server.store().managed_by("test")),
            Kind::Real(real) => Side::Real(real),
        }
    }

    /// Where it is reached.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of its authority.
    pub fn authority(&self) -> String {
        match &self.kind {
            Kind::Embedded(own) => own.authority.pem(),
            Kind::Real(real) => real.authority.clone(),
        }
    }

    /// The name in that certificate.
    pub fn authority_name(&self) -> &'static str {
        match &self.kind {
            Kind::Embedded(_) => "right authority",
            Kind::Real(_) => "control plane under test",
        }
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> String {
        match &self.kind {
            Kind::Embedded(_) => self.kubeconfig_of(ADMIN),
            Kind::Real(real) => self.kubeconfig_of(&real.token),
        }
    }

    /// A kubeconfig for the holder of a token.
    pub fn kubeconfig_of(&self, token: &str) -> String {
        kubeconfig(&format!("https://{}", self.address), &self.authority(), token, "test")
    }

    /// What makes the administrator's client within a runtime, which may be that of a thread in a network namespace
    /// without a way to the server.
    pub fn client(&self) -> Box<dyn FnOnce() -> Client + Send> {
        let namespace = self.namespace.clone();
        match &self.kind {
            Kind::Embedded(own) => {
                let service = own.server.service_as(ADMIN);
                Box::new(move || Client::new(service, namespace))
            }
            Kind::Real(real) => {
                let service = real.forward(self.address);
                Box::new(move || Client::new(service, namespace))
            }
        }
    }

    /// The objects in it.
    pub fn objects(&self) -> Objects<'_> {
        Objects(self)
    }

    /// What may go wrong with it.
    pub fn faults(&self) -> Faults<'_> {
        Faults(self)
    }

    /// Lets a user do what rules say and nothing else; returns the user's token, which stays the same.
    pub fn allow(&self, user: &str, rules: &[Rule]) -> Result<String> {
        match &self.kind {
            Kind::Embedded(own) => {
                let token = format!("token-of-{user}");
                own.grant(user, Credential::with_rules(&token, user, rules.to_vec()));
                Ok(token)
            }
            Kind::Real(real) => real.allow(user, rules),
        }
    }

    /// Lets a member of a clusterset do in the cluster's namespace what it may on a hub; returns its token.
    pub fn join(&self, member: &str) -> Result<String> {
        match &self.kind {
            Kind::Embedded(own) => {
                let token = format!("token-of-member-{member}");
                let id = member.parse().context("the id of a cluster")?;
                own.grant(member, Credential::member(&token, &id, &self.namespace));
                Ok(token)
            }
            Kind::Real(real) => {
                let rules = [
                    Rule::on("submariner.io", &["clusters", "endpoints"]).within(&self.namespace),
                    Rule::on("coordination.k8s.io", &["leases"]).within(&self.namespace),
                ];
                real.allow(&format!("cluster-{member}"), &rules)
            }
        }
    }

    /// Takes a member's token away, and gives it another.
    pub fn replace_token(&self, member: &str) -> Result<String> {
        match &self.kind {
            Kind::Embedded(own) => {
                own.server.credentials().revoke(&format!("cluster-{member}"));
                let (token, id) = ("replaced", member.parse().context("the id of a cluster")?);
                own.grant(member, Credential::member(token, &id, &self.namespace));
                Ok(token.to_owned())
            }
            Kind::Real(real) => {
                real.revoke(&format!("cluster-{member}"))?;
                self.join(member)
            }
        }
    }

    /// The same server after the loss of everything in its namespace; who had a credential still has it.
    pub fn emptied(self) -> Result<Self> {
        let Self { address, namespace, kind } = self;
        let own = match kind {
            Kind::Embedded(own) => own,
            Kind::Real(real) => {
                real.relay.set_link(Link::Refused);
                real.empty(&namespace)?;
                real.relay.set_link(Link::Up);
                return Ok(Self { address, namespace, kind: Kind::Real(real) });
            }
        };
        own.server.faults().set_link(Link::Refused);
        let (runtime, authority) = (own.runtime.clone(), Arc::clone(&own.authority));
        let granted = std::mem::take(&mut *own.granted.lock().unwrap_or_else(PoisonError::into_inner));
        drop(own);
        let fresh = Own::serve(&runtime, authority, &namespace, listen_again(address)?)?;
        for (user, credential) in granted {
            fresh.grant(&user, credential);
        }
        Ok(Self { address, namespace, kind: Kind::Embedded(fresh) })
    }
}

/// The one that listened there ends about now.
fn listen_again(address: SocketAddr) -> Result<TcpListener> {
    for _ in 0..1000 {
        if let Ok(listener) = TcpListener::bind(address) {
            return Ok(listener);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(TcpListener::bind(address)?)
}

/// What may go wrong with a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Faults<'a>(&'a Cluster);

impl Faults<'_> {
    /// Partitions the server off, or joins it again.
    pub fn set_link(&self, link: Link) {
        match &self.0.kind {
            Kind::Embedded(own) => own.server.faults().set_link(link),
            Kind::Real(real) => real.relay.set_link(link),
        }
    }

    /// Ends all running watches; of a real server all connections.
    pub fn cut_watches(&self) {
        match &self.0.kind {
            Kind::Embedded(own) => own.server.faults().cut_watches(),
            Kind::Real(real) => real.relay.cut(),
        }
    }

    /// What only the embedded API can be told to do wrong.
    pub fn knobs(&self) -> Option<subm_apiserver::Faults> {
        match &self.0.kind {
            Kind::Embedded(own) => Some(own.server.faults()),
            Kind::Real(_) => None,
        }
    }
}
