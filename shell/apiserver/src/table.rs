//! Objects as rows, for `kubectl get`.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kinds::{Cell, Column, KindId, age, rough};

/// What a row carries besides its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carried {
    Nothing,
    Metadata,
    Object,
}

impl Carried {
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "None" => Self::Nothing,
            "Object" => Self::Object,
            _ => Self::Metadata,
        }
    }
}

/// A table of objects of one kind.
pub(crate) fn table(
    kind: KindId,
    objects: impl Iterator<Item = Value>,
    version: u64,
    carried: Carried,
    now: Timestamp,
) -> Value {
    let rows: Vec<_> = objects.map(|object| row(kind, &object, carried, now)).collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version.to_string()},
        "columnDefinitions": columns(kind),
        "rows": rows,
    })
}

fn columns(kind: KindId) -> Vec<Value> {
    let shown = |known: &Column| {
        json!({"name": known.name, "type": known.form, "format": known.format,
            "description": known.description, "priority": known.priority})
    };
    kind.table_columns().iter().map(shown).collect()
}

fn row(kind: KindId, object: &Value, carried: Carried, now: Timestamp) -> Value {
    let columns = kind.table_columns();
    let cells = columns.iter().map(|column| match column.cell {
        Cell::Path(path) => {
            object.pointer(&format!("/{}", path.replace('.', "/"))).cloned().unwrap_or_else(|| json!(""))
        }
        Cell::Age => json!(age(object, now)),
        Cell::With(cell) => cell(object),
        Cell::At(cell) => cell(object, now),
        Cell::Defined(path) => found(path.first(object), column.form, now),
    });
    let cells: Vec<_> = cells.collect();
    match carried {
        Carried::Nothing => json!({"cells": cells, "object": null}),
        Carried::Metadata => json!({"cells": cells, "object": partial(object)}),
        Carried::Object => json!({"cells": cells, "object": object}),
    }
}

/// What a definition's column shows of a value.
fn found(value: Option<&Value>, form: &str, now: Timestamp) -> Value {
    match (value, form) {
        (None, _) => Value::Null,
        (Some(Value::String(text)), "date") => match text.parse::<Timestamp>() {
            Ok(time) => json!(rough(now.duration_since(time))),
            Err(_) => json!("<unknown>"),
        },
        (Some(value), "string") if !value.is_string() && !value.is_null() => json!(value.to_string()),
        (Some(value), _) => value.clone(),
    }
}

/// An object without everything but its metadata.
pub(crate) fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_shows_its_ha_status() {
        let kind = crate::definitions::own("gateways");
        let gateway = json!({
            "metadata": {"name": "g", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"haStatus": "active"},
        });
        let now = "2026-01-01T00:00:07Z".parse().unwrap();
        let table = table(kind, [gateway].into_iter(), 9, Carried::Nothing, now);
        assert_eq!(table["rows"], json!([{"cells": ["g", "active"], "object": null}]));
        assert_eq!(table["columnDefinitions"][1]["name"], "HA Status");
    }
}
