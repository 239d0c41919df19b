//! Answers to paths that name no objects: version, discovery, OpenAPI documents, backups.

use axum::body::Body;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::access::{Authoriser, User};
use crate::backup::Backup;
use crate::discovery::{self, Aggregated};
use crate::identity::AUDIENCE;
use crate::openapi;
use crate::refusal::Refusal;
use crate::respond::respond_json;
use crate::server::Shared;

/// The answer to a path, if it is such a one.
pub(crate) fn answer(
    shared: &Shared,
    (authoriser, user): (&Authoriser, &User),
    parts: &Parts,
) -> Result<Option<Response<Body>>, Refusal> {
    let path = parts.uri.path();
    let authorise = || authoriser.authorise_path(user, &parts.method.as_str().to_lowercase(), path);
    let found = || discovery::answer(path, shared.read().kinds());
    if path == "/version" {
        authorise()?;
        return Ok(found().map(|version| respond_json(200, &version)));
    }
    if shared.faults().refuses_request() {
        return Err(Refusal::Unavailable);
    }
    if path == "/backup" && shared.backup_files().is_some() {
        authorise()?;
        return Ok(Some(backup(shared)));
    }
    if parts.method != Method::GET {
        return Ok(None);
    }
    if let Some(told) = issuer(shared, parts) {
        authorise()?;
        return Ok(Some(told));
    }
    if let Some(form) = Aggregated::asked(path, &parts.headers) {
        authorise()?;
        return Ok(Some(aggregated(shared, parts, form)));
    }
    if let Some(found) = found() {
        authorise()?;
        return Ok(Some(respond_json(200, &found)));
    }
    let document = openapi::answer(path, shared.read().kinds(), &parts.headers);
    let Some(document) = document else { return Ok(None) };
    authorise()?;
    document.map(Some)
}

/// All groups at once; a client that has them already is told so.
fn aggregated(shared: &Shared, parts: &Parts, form: Aggregated) -> Response<Body> {
    let text = form.document(parts.uri.path(), shared.read().kinds()).to_string();
    let tag =
        Sha256::digest(text.as_bytes()).iter().fold(String::new(), |tag, byte| format!("{tag}{byte:02X}"));
    let tag = format!("\"{tag}\"");
    let known =
        parts.headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = Response::new(if known { Body::empty() } else { Body::from(text) });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
    response
}

/// How others check the tokens of ServiceAccounts: discovery as `OpenID` Connect has it.
fn issuer(shared: &Shared, parts: &Parts) -> Option<Response<Body>> {
    let (document, media_type) = match parts.uri.path().trim_end_matches('/') {
        "/.well-known/openid-configuration" => {
            let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
            let host = host
                .or(parts.uri.authority().map(http::uri::Authority::as_str))
                .unwrap_or("kubernetes.default.svc");
            let document = json!({
                "issuer": AUDIENCE,
                "jwks_uri": format!("https://{host}/openid/v1/jwks"),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            });
            (document, "application/json")
        }
        "/openid/v1/jwks" => (shared.token_key().public_keys(), "application/jwk-set+json"),
        _ => return None,
    };
    let mut response = respond_json(200, &document);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    Some(response)
}

fn backup(shared: &Shared) -> Response<Body> {
    let backup = Backup {
        files: shared.backup_files().cloned().unwrap_or_default(),
        contents: shared.read().contents(),
    };
    let mut response = Response::new(Body::from(backup.to_text()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    response
}
