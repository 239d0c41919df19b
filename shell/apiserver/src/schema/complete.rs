//! Defaulting and pruning.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Schema, Type, paths};

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
    let mut unknown = Unknown::default();
    walk(schema, value, "", true, &mut unknown);
    unknown
}

fn walk(schema: &Schema, value: &mut Value, path: &str, whole: bool, unknown: &mut Unknown) {
    match value {
        Value::Object(entries) => {
            let free = schema.keeps_unknown || schema.form == Type::Any && schema.properties.is_empty();
            entries.retain(|name, _| {
                let known = free
                    || schema.field(name).is_some()
                    || whole && ["apiVersion", "kind", "metadata"].contains(&name.as_str());
                if !known {
                    unknown.0.push(paths::field(path, name));
                }
                known
            });
            for (name, value) in entries {
                if let Some(below) = schema.field(name) {
                    walk(below, value, &paths::field(path, name), below.embedded, unknown);
                }
            }
        }
        Value::Array(items) => {
            let Some(item) = &schema.items else { return };
            for (index, value) in items.iter_mut().enumerate() {
                walk(item, value, &paths::index(path, index), item.embedded, unknown);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
