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

/// The fields that a schema does not know.
#[derive(Debug, Default)]
pub(crate) struct Unknown(pub(crate) Vec<String>);

/// Drops what the schema does not know, and says what that was.
pub(crate) fn prune(schema: &Schema, value: &mut Value) -> Unknown {
    let unknown = unknown(schema, value);
    if !unknown.0.is_empty() {
        drop_unknown(schema, value, true);
    }
    unknown
}

/// Says what the schema does not know.
pub(crate) fn unknown(schema: &Schema, value: &Value) -> Unknown {
    let mut unknown = Unknown::default();
    walk(schema, value, None, true, &mut unknown);
    unknown
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

fn walk(schema: &Schema, value: &Value, path: Option<Path<'_>>, whole: bool, unknown: &mut Unknown) {
    match value {
        Value::Object(entries) => {
            let below = |name| path.as_ref().map_or_else(|| Path::root(name), |path| path.field(name));
            let strange = entries.keys().filter(|name| !knows(schema, name, whole));
            unknown.0.extend(strange.map(|name| below(name).to_string()));
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
