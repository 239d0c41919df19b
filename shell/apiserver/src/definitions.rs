//! CustomResourceDefinitions: what they must be like, and the kinds that they make.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::jsonpath::JsonPath;
use crate::kinds::{Cell, Column, Custom, Kind, KindId, Origin, Scale, Scope, StatusField, metadata};
use crate::schema::{NoReferences, Schema};

mod check;

pub(crate) use check::{problems, problems_of_change};

/// What holds a deleted definition back until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Completes what a definition leaves out.
pub(crate) fn complete(definition: &mut Value) {
    let Some(spec) = definition.get_mut("spec").and_then(Value::as_object_mut) else { return };
    spec.entry("conversion").or_insert_with(|| json!({"strategy": "None"}));
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) {
        let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !kind.is_empty() {
            default_text(names, "singular", &kind.to_lowercase());
            default_text(names, "listKind", &format!("{kind}List"));
        }
    }
}

fn default_text(names: &mut Map<String, Value>, key: &str, text: &str) {
    if names.get(key).and_then(Value::as_str).is_none_or(str::is_empty) {
        names.insert(key.to_owned(), json!(text));
    }
}

/// The versions of a definition.
pub(crate) fn versions(definition: &Value) -> impl Iterator<Item = &Value> {
    definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten()
}

/// A text of a definition, empty where it is absent.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The name of the version in which objects are kept.
pub(crate) fn storage_version(definition: &Value) -> &str {
    let stored = versions(definition).find(|version| version.get("storage") == Some(&Value::Bool(true)));
    stored.map_or("", |version| text(version, "/name"))
}

/// Whether a definition's kinds are served.
pub(crate) fn is_established(definition: &Value) -> bool {
    let conditions = definition.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|known| known["type"] == "Established" && known["status"] == "True")
}

/// So many kinds are kept at most.
const MOST_KINDS: usize = 4096;
/// So many bytes of definitions are kept as kinds at most.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// The kinds that were made so far.
#[derive(Default)]
struct Made {
    /// By the digest of what made them.
    kinds: HashMap<[u8; 32], KindId>,
    /// The length of the definitions that made them.
    bytes: usize,
}

/// INVARIANT: a kind is never freed, so that an id is always good; the same definition makes the same kind again, so
/// memory grows with different definitions only, and [`has_room`] bounds them.
static MADE: LazyLock<Mutex<Made>> = LazyLock::new(Mutex::default);

/// What one version of a definition contributes to a kind.
struct Identity {
    digest: [u8; 32],
    bytes: usize,
}

fn identity(definition: &Value, version: &Value) -> Identity {
    let spec = &definition["spec"];
    let text = json!([spec["group"], spec["names"], spec["scope"], version]).to_string();
    Identity { digest: Sha256::digest(text.as_bytes()).into(), bytes: text.len() }
}

fn made() -> MutexGuard<'static, Made> {
    MADE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why no kinds can be made of a definition any more, if so.
pub(crate) fn has_room(definition: &Value) -> Result<(), String> {
    let made = made();
    let new = versions(definition).map(|version| identity(definition, version));
    let new: Vec<_> = new.filter(|identity| !made.kinds.contains_key(&identity.digest)).collect();
    let bytes: usize = new.iter().map(|identity| identity.bytes).sum();
    let full = made.kinds.len() + new.len() > MOST_KINDS || made.bytes + bytes > MOST_BYTES;
    if new.is_empty() || !full {
        return Ok(());
    }
    Err(format!(
        "this server has seen {} different versions of definitions since it started ({} MiB) and takes no other new \
         ones; restart it to have those forgotten that are no longer defined",
        made.kinds.len(),
        made.bytes / 1024 / 1024
    ))
}

/// The kinds of a definition that is well-formed, one per version.
pub(crate) fn kinds(definition: &Value) -> Vec<KindId> {
    versions(definition).map(|version| kind(definition, version)).collect()
}

fn kind(definition: &Value, version: &Value) -> KindId {
    let Identity { digest, bytes } = identity(definition, version);
    let mut made = made();
    if let Some(known) = made.kinds.get(&digest) {
        return *known;
    }
    let kind = KindId::of_definition(Box::leak(Box::new(make(&definition["spec"], version))));
    made.kinds.insert(digest, kind);
    made.bytes += bytes;
    kind
}

fn keep(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

fn keep_all<T>(items: impl IntoIterator<Item = T>) -> &'static [T] {
    Box::leak(items.into_iter().collect::<Vec<_>>().into_boxed_slice())
}

fn texts(value: Option<&Value>) -> &'static [&'static str] {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    keep_all(items.filter_map(Value::as_str).map(keep))
}

fn make(spec: &Value, version: &Value) -> Kind {
    let names = &spec["names"];
    let written = version.pointer("/schema/openAPIV3Schema").cloned().unwrap_or_default();
    let mut schema = Schema::read(&written, &mut NoReferences);
    schema.properties.insert("metadata".to_owned(), metadata());
    let scale = version.pointer("/subresources/scale").map(|scale| Scale {
        desired: pointer(text(scale, "/specReplicasPath")),
        observed: pointer(text(scale, "/statusReplicasPath")),
        selector: scale.get("labelSelectorPath").and_then(Value::as_str).map(pointer),
    });
    let selectable = version.get("selectableFields").and_then(Value::as_array).into_iter().flatten();
    let says = |key: &str| version.get(key) == Some(&Value::Bool(true));
    let custom = Custom { schema, written };
    Kind {
        group: keep(text(spec, "/group")),
        version: keep(text(version, "/name")),
        name: keep(text(names, "/kind")),
        plural: keep(text(names, "/plural")),
        singular: keep(text(names, "/singular")),
        list_name: keep(text(names, "/listKind")),
        short: texts(names.get("shortNames")),
        categories: texts(names.get("categories")),
        scope: if text(spec, "/scope") == "Cluster" { Scope::Cluster } else { Scope::Namespaced },
        status: match version.pointer("/subresources/status") {
            Some(status) if !status.is_null() => StatusField::Separate,
            _ => StatusField::Ordinary,
        },
        fields: keep_all(selectable.filter_map(|field| {
            let path = JsonPath::parse(text(field, "/jsonPath"))?;
            Some(keep(&path.dotted()?))
        })),
        columns: columns(version),
        origin: Origin::Custom(Box::leak(Box::new(custom))),
        complete: |_| {},
        check: |_, _| {},
        counts_generations: true,
        scale,
        kept_as: None,
        is_stored: says("storage"),
        is_served: says("served"),
    }
}

/// The kind of one of Submariner's own definitions, for tests.
#[cfg(test)]
pub(crate) fn own(plural: &str) -> KindId {
    let definitions = subm_api::crds().into_iter().map(|crd| serde_json::to_value(crd).unwrap());
    definitions.flat_map(|crd| kinds(&crd)).find(|kind| kind.plural == plural).unwrap()
}

/// A dotted path as a JSON pointer.
fn pointer(path: &str) -> &'static str {
    keep(&path.replace('.', "/"))
}

fn columns(version: &Value) -> &'static [Column] {
    let age = json!([{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp",
        "description": "CreationTimestamp is the time at which the object was made, in UTC."}]);
    let columns = version.get("additionalPrinterColumns").unwrap_or(&age);
    let column = |column: &Value| {
        let path = JsonPath::parse(text(column, "/jsonPath"))?;
        Some(Column {
            name: keep(text(column, "/name")),
            cell: Cell::Defined(Box::leak(Box::new(path))),
            priority: column.get("priority").and_then(Value::as_i64).unwrap_or_default(),
            form: keep(text(column, "/type")),
            format: keep(text(column, "/format")),
            description: keep(text(column, "/description")),
        })
    };
    keep_all(columns.as_array().into_iter().flatten().filter_map(column))
}
