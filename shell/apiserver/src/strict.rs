//! Field validation: unknown and duplicate fields of a body, refused, warned of or let pass.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::kinds::KindId;
use crate::refusal::Refusal;
use crate::schema::{Cause, Fields, Path, Schema, Type, unknown};
use crate::store::Place;

/// What a client wants done about fields that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

impl FieldValidation {
    pub(crate) fn named(name: &str) -> Result<Self, Refusal> {
        match name {
            "Ignore" => Ok(Self::Ignore),
            // COMPAT: the server warns by itself; `kubectl` asks for strictness by name.
            "" | "Warn" => Ok(Self::Warn),
            "Strict" => Ok(Self::Strict),
            other => Err(Refusal::BadRequest(format!(
                "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }

    /// Refuses a body, or says what a client should be warned of.
    pub(crate) fn judge(self, kind: KindId, value: &Value, body: &[u8]) -> Result<Vec<String>, Refusal> {
        if self == Self::Ignore {
            return Ok(Vec::new());
        }
        let found = findings(kind, value, body);
        if self == Self::Warn || found.is_empty() {
            return Ok(found);
        }
        Err(Refusal::BadRequest(format!(
            "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
            kind.name,
            kind.version,
            kind.name,
            found.join(", ")
        )))
    }

    /// The same of a strategic merge patch.
    pub(crate) fn judge_patch(
        self,
        kind: KindId,
        patch: &Value,
        body: &[u8],
    ) -> Result<Vec<String>, Refusal> {
        let found = Self::Warn.judge(kind, patch, body)?;
        if self != Self::Strict || found.is_empty() {
            return Ok(if self == Self::Ignore { Vec::new() } else { found });
        }
        let why = format!("strict decoding error: {}", found.join(", "));
        Err(Refusal::InvalidPatch(vec![Cause::invalid("patch", &Value::from(printed(patch)), why)]))
    }
}

/// A value as Go prints it: `map[a:1 b:[x y]]`.
fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(printed).collect::<Vec<_>>().join(" ")),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(name, value)| format!("{name}:{}", printed(value)));
            format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
        }
    }
}

/// A value as Go's source would write it.
fn go_source(value: &Value) -> String {
    let several = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", several(items.iter().map(go_source).collect()))
        }
        Value::Object(entries) => {
            let entries = entries.iter().map(|(name, value)| format!("{name:?}:{}", go_source(value)));
            format!("map[string]interface {{}}{{{}}}", several(entries.collect()))
        }
    }
}

fn findings(kind: KindId, value: &Value, body: &[u8]) -> Vec<String> {
    let unknown = unknown(kind.schema(), value).into_paths();
    // The directives of strategic merge patches are no fields.
    let unknown = unknown.into_iter().filter(|field| !field.contains('$'));
    let unknown = unknown.map(|field| format!("unknown field {field:?}"));
    let duplicates = duplicates(body).into_iter().map(|field| format!("duplicate field {field:?}"));
    duplicates.chain(unknown).collect()
}

/// Refuses an applied configuration with fields that its kind does not have, or of other types.
pub(crate) fn typed(place: &Place, value: &Value) -> Result<(), Refusal> {
    let unknown = unknown(place.kind.schema(), value).into_paths();
    let mut errors: Vec<_> =
        unknown.into_iter().map(|field| format!(".{field}: field not declared in schema")).collect();
    mistyped(place.kind.schema(), value, None, &mut errors);
    errors.sort();
    let why = match errors.as_slice() {
        [] => return Ok(()),
        [only] => only.clone(),
        several => format!("errors:\n  {}", several.join("\n  ")),
    };
    let (kind, version) = (place.kind.name, place.kind.api_version());
    let version = if version.contains('/') { version } else { format!("/{version}") };
    Err(Refusal::Untyped(format!(
        "failed to create typed patch object ({}/{}; {version}, Kind={kind}): {why}",
        place.namespace, place.name
    )))
}

/// As many errors are told.
const MOST_ERRORS: usize = 100;

/// COMPAT: what is said of a value of another type depends on the type that it should have.
fn mistyped(schema: &Schema, value: &Value, path: Option<Path<'_>>, errors: &mut Vec<String>) {
    if errors.len() >= MOST_ERRORS {
        return;
    }
    let wrong = match schema.form {
        _ if value.is_null() => None,
        Type::Text if !value.is_string() => {
            Some(format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_source(value)))
        }
        Type::Integer | Type::Number if !value.is_number() => {
            Some(format!("expected numeric (int or float), got {}", go_type(value)))
        }
        Type::Boolean if !value.is_boolean() => {
            Some(format!("expected boolean, got &{{{}}}", printed(value)))
        }
        Type::Array if !value.is_array() => Some(format!("expected list, got &{{{}}}", printed(value))),
        Type::Object if !value.is_object() => Some(format!("expected map, got &{{{}}}", printed(value))),
        Type::Any
        | Type::IntOrString
        | Type::Text
        | Type::Integer
        | Type::Number
        | Type::Boolean
        | Type::Array
        | Type::Object => None,
    };
    if let Some(wrong) = wrong {
        let path = path.map(|path| format!(".{path}")).unwrap_or_default();
        errors.push(format!("{path}: {wrong}"));
        return;
    }
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                if let Some(below) = schema.field(name) {
                    mistyped(below, value, Some(Path::below(path.as_ref(), name)), errors);
                }
            }
        }
        Value::Array(items) => {
            let (Some(item), Some(path)) = (&schema.items, &path) else { return };
            for (index, value) in items.iter().enumerate() {
                mistyped(item, value, Some(path.index(index)), errors);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// The fields that stand twice in a JSON text, up to a limit; none where it is no JSON.
fn duplicates(body: &[u8]) -> Vec<String> {
    let mut found = Fields::default();
    let mut reader = serde_json::Deserializer::from_slice(body);
    match (Walk { path: None, found: &mut found }).deserialize(&mut reader) {
        Ok(()) => found.into_paths(),
        Err(_) if found.is_full() => found.into_paths(),
        Err(_) => Vec::new(),
    }
}

struct Walk<'a> {
    path: Option<Path<'a>>,
    found: &'a mut Fields,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let path = Path::below(self.path.as_ref(), &key);
            if seen.contains(&key) {
                self.found.push(path.to_string());
            }
            if self.found.is_full() {
                return Err(A::Error::custom("enough was found"));
            }
            map.next_value_seed(Walk { path: Some(path), found: self.found })?;
            seen.insert(key);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        let path = self.path.as_ref();
        while let Some(()) = items
            .next_element_seed(Walk { path: path.map(|path| path.index(index)), found: &mut *self.found })?
        {
            index += 1;
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_duplicate_fields_are_named() {
        let kind = KindId::named("services").unwrap();
        let body = br#"{"spec": {"ports": [{"port": 1, "port": 2, "odd": 1}], "odd": {"a": 1}}, "metadata": {"odd": 1}}"#;
        let value: Value = serde_json::from_slice(body).unwrap();
        let refused = FieldValidation::Strict.judge(kind, &value, body).unwrap_err().to_string();
        assert_eq!(
            refused,
            r#"Service in version "v1" cannot be handled as a Service: strict decoding error: duplicate field "spec.ports[0].port", unknown field "metadata.odd", unknown field "spec.odd", unknown field "spec.ports[0].odd""#
        );
        assert_eq!(FieldValidation::Warn.judge(kind, &value, body).unwrap().len(), 4);
        assert_eq!(FieldValidation::Ignore.judge(kind, &value, body).unwrap().len(), 0);
        assert_eq!(FieldValidation::named("Loud").unwrap_err().code(), 400);
        let patch = serde_json::json!({"odd": {"a": ["1", 2]}});
        let refused = FieldValidation::Strict.judge_patch(kind, &patch, b"{}").unwrap_err();
        assert_eq!(
            refused.to_string(),
            r#" "" is invalid: patch: Invalid value: "map[odd:map[a:[1 2]]]": strict decoding error: unknown field "odd""#
        );
    }

    #[test]
    fn a_body_of_odd_fields_is_not_copied_for_each_of_them() {
        let kind = KindId::named("configmaps").unwrap();
        let long = "a".repeat(500_000);
        let keys = |again: &str| {
            let keys: Vec<_> = (0..100_000).map(|key| format!("\"{key}{again}\":1,")).collect();
            keys.concat()
        };
        for body in [
            format!(r#"{{"data": {{"{long}": {{{}"x":1}}}}}}"#, keys("")),
            format!(r#"{{"data": {{"{long}": {{{}{}"x":1}}}}}}"#, keys(""), keys("")),
            format!(r#"{{{}"x":1}}"#, keys("")),
        ] {
            let value: Value = serde_json::from_str(&body).unwrap();
            let told = FieldValidation::Warn.judge(kind, &value, body.as_bytes()).unwrap();
            assert!(told.len() <= 200 && told.concat().len() < 2_000_000, "{} findings", told.len());
            drop(typed(&Place::new(kind, "n", "a"), &value));
        }
        let twice = r#""a":1,"#.repeat(1000);
        assert_eq!(duplicates(format!(r#"{{{twice}"b":1}}"#).as_bytes()).len(), 100);
    }

    #[test]
    fn a_configuration_of_other_types_is_refused() {
        let place = Place::new(crate::definitions::own("endpoints"), "n", "e");
        let value =
            serde_json::json!({"spec": {"cluster_id": 7, "subnets": "10.1.0.0/16", "nat_enabled": "x"}});
        assert_eq!(
            typed(&place, &value).unwrap_err().to_string(),
            "failed to create typed patch object (n/e; submariner.io/v1, Kind=Endpoint): errors:\n  \
             .spec.cluster_id: expected string, got &value.valueUnstructured{Value:7}\n  \
             .spec.nat_enabled: expected boolean, got &{x}\n  .spec.subnets: expected list, got &{10.1.0.0/16}"
        );
    }
}
