//! The OpenAPI documents: what kinds look like, for `kubectl explain` and for clients that check before they send.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, header};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::kinds::{KindId, Kinds, definition_name, definitions, gvk_of};
use crate::negotiate::{Encoding, MediaType};
use crate::refusal::Refusal;
use crate::respond::respond_json;

mod gnostic;
mod paths;

/// The prefix of definitions in documents of version 3, and in that of version 2.
const V3: &str = "#/components/schemas/";
const V2: &str = "#/definitions/";

/// The answer to a path below `/openapi`, if it is one.
pub(crate) fn answer(
    path: &str,
    kinds: &Kinds,
    headers: &HeaderMap,
) -> Option<Result<Response<Body>, Refusal>> {
    let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let accepted = MediaType::accepted(headers);
    let found = match segments.as_slice() {
        ["openapi", "v2"] => {
            if accepted
                .first()
                .is_some_and(|first| [gnostic::ASKED, gnostic::MEDIA_TYPE].contains(&first.kind()))
            {
                return Some(Ok(in_protobuf(kinds)));
            }
            version_two(kinds)
        }
        ["openapi", "v3"] => index(kinds),
        ["openapi", "v3", "api", version] => document(kinds, "", version)?,
        ["openapi", "v3", "apis", group, version] => document(kinds, group, version)?,
        _ => return None,
    };
    let takes_json = accepted.iter().any(|known| known.encoding() == Some(Encoding::Json));
    Some(if takes_json { Ok(respond_json(200, &found)) } else { Err(Refusal::NotAcceptable) })
}

fn in_protobuf(kinds: &Kinds) -> Response<Body> {
    let mut response = Response::new(Body::from(gnostic::document(&version_two(kinds))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(gnostic::MEDIA_TYPE));
    response
}

/// The groups and versions that are served, each with its place among paths.
fn groups(kinds: &Kinds) -> Vec<(&'static str, &'static str)> {
    let mut groups: Vec<_> = kinds.visible().map(|kind| (kind.group, kind.version)).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// The path of a group and version: `api/v1`, `apis/apps/v1`.
fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// The documents of version 3; their addresses change with their content.
fn index(kinds: &Kinds) -> Value {
    let entry = |(group, version): (&str, &str)| {
        let text = document(kinds, group, version).unwrap_or_default().to_string();
        let hash = Sha256::digest(text.as_bytes())
            .iter()
            .fold(String::new(), |hash, byte| format!("{hash}{byte:02X}"));
        let root = root(group, version);
        let address = format!("/openapi/v3/{root}?hash={hash}");
        (root, json!({"serverRelativeURL": address}))
    };
    let paths: Map<_, _> = groups(kinds).into_iter().map(entry).collect();
    json!({"paths": paths})
}

/// The document of one group and version.
fn document(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let own: Vec<_> = kinds.visible().filter(|kind| kind.group == group && kind.version == version).collect();
    if own.is_empty() {
        return None;
    }
    let mut schemas = Map::new();
    let mut routes = Map::new();
    for kind in own {
        let name = schema_name(kind);
        add_schema(kind, &mut schemas);
        routes.extend(paths::of(kind, &format!("{V3}{name}")));
    }
    for meta in ["ObjectMeta", "ListMeta", "DeleteOptions", "Status"] {
        add(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{meta}"), &mut schemas);
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": crate::discovery::git_version()},
        "paths": routes,
        "components": {"schemas": schemas},
    }))
}

/// The name of a kind's schema in documents.
fn schema_name(kind: KindId) -> String {
    definition_name(kind).unwrap_or_else(|| {
        let mut parts: Vec<_> = kind.group.split('.').filter(|part| !part.is_empty()).collect();
        parts.reverse();
        parts.extend([kind.version, kind.name]);
        parts.join(".")
    })
}

fn add_schema(kind: KindId, schemas: &mut Map<String, Value>) {
    let name = schema_name(kind);
    match kind.custom() {
        None if definition_name(kind).is_some() => add(&name, schemas),
        None => {
            schemas.insert(name.clone(), whole(json!({"type": "object"})));
        }
        Some(custom) => {
            schemas.insert(name.clone(), whole(custom.written.clone()));
        }
    }
    schemas[&name]["x-kubernetes-group-version-kind"] = json!([gvk_of(kind)]);
    add("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta", schemas);
    add("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", schemas);
    let list = json!({
        "description": format!("{} is a list of {}", kind.list_kind(), kind.name),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": API_VERSION},
            "kind": {"type": "string", "description": KIND},
            "metadata": {"allOf": [{"$ref": format!("{V3}io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta")}],
                "description": "The version of the list, and how to go on with it."},
            "items": {"type": "array", "items": {"allOf": [{"$ref": format!("{V3}{name}")}]},
                "description": format!("The objects: {}.", kind.plural)},
        },
        "x-kubernetes-group-version-kind":
            [{"group": kind.group, "version": kind.version, "kind": kind.list_kind()}],
    });
    schemas.insert(format!("{name}List"), list);
}

const API_VERSION: &str = "The group and version of the schema that this object follows.";
const KIND: &str = "The kind of this object, in camel case; it cannot be changed.";

/// Gives a definition's schema what every object has.
fn whole(mut schema: Value) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        let properties = fields.entry("properties").or_insert_with(|| json!({}));
        properties["apiVersion"] = json!({"type": "string", "description": API_VERSION});
        properties["kind"] = json!({"type": "string", "description": KIND});
        properties["metadata"] = json!({
            "description": "Standard object's metadata.",
            "allOf": [{"$ref": format!("{V3}io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")}],
        });
    }
    schema
}

/// Adds a built-in definition with all that it refers to.
fn add(name: &str, schemas: &mut Map<String, Value>) {
    if schemas.contains_key(name) {
        return;
    }
    let Some(schema) = definitions().schemas.get(name) else { return };
    schemas.insert(name.to_owned(), schema.clone());
    for reference in references(schema) {
        add(&reference, schemas);
    }
}

fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(entries) => {
            let own = entries.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix(V3));
            own.map(str::to_owned).into_iter().chain(entries.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// The one document of version 2.
fn version_two(kinds: &Kinds) -> Value {
    let mut schemas = Map::new();
    let mut routes = Map::new();
    for kind in kinds.visible() {
        add_schema(kind, &mut schemas);
        routes.extend(paths::of(kind, &format!("{V3}{}", schema_name(kind))));
    }
    let mut document = json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": crate::discovery::git_version()},
        "paths": paths::version_two(routes),
        "definitions": schemas,
    });
    downgrade(&mut document);
    document
}

/// What version 3 says in other words than version 2.
fn downgrade(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            let alone = entries.get("allOf").and_then(Value::as_array).filter(|all| all.len() == 1);
            if let Some(reference) = alone.and_then(|all| all[0].get("$ref")).cloned() {
                entries.remove("allOf");
                entries.insert("$ref".to_owned(), reference);
            }
            if let Some(Value::String(reference)) = entries.get_mut("$ref") {
                *reference = reference.replace(V3, V2);
            }
            for word in ["oneOf", "anyOf", "not", "nullable"] {
                if !entries.get(word).is_none_or(Value::is_object) {
                    entries.remove(word);
                }
            }
            entries.values_mut().for_each(downgrade);
        }
        Value::Array(items) => items.iter_mut().for_each(downgrade),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
