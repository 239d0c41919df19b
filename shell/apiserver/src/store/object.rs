//! A stored object: its text, and what selectors need of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::converted;
use crate::kinds::KindId;

/// One version of an object, immutable and shared by all who read it.
#[derive(Debug)]
pub struct Object {
    namespace: Box<str>,
    name: Box<str>,
    version: u64,
    labels: BTreeMap<String, String>,
    /// Values of the kind's selectable fields, in the order of the kind's table.
    fields: Box<[Box<str>]>,
    kind: KindId,
    terminating: bool,
    uid: Box<str>,
    /// The uids of its owners.
    owners: Box<[Box<str>]>,
    finalizers: Box<[Box<str>]>,
    json: Bytes,
    /// Where in the text the fields after `kind` and `apiVersion` start.
    head: usize,
}

impl Object {
    pub(crate) fn new(kind: KindId, version: u64, value: &Value) -> Self {
        let mut value = value.clone();
        value["metadata"]["resourceVersion"] = json!(version.to_string());
        let text = |pointer: &str| value.pointer(pointer).map(field_text).unwrap_or_default();
        let owners = super::collect::references(&value);
        let owners = owners.into_iter().filter_map(|owner| Some(owner["uid"].as_str()?.into()));
        let owners = owners.collect();
        let finalizers = value["metadata"]["finalizers"].as_array().into_iter().flatten();
        let finalizers = finalizers.filter_map(|finalizer| Some(finalizer.as_str()?.into())).collect();
        let fields = kind.fields.iter().map(|field| selectable(&value, field).into());
        let head = head(kind);
        let json = written(kind, &value, &head);
        Self {
            namespace: text("/metadata/namespace").into(),
            name: text("/metadata/name").into(),
            version,
            labels: super::labels_of(&value),
            fields: fields.collect(),
            kind,
            terminating: value.pointer("/metadata/deletionTimestamp").is_some(),
            uid: text("/metadata/uid").into(),
            owners,
            finalizers,
            head: head.len(),
            json,
        }
    }

    /// The uid.
    pub(crate) fn uid(&self) -> &str {
        &self.uid
    }

    /// The uids of the owners.
    pub(crate) fn owners(&self) -> &[Box<str>] {
        &self.owners
    }

    /// What must happen before it can go.
    pub(crate) fn finalizers(&self) -> &[Box<str>] {
        &self.finalizers
    }

    /// The text after the opening brace, `kind` and `apiVersion`, as lists of built-in kinds hold it.
    pub(crate) fn json_in_list(&self) -> &[u8] {
        &self.json[self.head..]
    }

    /// The namespace, empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind.
    pub fn kind(&self) -> KindId {
        self.kind
    }

    /// The resource version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// Whether the object waits for its finalizers to go.
    pub fn is_terminating(&self) -> bool {
        self.terminating
    }

    /// The object as JSON text.
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// The object in another version of its kind.
    pub(crate) fn seen_as(self: &Arc<Self>, kind: KindId) -> Arc<Self> {
        if (self.kind.group, self.kind.version) == (kind.group, kind.version) {
            return Arc::clone(self);
        }
        Arc::new(Self::new(kind, self.version, &converted(self.value(), self.kind, kind)))
    }

    /// The object as a value.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.json).expect("the text was made from a value")
    }

    /// The text of a selectable field, empty where it is absent.
    pub(crate) fn field(&self, field: &str) -> &str {
        match field {
            "metadata.name" => &self.name,
            "metadata.namespace" => &self.namespace,
            other => {
                let index = self.kind.fields.iter().position(|known| *known == other);
                index.map_or("", |index| &self.fields[index])
            }
        }
    }
}

/// The text that a field selector compares.
fn selectable(value: &Value, field: &str) -> String {
    let found = value.pointer(&format!("/{}", field.replace('.', "/"))).map(field_text).unwrap_or_default();
    match field {
        // COMPAT: who told of an event is the component of its source.
        "source" => value["source"]["component"].as_str().unwrap_or_default().to_owned(),
        "spec.unschedulable" | "spec.hostNetwork" if found.is_empty() => "false".to_owned(),
        _ => found,
    }
}

/// COMPAT: the order in which Kubernetes writes the metadata of built-in kinds.
const METADATA: [&str; 15] = [
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// What stands before all other fields; custom kinds sort theirs by name.
fn head(kind: KindId) -> String {
    let (name, version) = (json!(kind.name), json!(kind.api_version()));
    if kind.is_custom() {
        format!("{{\"apiVersion\":{version},\"kind\":{name},")
    } else {
        format!("{{\"kind\":{name},\"apiVersion\":{version},")
    }
}

/// The text of an object, its type first.
fn written(kind: KindId, value: &Value, head: &str) -> Bytes {
    let mut text = Vec::from(head);
    let mut fields: Vec<_> = value.as_object().into_iter().flatten().collect();
    fields.retain(|(name, _)| !["kind", "apiVersion"].contains(&name.as_str()));
    if !kind.is_custom() {
        fields.sort_by_key(|(name, _)| name.as_str() != "metadata");
    }
    write_fields(&mut text, &fields, |name, value, text| {
        if name == "metadata" && !kind.is_custom() {
            let mut fields: Vec<_> = value.as_object().into_iter().flatten().collect();
            fields.sort_by_key(|(name, _)| METADATA.iter().position(|known| known == name));
            text.push(b'{');
            write_fields(text, &fields, |_, value, text| write(text, value));
        } else {
            write(text, value);
        }
    });
    text.into()
}

/// Writes fields and the closing brace.
fn write_fields(
    text: &mut Vec<u8>,
    fields: &[(&String, &Value)],
    mut one: impl FnMut(&str, &Value, &mut Vec<u8>),
) {
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        write(text, &Value::from(name.as_str()));
        text.push(b':');
        one(name, value, text);
    }
    text.push(b'}');
}

fn write(text: &mut Vec<u8>, value: &Value) {
    // Writing to memory cannot fail, and keys are texts.
    let _infallible = serde_json::to_writer(text, value);
}

fn field_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}
