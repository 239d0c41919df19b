//! A real API server as a test's own cluster: emptied at the start, reached through a relay.

mod access;
mod forward;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Method;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use subm_apiserver::kubeconfig;
use tokio::runtime::Handle;

use crate::fleet::Entry;
use crate::relay::Relay;

const PATIENCE: Duration = Duration::from_mins(1);
/// What tests and what they start leave in a namespace.
const LEFT: &[&str] = &[
    "clusters.submariner.io",
    "endpoints.submariner.io",
    "gateways.submariner.io",
    "routeagents.submariner.io",
    "leases.coordination.k8s.io",
    "configmaps",
    "events",
    "pods",
    "services",
    "secrets",
];

/// The server.
pub(crate) struct Real {
    pub(crate) authority: String,
    pub(crate) token: String,
    pub(crate) relay: Relay,
    runtime: Handle,
    client: Client,
    namespace: String,
    /// Of users, by their names.
    tokens: Mutex<BTreeMap<String, String>>,
}

impl fmt::Debug for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Real").field("relay", &self.relay).finish_non_exhaustive()
    }
}

impl Real {
    pub(crate) fn start(
        runtime: &Handle,
        entry: &Entry,
        namespace: &str,
        listener: TcpListener,
    ) -> Result<Self> {
        let client = connect(runtime, entry.address, &entry.authority, &entry.token)?;
        let relay = Relay::start(runtime, listener, entry.address)?;
        let real = Self {
            authority: entry.authority.clone(),
            token: entry.token.clone(),
            relay,
            runtime: runtime.clone(),
            client,
            namespace: namespace.to_owned(),
            tokens: Mutex::default(),
        };
        real.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))?;
        real.empty(namespace)?;
        real.wants(&Method::DELETE, &path("nodes", ""), None)?;
        Ok(real)
    }

    /// Deletes what tests leave in a namespace.
    pub(crate) fn empty(&self, namespace: &str) -> Result<()> {
        for resource in LEFT {
            self.wants(&Method::DELETE, &path(resource, namespace), None)?;
        }
        Ok(())
    }

    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let path = format!("{}/{name}", path(resource, namespace));
        match self.asked(&Method::GET, &path, None) {
            (200, object) => Some(object),
            (404, _) => None,
            (code, answer) => panic!("GET {path} answers {code}: {}", answer["message"]),
        }
    }

    pub(crate) fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<Value> {
        let path = path(resource, namespace.unwrap_or_default());
        let (code, list) = self.asked(&Method::GET, &path, None);
        assert!(code == 200, "GET {path} answers {code}: {}", list["message"]);
        list["items"].as_array().cloned().unwrap_or_default()
    }

    pub(crate) fn create(&self, object: &Value) -> Result<Value> {
        self.wants(&Method::POST, &format!("{}?fieldManager=test", of(object)), Some(object))
    }

    pub(crate) fn replace(&self, object: &Value, part: &str) -> Result<Value> {
        let path = format!("{}/{}{part}?fieldManager=test", of(object), text(object, "name"));
        let mut object = object.clone();
        if text(&object, "resourceVersion").is_empty() {
            // As the embedded API is asked: whatever stands there now.
            let found =
                self.wants(&Method::GET, &format!("{}/{}", of(&object), text(&object, "name")), None)?;
            object["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
        }
        self.wants(&Method::PUT, &path, Some(&object))
    }

    pub(crate) fn apply(&self, object: &Value) -> Result<Value> {
        let path = format!("{}/{}?fieldManager=test&force=true", of(object), text(object, "name"));
        self.patch(&path, "application/apply-patch+yaml", object)
    }

    pub(crate) fn merge(&self, resource: &str, namespace: &str, name: &str, change: &Value) -> Result<Value> {
        let path = format!("{}/{name}?fieldManager=test", path(resource, namespace));
        self.patch(&path, "application/merge-patch+json", change)
    }

    pub(crate) fn delete(&self, resource: &str, namespace: &str, name: &str) -> Result<()> {
        self.wants(&Method::DELETE, &format!("{}/{name}", path(resource, namespace)), None).map(drop)
    }

    fn patch(&self, path: &str, media_type: &'static str, body: &Value) -> Result<Value> {
        let (code, answer) = self.sent(&Method::PATCH, path, Some((media_type, body)))?;
        ensure!((200..300).contains(&code), "PATCH {path} answers {code}: {}", answer["message"]);
        Ok(answer)
    }

    /// An answer that says that it is done.
    fn wants(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let (code, answer) = self.sent(method, path, body.map(|body| ("application/json", body)))?;
        ensure!((200..300).contains(&code), "{method} {path} answers {code}: {}", answer["message"]);
        Ok(answer)
    }

    fn asked(&self, method: &Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let answer = self.sent(method, path, body.map(|body| ("application/json", body)));
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error:#}"))
    }

    /// Sends a request from a thread of the runtime, which is in the server's network namespace, and waits.
    fn sent(
        &self,
        method: &Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<(u16, Value)> {
        let mut request = http::Request::builder().method(method).uri(path);
        if let Some((media_type, _)) = body {
            request = request.header(http::header::CONTENT_TYPE, media_type);
        }
        let bytes = body.map(|(_, body)| body.to_string()).unwrap_or_default();
        let request = request.body(kube::client::Body::from(bytes.into_bytes()))?;
        let client = self.client.clone();
        let (tell, told) = mpsc::channel();
        self.runtime.spawn(async move {
            // Whoever asked may have given up.
            let _gone = tell.send(answer(&client, request).await);
        });
        told.recv_timeout(PATIENCE).with_context(|| format!("{method} {path}"))?
    }
}

async fn answer(client: &Client, request: http::Request<kube::client::Body>) -> Result<(u16, Value)> {
    let response = client.send(request).await?;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect_bytes().await?;
    Ok((code, serde_json::from_slice(&bytes).unwrap_or_default()))
}

/// A client whose work is done by a runtime's threads.
fn connect(runtime: &Handle, address: SocketAddr, authority: &str, token: &str) -> Result<Client> {
    let text = kubeconfig(&format!("https://{address}"), authority, token, "admin");
    let (tell, told) = mpsc::channel();
    runtime.spawn(async move {
        let made = async {
            let file = Kubeconfig::from_yaml(&text)?;
            let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
            config.read_timeout = None;
            anyhow::Ok(Client::try_from(config)?)
        };
        // Whoever asked may have given up.
        let _gone = tell.send(made.await);
    });
    told.recv_timeout(PATIENCE).context("a client")?
}

/// The path of a resource that is named in full. All that tests use are of version 1.
fn path(resource: &str, namespace: &str) -> String {
    let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
    let root = if group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{group}/v1") };
    let within = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
    format!("{root}{within}/{plural}")
}

/// The path of an object's resource. All that tests use have a plural in `s`.
fn of(object: &Value) -> String {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let plural = format!("{}s", object["kind"].as_str().unwrap_or_default().to_lowercase());
    let resource = if group.is_empty() { plural } else { format!("{plural}.{group}") };
    path(&resource, text(object, "namespace"))
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}
