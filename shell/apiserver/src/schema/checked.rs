//! What the published schema of a built-in kind says is wrong with an object whose types are right.

use std::fmt;

use serde_json::{Map, Value};

use super::{Cause, Schema, Type};

/// Where in an object something is; written only where something is wrong.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    above: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Key(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// A field of the object itself.
    pub(crate) fn root(field: &'a str) -> Self {
        Self { above: None, step: Step::Field(field) }
    }

    /// A field of the object itself, or of what is there.
    pub(crate) fn below(above: Option<&'a Path<'a>>, name: &'a str) -> Self {
        Self { above, step: Step::Field(name) }
    }

    pub(crate) fn field(&'a self, name: &'a str) -> Self {
        Self { above: Some(self), step: Step::Field(name) }
    }

    pub(crate) fn key(&'a self, name: &'a str) -> Self {
        Self { above: Some(self), step: Step::Key(name) }
    }

    pub(crate) fn index(&'a self, index: usize) -> Self {
        Self { above: Some(self), step: Step::Index(index) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            write!(f, "{above}")?;
        }
        match self.step {
            Step::Field(name) if self.above.is_none() => f.write_str(name),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Key(name) => write!(f, "[{name}]"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// Fields that may be empty although they must be there, or of which more is said elsewhere.
const MAY_BE_EMPTY: [&str; 3] = ["value", "endpoints", "addresses"];

/// Names what is missing and what is none of the known choices; metadata and status are not looked at.
pub(crate) fn check(schema: &Schema, object: &Value, causes: &mut Vec<Cause>) {
    let fields =
        schema.properties.iter().filter(|(name, _)| !["metadata", "status"].contains(&name.as_str()));
    for (name, below) in fields {
        let path = Path::root(name);
        let value = object.get(name).unwrap_or(&Value::Null);
        presence(schema, (name, below), value, path, causes);
        walk(below, value, path, causes);
    }
}

fn walk(schema: &Schema, value: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    match value {
        Value::Object(fields) => {
            for name in &schema.limits.required {
                let Some(below) = schema.properties.get(name) else { continue };
                let value = fields.get(name).unwrap_or(&Value::Null);
                presence(schema, (name, below), value, path.field(name), causes);
            }
            walk_fields(schema, fields, path, causes);
        }
        Value::Array(items) => {
            let Some(item) = &schema.items else { return };
            for (index, value) in items.iter().enumerate() {
                walk(item, value, path.index(index), causes);
            }
        }
        Value::String(text) if !text.is_empty() => {
            let choices = &schema.limits.choices;
            if !choices.is_empty() && !choices.contains(value) {
                let known = choices.iter().filter_map(Value::as_str).filter(|choice| !choice.is_empty());
                causes.push(Cause::unsupported(&path.to_string(), value, known));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn walk_fields(schema: &Schema, fields: &Map<String, Value>, path: Path<'_>, causes: &mut Vec<Cause>) {
    for (name, value) in fields {
        if let Some(below) = schema.properties.get(name) {
            walk(below, value, path.field(name), causes);
        } else if let Some(values) = schema.values.as_deref().filter(|values| values.form == Type::Object) {
            walk(values, value, path.key(name), causes);
        }
    }
}

fn presence(
    schema: &Schema,
    (name, below): (&str, &Schema),
    value: &Value,
    path: Path<'_>,
    causes: &mut Vec<Cause>,
) {
    let missing = match value {
        Value::Null => matches!(below.form, Type::Text | Type::Array | Type::Object),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    if missing
        && schema.limits.required.iter().any(|required| required == name)
        && !MAY_BE_EMPTY.contains(&name)
    {
        causes.push(Cause::required(&path.to_string(), ""));
    }
}
