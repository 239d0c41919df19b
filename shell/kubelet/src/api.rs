//! The kubelet's requests.

use http::{Method, Request, header};
use serde_json::Value;
use subm_kube::kube::{self, Client};

/// Sends JSON, or nothing, and gives the answer.
pub(crate) async fn ask(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> kube::Result<Value> {
    let media_type = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let mut request = Request::builder().method(method).uri(path);
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, media_type);
    }
    let bytes = body.map(Value::to_string).unwrap_or_default().into_bytes();
    client.request(request.body(bytes).map_err(kube::Error::HttpError)?).await
}

/// The same where an absent object is no error.
pub(crate) async fn find(client: &Client, path: &str) -> kube::Result<Option<Value>> {
    match ask(client, Method::GET, path, None).await {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

/// The path of a Pod.
pub(crate) fn path_of(pod: &Value) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", text(pod, "/metadata/namespace"), text(pod, "/metadata/name"))
}

/// The text at a JSON pointer; empty where there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The elements of the list at a JSON pointer.
pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
