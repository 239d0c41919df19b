//! Structural schemas: which fields an object may have, of which types; what else it has is pruned.

use serde_json::Value;

/// What a value must look like.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Anything.
    Any,
    /// A string with a length in characters.
    Text { shortest: usize, longest: usize },
    /// `true` or `false`.
    Boolean,
    /// A list with at most so many elements.
    List(&'static Shape, usize),
    /// An object with free keys.
    Mapping(&'static Shape),
    /// An object with these keys.
    Record(&'static [Field]),
}

/// A key of a record.
#[derive(Debug)]
pub(crate) struct Field {
    name: &'static str,
    shape: &'static Shape,
    required: bool,
}

pub(crate) const fn required(name: &'static str, shape: &'static Shape) -> Field {
    Field { name, shape, required: true }
}

pub(crate) const fn optional(name: &'static str, shape: &'static Shape) -> Field {
    Field { name, shape, required: false }
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
            entries.retain(|key, _| identity(key) || fields.iter().any(|field| field.name == key));
            for field in *fields {
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
    let place = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
    match entries.get_mut(field.name) {
        // An explicit null of an optional field is as good as absent, which is how Go's empty lists arrive.
        Some(Value::Null) if !field.required => {
            entries.remove(field.name);
        }
        Some(value) => walk(field.shape, value, &place, causes),
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

    static SPEC: Shape = Shape::Record(&[required(
        "spec",
        &Shape::Record(&[
            required("id", &Shape::Text { shortest: 1, longest: 3 }),
            optional("on", &Shape::Boolean),
            optional("ips", &Shape::List(&Shape::Text { shortest: 0, longest: 9 }, 2)),
        ]),
    )]);

    fn causes(mut value: Value) -> Vec<(String, &'static str)> {
        check(&SPEC, &mut value, "").into_iter().map(|cause| (cause.field, cause.reason)).collect()
    }

    #[test]
    fn every_wrong_field_is_named() {
        assert_eq!(causes(json!({"spec": {"id": "a"}})), []);
        assert_eq!(causes(json!({})), [("spec".to_owned(), "FieldValueRequired")]);
        assert_eq!(
            causes(json!({"spec": {"id": "", "on": "yes", "ips": ["1", 2, "3"]}})),
            [
                ("spec.id".to_owned(), "FieldValueInvalid"),
                ("spec.on".to_owned(), "FieldValueTypeInvalid"),
                ("spec.ips".to_owned(), "FieldValueTooMany"),
                ("spec.ips[1]".to_owned(), "FieldValueTypeInvalid"),
            ]
        );
    }

    #[test]
    fn unknown_fields_are_pruned() {
        let mut value =
            json!({"metadata": {"name": "x"}, "status": {}, "spec": {"id": "a", "odd": 1, "on": null}});
        assert_eq!(check(&SPEC, &mut value, ""), []);
        assert_eq!(value, json!({"metadata": {"name": "x"}, "spec": {"id": "a"}}));
    }
}
