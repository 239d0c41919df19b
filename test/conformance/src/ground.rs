//! What a claim stands on: an API server and a namespace of its own.

use anyhow::{Context as _, Result, bail, ensure};
use http::{HeaderMap, Method, header};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use subm_servers::Api;
use subm_servers::until;

/// An API server and a namespace that no other claim uses.
#[derive(Clone)]
pub struct Ground {
    /// The server.
    pub api: Api,
    /// The namespace.
    pub namespace: String,
    /// Who asks; the administrator unless said otherwise.
    pub client: Client,
}

/// The body of a PATCH.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patch<'a> {
    Json,
    Merge,
    Strategic,
    /// Server-side apply by this field manager.
    Apply(&'a str),
    /// The same, taking over what others own.
    Force(&'a str),
}

impl Patch<'_> {
    fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply(_) | Self::Force(_) => "application/apply-patch+yaml",
        }
    }

    fn query(self) -> String {
        match self {
            Self::Json | Self::Merge | Self::Strategic => String::new(),
            Self::Apply(manager) => format!("?fieldManager={manager}"),
            Self::Force(manager) => format!("?fieldManager={manager}&force=true"),
        }
    }
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What was asked, without names.
    asked: String,
    /// The HTTP code.
    pub code: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null where it is no JSON.
    pub body: Value,
    /// The body as it came.
    pub bytes: Vec<u8>,
}

impl Ground {
    /// The path of a resource in this claim's namespace: of `configmaps`, or `coordination.k8s.io/v1/leases`.
    pub(crate) fn path(&self, resource: &str) -> String {
        match resource.rsplit_once('/') {
            None => format!("/api/v1/namespaces/{}/{resource}", self.namespace),
            Some((group, resource)) => {
                format!("/apis/{group}/namespaces/{}/{resource}", self.namespace)
            }
        }
    }

    /// The path of one object in this claim's namespace.
    pub(crate) fn at(&self, resource: &str, name: &str) -> String {
        format!("{}/{name}", self.path(resource))
    }

    /// The same ground, asked by another client.
    pub(crate) fn by(&self, client: Client) -> Self {
        Self { client, ..self.clone() }
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: http::Request<Vec<u8>>) -> Result<Answer> {
        let (parts, body) = request.into_parts();
        let asked = self.shown(&parts.method, &parts.uri);
        let request = http::Request::from_parts(parts, Body::from(body));
        let response = self.client.send(request).await.with_context(|| asked.clone())?;
        let (parts, body) = response.into_parts();
        let bytes = body.collect_bytes().await.with_context(|| asked.clone())?.to_vec();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Answer { asked, code: parts.status.as_u16(), headers: parts.headers, body, bytes })
    }

    /// Sends JSON, or nothing.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let mut request = http::Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let bytes = body.map(Value::to_string).unwrap_or_default().into_bytes();
        self.send(request.body(bytes)?).await
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        self.ask(Method::GET, path, None).await
    }

    /// GET with an `Accept` header.
    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Result<Answer> {
        let request = http::Request::get(path).header(header::ACCEPT, accept);
        self.send(request.body(Vec::new())?).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.ask(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Answer> {
        self.ask(Method::DELETE, path, None).await
    }

    pub(crate) async fn patch(&self, path: &str, kind: Patch<'_>, body: &Value) -> Result<Answer> {
        let request = http::Request::patch(format!("{path}{}", kind.query()))
            .header(header::CONTENT_TYPE, kind.media_type());
        self.send(request.body(body.to_string().into_bytes())?).await
    }

    /// Creates an object, which must work.
    pub(crate) async fn create(&self, resource: &str, object: &Value) -> Result<Value> {
        self.post(&self.path(resource), object).await?.wants(201)
    }

    /// A ConfigMap with one key, created.
    pub(crate) async fn config_map(&self, name: &str, value: &str) -> Result<Value> {
        self.create("configmaps", &config_map(name, value)).await
    }

    /// Waits until an object is gone.
    pub(crate) async fn gone(&self, what: &str, path: &str) -> Result<()> {
        self.until(&format!("{what} is gone"), || async {
            let answer = self.get(path).await?;
            ensure!(answer.code == 404, "it is there");
            Ok(())
        })
        .await
    }

    /// Waits until something works, as long as this server may take for it.
    pub(crate) async fn until<T, F>(&self, what: &str, attempt: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        until(self.api.patience, what, attempt).await
    }

    /// A request without the names that differ between runs.
    fn shown(&self, method: &Method, uri: &http::Uri) -> String {
        let path = uri.path().replace(&format!("/namespaces/{}", self.namespace), "");
        format!("{method} {path}")
    }
}

impl Answer {
    /// The body, where the code is this one.
    pub(crate) fn wants(&self, code: u16) -> Result<Value> {
        if self.code == code {
            return Ok(self.body.clone());
        }
        let reason = self.body["reason"].as_str().unwrap_or("no reason");
        bail!("{} answers {} ({reason}), not {code}", self.asked, self.code)
    }

    /// The `Status` of a refusal with this code and reason.
    pub(crate) fn refuses(&self, code: u16, reason: &str) -> Result<Value> {
        let status = self.wants(code)?;
        let found = status["reason"].as_str().unwrap_or_default();
        ensure!(found == reason, "{} is refused for reason {found:?}, not {reason:?}", self.asked);
        ensure!(status["kind"] == "Status", "{} is refused without a Status", self.asked);
        ensure!(status["code"] == json!(code), "the Status of {} does not repeat its code", self.asked);
        Ok(status)
    }

    /// The `Content-Type`.
    pub(crate) fn media_type(&self) -> &str {
        let header = self.headers.get(header::CONTENT_TYPE);
        header.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A ConfigMap with one key.
pub(crate) fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value}})
}

/// Fails where what is found at a JSON pointer is not what is wanted.
pub(crate) fn same(object: &Value, pointer: &str, wanted: &Value) -> Result<()> {
    let found = object.pointer(pointer).unwrap_or(&Value::Null);
    ensure!(found == wanted, "{pointer} is {found}, not {wanted}");
    Ok(())
}

/// The text at a JSON pointer.
pub(crate) fn text(object: &Value, pointer: &str) -> Result<String> {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("{pointer} is no text"))
}
