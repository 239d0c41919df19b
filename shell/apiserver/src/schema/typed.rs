//! Reading objects of built-in kinds as Kubernetes reads them: into types of Go, whose empty values are then written.

use std::borrow::Cow;

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::quantity::canonical;
use super::{Schema, Type};

/// A value that a field gets which a client leaves out.
#[derive(Debug)]
pub(crate) struct Preset {
    pub(crate) field: Box<str>,
    pub(crate) value: Value,
    /// An empty text, or zero, counts as left out.
    pub(crate) over_zero: bool,
}

impl Preset {
    /// The presets of a schema, by the defaults of its fields.
    pub(super) fn read(schema: &Value) -> Vec<Self> {
        let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let preset = |(field, property): (&String, &Value)| {
            let value = property.get("default")?.clone();
            Some(Self { field: field.as_str().into(), over_zero: value != "" && value.is_string(), value })
        };
        fields.filter_map(preset).collect()
    }
}

/// Fills in what an object leaves out.
pub(crate) fn fill(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for preset in &schema.presets {
                let zero = |found: &Value| *found == "" || *found == 0 || found.is_null();
                if fields.get(&*preset.field).is_none_or(|found| preset.over_zero && zero(found)) {
                    fields.insert(preset.field.clone().into(), preset.value.clone());
                }
            }
            if let Some(derive) = schema.derive {
                derive(fields);
            }
            for (name, value) in fields {
                if let Some(below) = schema.field(name) {
                    fill(below, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(item) = &schema.items {
                for value in items {
                    fill(item, value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Why a value cannot be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It is of another type than its field.
    Mistyped {
        found: Cow<'static, str>,
        wanted: String,
        /// The type that the field is of; empty as long as the walk back has not met it.
        owner: String,
        /// From the inside out.
        path: Vec<String>,
    },
    /// Its text is none of its type.
    Malformed(String),
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(why) => f.write_str(why),
            Self::Mistyped { found, wanted, owner, path } => {
                write!(f, "json: cannot unmarshal {found} into Go ")?;
                if path.is_empty() {
                    return write!(f, "value of type {wanted}");
                }
                write!(f, "struct field {owner}")?;
                path.iter().rev().try_for_each(|name| write!(f, ".{name}"))?;
                write!(f, " of type {wanted}")
            }
        }
    }
}

/// Checks the types of all values, drops nulls and unknown fields, and writes times as Kubernetes does.
pub(crate) fn read(schema: &Schema, value: &mut Value) -> Result<(), Unreadable> {
    match value {
        Value::Object(fields) if matches!(schema.form, Type::Object | Type::Any) => {
            read_object(schema, fields)
        }
        Value::Array(items) if matches!(schema.form, Type::Array | Type::Any) => {
            let Some(item) = &schema.items else { return Ok(()) };
            items.iter_mut().try_for_each(|value| read(item, value))
        }
        // COMPAT: an element that is null is an empty one.
        Value::Null => {
            if schema.form == Type::Object {
                *value = Value::Object(Map::new());
            }
            Ok(())
        }
        Value::String(text) => {
            let rewritten = read_text(schema, text)?;
            if let Some(rewritten) = rewritten {
                *text = rewritten;
            }
            Ok(())
        }
        Value::Number(number) if schema.definition.as_deref() == Some("Quantity") => {
            *value = Value::String(quantity(&number.to_string())?);
            Ok(())
        }
        Value::Number(number) if fits(schema, number) => Ok(()),
        Value::Bool(_) if matches!(schema.form, Type::Boolean | Type::Any) => Ok(()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(mistyped(schema, value))
        }
    }
}

fn read_object(schema: &Schema, fields: &mut Map<String, Value>) -> Result<(), Unreadable> {
    let free = schema.keeps_unknown || schema.form == Type::Any && schema.properties.is_empty();
    if free && schema.properties.is_empty() && schema.values.is_none() {
        return Ok(());
    }
    fields.retain(|name, value| !value.is_null() && (free || schema.field(name).is_some()));
    for (name, value) in fields {
        let Some(below) = schema.field(name) else { continue };
        read(below, value).map_err(|unreadable| match unreadable {
            Unreadable::Mistyped { found, wanted, mut owner, mut path } if schema.values.is_none() => {
                if owner.is_empty() {
                    schema.definition.as_deref().unwrap_or("Object").clone_into(&mut owner);
                }
                path.push(name.clone());
                Unreadable::Mistyped { found, wanted, owner, path }
            }
            unreadable @ (Unreadable::Mistyped { .. } | Unreadable::Malformed(_)) => unreadable,
        })?;
    }
    Ok(())
}

fn fits(schema: &Schema, number: &serde_json::Number) -> bool {
    match schema.form {
        Type::Any | Type::Number => true,
        Type::Integer | Type::IntOrString => {
            let wide = schema.limits.format.as_deref() == Some("int64");
            number.as_i64().is_some_and(|whole| wide || i32::try_from(whole).is_ok())
        }
        Type::Object | Type::Array | Type::Text | Type::Boolean => false,
    }
}

/// The text as Kubernetes writes it, where that is another one.
fn read_text(schema: &Schema, text: &str) -> Result<Option<String>, Unreadable> {
    match (schema.form, schema.definition.as_deref()) {
        (_, Some("Time")) => time(text, "2006-01-02T15:04:05Z07:00", "%Y-%m-%dT%H:%M:%SZ"),
        (_, Some("MicroTime")) => time(text, "2006-01-02T15:04:05.000000Z07:00", "%Y-%m-%dT%H:%M:%S.%6fZ"),
        (_, Some("Quantity")) => quantity(text).map(|written| (written != text).then_some(written)),
        (Type::Text, _) if schema.limits.format.as_deref() == Some("byte") => base64(text)
            .map_or(Ok(None), |place| {
                Err(Unreadable::Malformed(format!("illegal base64 data at input byte {place}")))
            }),
        (Type::Any | Type::Text | Type::IntOrString, _) => Ok(None),
        (Type::Object | Type::Array | Type::Integer | Type::Number | Type::Boolean, _) => {
            Err(mistyped(schema, &Value::String(text.to_owned())))
        }
    }
}

fn quantity(text: &str) -> Result<String, Unreadable> {
    let why = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    canonical(text).ok_or_else(|| Unreadable::Malformed(why.to_owned()))
}

fn time(text: &str, layout: &str, written: &str) -> Result<Option<String>, Unreadable> {
    let wrong = |rest: &str, part: &str| {
        let why = format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {part:?}");
        Err(Unreadable::Malformed(why))
    };
    let Ok(read) = text.parse::<Timestamp>() else { return wrong(text, "2006") };
    let rest = text.get("2006-01-02T15:04:05".len()..).unwrap_or_default();
    let digits = rest.bytes().skip(1).take_while(u8::is_ascii_digit).count();
    // COMPAT: Go takes exactly as many digits as the layout has.
    if layout.contains('.') && !(rest.starts_with('.') && digits == 6) {
        return wrong(rest, ".000000");
    }
    let plain = text.ends_with('Z') && text.len() == layout.len() - "07:00".len();
    Ok((!plain).then(|| read.strftime(written).to_string()))
}

/// Where a text stops to be base64.
fn base64(text: &str) -> Option<usize> {
    use base64::DecodeError::{InvalidByte, InvalidLastSymbol, InvalidLength, InvalidPadding};
    // COMPAT: lines may be broken.
    let joined: Cow<'_, str> =
        if text.contains(['\r', '\n']) { text.replace(['\r', '\n'], "").into() } else { text.into() };
    match base64::engine::general_purpose::STANDARD.decode(joined.as_bytes()).err()? {
        InvalidByte(place, _) | InvalidLastSymbol { offset: place, .. } => Some(place),
        InvalidLength(length) => Some(length - length % 4),
        InvalidPadding => Some(joined.len()),
    }
}

fn mistyped(schema: &Schema, value: &Value) -> Unreadable {
    let found = match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(number) if schema.form == Type::Integer => format!("number {number}").into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "string".into(),
        Value::Array(_) => "array".into(),
        Value::Object(_) => "object".into(),
    };
    Unreadable::Mistyped { found, wanted: name(schema), owner: String::new(), path: Vec::new() }
}

/// The name of a schema's type in Go.
fn name(schema: &Schema) -> String {
    match (schema.form, &schema.definition) {
        (Type::Array, _) => format!("[]{}", schema.items.as_deref().map(name).unwrap_or_default()),
        (Type::Integer, _) => schema.limits.format.clone().unwrap_or_else(|| "int64".to_owned()),
        (Type::Boolean, _) => "bool".to_owned(),
        (Type::Number, _) => "float64".to_owned(),
        (Type::Text, _) if schema.limits.format.as_deref() == Some("byte") => "[]uint8".to_owned(),
        (_, Some(definition)) => format!("v1.{definition}"),
        (Type::Object, None) => match schema.values.as_deref() {
            Some(values) => format!("map[string]{}", name(values)),
            None => "interface {}".to_owned(),
        },
        (Type::Any | Type::Text | Type::IntOrString, None) => "string".to_owned(),
    }
}
