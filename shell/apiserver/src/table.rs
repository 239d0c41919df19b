//! Objects as rows, for `kubectl get`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::kinds::{Cell, KindId};

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
    let first = json!({"name": "Name", "type": "string", "format": "name", "priority": 0,
        "description": "The name, unique among the objects of its kind in its namespace."});
    let others = kind.columns.iter().map(|known| {
        json!({"name": known.name, "type": known.form, "format": known.format,
            "description": known.description, "priority": known.priority})
    });
    std::iter::once(first).chain(others).collect()
}

fn row(kind: KindId, object: &Value, carried: Carried, now: Timestamp) -> Value {
    let name = object.pointer("/metadata/name").cloned().unwrap_or_default();
    let cells = kind.columns.iter().map(|column| match column.cell {
        Cell::Path(path) => {
            object.pointer(&format!("/{}", path.replace('.', "/"))).cloned().unwrap_or_else(|| json!(""))
        }
        Cell::Age => json!(age(object, now)),
        Cell::With(cell) => cell(object),
        Cell::At(path) => found(path.first(object), column.form, now),
    });
    let cells: Vec<_> = std::iter::once(name).chain(cells).collect();
    match carried {
        Carried::Nothing => json!({"cells": cells}),
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

fn age(object: &Value, now: Timestamp) -> String {
    let created = object.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
    match created.and_then(|created| created.parse::<Timestamp>().ok()) {
        Some(created) => rough(now.duration_since(created)),
        None => "<unknown>".to_owned(),
    }
}

/// A duration in the two units that matter.
fn rough(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    match seconds {
        ..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        _ => two(days / 365, "y", days % 365, "d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_written_as_kubectl_writes_them() {
        let cases = [
            (-5, "0s"),
            (119, "119s"),
            (125, "2m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (11_000, "3h3m"),
            (90_000, "25h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (70_000_000, "2y80d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(rough(SignedDuration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_gateway_shows_its_ha_status() {
        let kind = crate::definitions::own("gateways");
        let gateway = json!({
            "metadata": {"name": "g", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"haStatus": "active"},
        });
        let now = "2026-01-01T00:00:07Z".parse().unwrap();
        let table = table(kind, [gateway].into_iter(), 9, Carried::Nothing, now);
        assert_eq!(table["rows"], json!([{"cells": ["g", "active"]}]));
        assert_eq!(table["columnDefinitions"][1]["name"], "HA Status");
    }
}
