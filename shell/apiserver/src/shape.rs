//! Structural schemas: which fields an object may have, of which types; what else it has is pruned.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use crate::kinds::KindId;

/// What a value must look like.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Anything.
    Any,
    /// A string with a length in characters.
    Text { shortest: usize, longest: usize },
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A list with at most so many elements.
    List(Box<Shape>, usize),
    /// An object with free keys.
    Mapping(Box<Shape>),
    /// An object with these keys.
    Record(Vec<Field>),
}

/// A key of a record.
#[derive(Debug)]
pub(crate) struct Field {
    name: String,
    shape: Shape,
    required: bool,
}

/// The shapes of custom kinds by resource, from their definitions.
static SHAPES: LazyLock<BTreeMap<String, Shape>> = LazyLock::new(|| {
    let definitions = subm_api::crds().into_iter().filter_map(|crd| serde_json::to_value(crd).ok());
    definitions.filter_map(|crd| Some((name(&crd)?, Shape::of(schema(&crd)?)))).collect()
});

fn name(crd: &Value) -> Option<String> {
    crd.pointer("/metadata/name")?.as_str().map(str::to_owned)
}

fn schema(crd: &Value) -> Option<&Value> {
    crd.pointer("/spec/versions/0/schema/openAPIV3Schema")
}

/// The shape of a custom kind's objects.
pub(crate) fn of_kind(kind: KindId) -> Option<&'static Shape> {
    if kind.is_custom() { SHAPES.get(&kind.resource()) } else { None }
}

impl Shape {
    /// Reads the part of OpenAPI schemas that definitions use.
    fn of(schema: &Value) -> Self {
        let limit =
            |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|limit| usize::try_from(limit).ok());
        let child = |key: &str| Box::new(schema.get(key).map_or(Self::Any, Self::of));
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => Self::Text {
                shortest: limit("minLength").unwrap_or(0),
                longest: limit("maxLength").unwrap_or(usize::MAX),
            },
            Some("boolean") => Self::Boolean,
            Some("integer") => Self::Integer,
            Some("array") => Self::List(child("items"), limit("maxItems").unwrap_or(usize::MAX)),
            Some("object") if schema.get("properties").is_some() => Self::record(schema),
            Some("object") if schema.get("additionalProperties").is_some() => {
                Self::Mapping(child("additionalProperties"))
            }
            _ => Self::Any,
        }
    }

    fn record(schema: &Value) -> Self {
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known == name));
        let properties = schema.get("properties").and_then(Value::as_object);
        let field = |(name, schema): (&String, &Value)| Field {
            name: name.clone(),
            shape: Self::of(schema),
            required: is_required(name),
        };
        Self::Record(properties.into_iter().flatten().map(field).collect())
    }
}

/// One thing wrong with one field, as in `details.causes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueRequired` and the like.
    pub reason: &'static str,
    /// What is wrong.
    pub message: String,
    /// The dotted path of the field.
    pub field: String,
}

/// Drops what the shape does not know and returns what is wrong with the rest.
pub(crate) fn check(shape: &Shape, value: &mut Value, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    walk(shape, value, path, &mut causes);
    causes
}

fn walk(shape: &Shape, value: &mut Value, path: &str, causes: &mut Vec<Cause>) {
    match (shape, value) {
        (Shape::Any, _) | (Shape::Boolean, Value::Bool(_)) => {}
        (Shape::Integer, Value::Number(number)) if number.is_i64() || number.is_u64() => {}
        (Shape::Text { shortest, longest }, Value::String(text)) => {
            causes.extend(length(text, *shortest, *longest, path));
        }
        (Shape::List(item, longest), Value::Array(items)) => {
            if items.len() > *longest {
                causes.push(Cause {
                    reason: "FieldValueTooMany",
                    message: format!("Too many: {}: must have at most {longest} items", items.len()),
                    field: path.to_owned(),
                });
            }
            for (index, value) in items.iter_mut().enumerate() {
                walk(item, value, &format!("{path}[{index}]"), causes);
            }
        }
        (Shape::Mapping(item), Value::Object(entries)) => {
            for (key, value) in entries {
                walk(item, value, &format!("{path}.{key}"), causes);
            }
        }
        (Shape::Record(fields), Value::Object(entries)) => {
            let identity = |key: &str| path.is_empty() && ["apiVersion", "kind", "metadata"].contains(&key);
            entries.retain(|key, _| identity(key) || fields.iter().any(|field| field.name == *key));
            for field in fields {
                record_field(field, entries, path, causes);
            }
        }
        (expected, found) => causes.push(Cause {
            reason: "FieldValueTypeInvalid",
            message: format!(
                "Invalid value: \"{}\": {path} in body must be of type {}",
                type_name(found),
                expected.type_name()
            ),
            field: path.to_owned(),
        }),
    }
}

fn record_field(
    field: &Field,
    entries: &mut serde_json::Map<String, Value>,
    path: &str,
    causes: &mut Vec<Cause>,
) {
    let place = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
    match entries.get_mut(&field.name) {
        // An explicit null of an optional field is as good as absent, which is how Go's empty lists arrive.
        Some(Value::Null) if !field.required => {
            entries.remove(&field.name);
        }
        Some(value) => walk(&field.shape, value, &place, causes),
        None if field.required => causes.push(Cause {
            reason: "FieldValueRequired",
            message: "Required value".to_owned(),
            field: place,
        }),
        None => {}
    }
}

fn length(text: &str, shortest: usize, longest: usize, path: &str) -> Option<Cause> {
    let count = text.chars().count();
    if count < shortest {
        let message =
            format!("Invalid value: {text:?}: {path} in body should be at least {shortest} chars long");
        Some(Cause { reason: "FieldValueInvalid", message, field: path.to_owned() })
    } else if count > longest {
        let message = format!("Too long: may not be more than {longest} bytes");
        Some(Cause { reason: "FieldValueTooLong", message, field: path.to_owned() })
    } else {
        None
    }
}

impl Shape {
    fn type_name(&self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Text { .. } => "string",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::List(..) => "array",
            Self::Mapping(_) | Self::Record(_) => "object",
        }
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> Shape {
        Shape::of(&json!({"type": "object", "required": ["spec"], "properties": {"spec": {
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": {"type": "string", "minLength": 1, "maxLength": 3},
                "on": {"type": "boolean"},
                "ips": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
            },
        }}}))
    }

    fn causes(mut value: Value) -> Vec<(String, &'static str)> {
        check(&spec(), &mut value, "").into_iter().map(|cause| (cause.field, cause.reason)).collect()
    }

    #[test]
    fn every_custom_kind_has_a_shape() {
        for kind in KindId::all() {
            assert_eq!(of_kind(kind).is_some(), kind.group == "submariner.io", "{}", kind.resource());
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        assert_eq!(causes(json!({"spec": {"id": "a"}})), []);
        assert_eq!(causes(json!({})), [("spec".to_owned(), "FieldValueRequired")]);
        assert_eq!(
            causes(json!({"spec": {"id": "", "on": "yes", "ips": ["1", 2, "3"]}})),
            [
                ("spec.id".to_owned(), "FieldValueInvalid"),
                ("spec.ips".to_owned(), "FieldValueTooMany"),
                ("spec.ips[1]".to_owned(), "FieldValueTypeInvalid"),
                ("spec.on".to_owned(), "FieldValueTypeInvalid"),
            ]
        );
    }

    #[test]
    fn unknown_fields_are_pruned() {
        let mut value =
            json!({"metadata": {"name": "x"}, "status": {}, "spec": {"id": "a", "odd": 1, "on": null}});
        assert_eq!(check(&spec(), &mut value, ""), []);
        assert_eq!(value, json!({"metadata": {"name": "x"}, "spec": {"id": "a"}}));
    }
}
