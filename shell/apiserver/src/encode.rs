//! The last step of an answer: JSON as it was made becomes YAML, JSON in lines, or is compressed.

use std::io::Write as _;

use axum::body::{Body, HttpBody as _, to_bytes};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderValue, Response, header};
use serde_json::Value;

use crate::negotiate::{Encoding, Transfer};

/// COMPAT: less is sent as it is.
const COMPRESSED_FROM: u64 = 128 * 1024;

/// Writes the body of a response as it was asked for; what goes on without end stays as it is.
pub(crate) async fn finish(response: Response<Body>, transfer: Transfer) -> Response<Body> {
    let Some(length) = response.body().size_hint().exact() else { return response };
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    let rewrites = is_json && (transfer.encoding == Encoding::Yaml || transfer.pretty);
    let may_shrink = transfer.gzip && response.status().is_success();
    if !(rewrites || may_shrink && length > COMPRESSED_FROM) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // The body lies in memory already, so that reading it cannot fail.
    let Ok(mut bytes) = to_bytes(body, usize::MAX).await else {
        return Response::from_parts(parts, Body::empty());
    };
    if rewrites {
        let (written, media_type) = rewritten(bytes, transfer);
        bytes = written;
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    if may_shrink && bytes.len() as u64 > COMPRESSED_FROM {
        let plain = bytes.clone();
        let compressed = tokio::task::spawn_blocking(move || gzip(&plain)).await;
        if let Some(compressed) = compressed.ok().flatten() {
            bytes = compressed;
            parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(bytes))
}

fn rewritten(json: Bytes, transfer: Transfer) -> (Bytes, &'static str) {
    if transfer.encoding == Encoding::Yaml {
        let yaml = serde_json::from_slice::<Value>(&json).ok().and_then(|value| yaml(&value));
        return yaml.map_or((json, "application/json"), |yaml| (yaml.into(), "application/yaml"));
    }
    (pretty(&json).into(), "application/json")
}

fn yaml(value: &Value) -> Option<String> {
    // Folded texts are read in more than one way.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options).ok()
}

fn gzip(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// JSON text with an entry per line; the order of entries stays.
fn pretty(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let (mut in_text, mut escaped) = (false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', depth * 2));
    };
    for (at, &byte) in json.iter().enumerate() {
        if in_text {
            out.push(byte);
            in_text = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        let next = json.get(at + 1);
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                depth += 1;
                if !matches!(next, Some(b'}' | b']')) {
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if !matches!(at.checked_sub(1).map(|before| json[before]), Some(b'{' | b'[')) {
                    line(&mut out, depth);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            other => {
                in_text = other == b'"';
                out.push(other);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_in_lines_is_the_same_json() {
        let value = json!({"a": [], "b": {}, "c": [1, {"d": "x,{\"y\\"}], "e": null});
        let text = String::from_utf8(pretty(value.to_string().as_bytes())).unwrap();
        assert_eq!(text, serde_json::to_string_pretty(&value).unwrap());
    }

    #[test]
    fn text_that_looks_like_something_else_stays_text_in_yaml() {
        let value = json!({"a": "yes", "b": "1", "c": "", "d": "- x: y", "e": "a\nb\n", "f": "null", "g": "0x1", "h": [{"i": 1}], "k": "a: b"});
        let read: Value = serde_saphyr::from_str(&yaml(&value).unwrap()).unwrap();
        assert_eq!(read, value);
    }

    #[tokio::test]
    async fn large_answers_are_compressed_where_that_is_accepted() {
        let transfer = Transfer { encoding: Encoding::Json, pretty: false, gzip: true };
        let answer = |size: usize| {
            let mut response = Response::new(Body::from(vec![b'x'; size]));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        };
        let large = finish(answer(200_000), transfer).await;
        assert_eq!(large.headers()[header::CONTENT_ENCODING], "gzip");
        assert!(large.body().size_hint().exact().unwrap() < 10_000);
        let small = finish(answer(1000), transfer).await;
        assert!(!small.headers().contains_key(header::CONTENT_ENCODING));
        let refused = finish(answer(200_000), Transfer { gzip: false, ..transfer }).await;
        assert!(!refused.headers().contains_key(header::CONTENT_ENCODING));
    }
}
