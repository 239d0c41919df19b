//! Defaulting and pruning.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Path, Schema, Type};

/// Fills in the defaults of what an object leaves out; a null of a field that has a default and is not nullable
/// counts as left out.
pub(crate) fn complete(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(entries) => {
            for (name, property) in &schema.properties {
                fill(entries, name, property);
            }
            for (name, value) in entries {
                if let Some(below) = schema.field(name) {
                    complete(below, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(item) = &schema.items {
                for value in items {
                    complete(item, value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn fill(entries: &mut Map<String, Value>, name: &str, property: &Arc<Schema>) {
    let null = entries.get(name).is_some_and(Value::is_null);
    if null && !property.nullable {
        entries.remove(name);
    }
    if let Some(default) = &property.default
        && !entries.contains_key(name)
    {
        entries.insert(name.to_owned(), default.clone());
    }
}

/// As many fields are named, and text of as many bytes, before no more is looked for.
const MOST_FIELDS: usize = 100;
const MOST_TEXT: usize = 4096;

/// The paths of fields that something is wrong with, as many as anybody reads.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    paths: Vec<String>,
    bytes: usize,
}

impl Fields {
    pub(crate) fn push(&mut self, path: String) {
        if !self.is_full() {
            self.bytes = self.bytes.saturating_add(path.len());
            self.paths.push(path);
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.paths.len() >= MOST_FIELDS || self.bytes >= MOST_TEXT
    }

    pub(crate) fn into_paths(self) -> Vec<String> {
        self.paths
    }
}

/// Says what the schema does not know, up to a limit.
pub(crate) fn unknown(schema: &Schema, value: &Value) -> Fields {
    let mut unknown = Fields::default();
    walk(schema, value, None, true, &mut unknown);
    unknown
}
/// Drops what the schema does not know.
pub(crate) fn prune(schema: &Schema, value: &mut Value) {
    drop_unknown(schema, value, true);
}

/// Whether an object may have a field; whole objects have three that no schema need name.
fn knows(schema: &Schema, name: &str, whole: bool) -> bool {
    schema.keeps_unknown
        || schema.form == Type::Any && schema.properties.is_empty()
        || schema.field(name).is_some()
        || whole && ["apiVersion", "kind", "metadata"].contains(&name)
}

fn drop_unknown(schema: &Schema, value: &mut Value, whole: bool) {
    match value {
        Value::Object(entries) => {
            entries.retain(|name, _| knows(schema, name, whole));
            for (name, value) in entries {
                if let Some(below) = schema.field(name) {
                    drop_unknown(below, value, below.embedded);
                }
            }
        }
        Value::Array(items) => {
            let Some(item) = &schema.items else { return };
            for value in items {
                drop_unknown(item, value, item.embedded);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn walk(schema: &Schema, value: &Value, path: Option<Path<'_>>, whole: bool, unknown: &mut Fields) {
    if unknown.is_full() {
        return;
    }
    match value {
        Value::Object(entries) => {
            let below = |name| path.as_ref().map_or_else(|| Path::root(name), |path| path.field(name));
            let strange = entries.keys().filter(|name| !knows(schema, name, whole));
            for name in strange {
                if unknown.is_full() {
                    return;
                }
                unknown.push(below(name).to_string());
            }
            for (name, value) in entries {
                if let Some(schema) = schema.field(name) {
                    walk(schema, value, Some(below(name)), schema.embedded, unknown);
                }
            }
        }
        Value::Array(items) => {
            let (Some(item), Some(path)) = (&schema.items, &path) else { return };
            for (index, value) in items.iter().enumerate() {
                walk(item, value, Some(path.index(index)), item.embedded, unknown);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
