//! Validation of objects against their schema, in the words of Kubernetes.

use std::collections::BTreeSet;
use std::fmt::Display;

use serde_json::{Map, Value};

use super::{Limits, ListKind, Schema, Type, format, paths};

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

impl Cause {
    pub(crate) fn invalid(field: &str, value: &Value, detail: impl Display) -> Self {
        let message = format!("Invalid value: {value}: {detail}");
        Self { reason: "FieldValueInvalid", message, field: field.to_owned() }
    }

    /// The same of a value as Go writes it.
    pub(crate) fn invalid_go(field: &str, value: &str, detail: impl Display) -> Self {
        let message = format!("Invalid value: {value}: {detail}");
        Self { reason: "FieldValueInvalid", message, field: field.to_owned() }
    }

    pub(crate) fn required(field: &str, detail: &str) -> Self {
        let colon = if detail.is_empty() { "" } else { ": " };
        Self {
            reason: "FieldValueRequired",
            message: format!("Required value{colon}{detail}"),
            field: field.to_owned(),
        }
    }

    pub(crate) fn unsupported(
        field: &str,
        value: &Value,
        supported: impl Iterator<Item: std::fmt::Debug>,
    ) -> Self {
        let supported: Vec<_> = supported.map(|text| format!("{text:?}")).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", supported.join(", "));
        Self { reason: "FieldValueNotSupported", message, field: field.to_owned() }
    }

    pub(crate) fn forbidden(field: &str, detail: &str) -> Self {
        Self {
            reason: "FieldValueForbidden",
            message: format!("Forbidden: {detail}"),
            field: field.to_owned(),
        }
    }

    pub(crate) fn too_many(field: &str, count: usize, most: usize) -> Self {
        too_many(field, count, most)
    }

    pub(crate) fn duplicate(field: &str, value: &Value) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            message: format!("Duplicate value: {value}"),
            field: field.to_owned(),
        }
    }
}

/// What is wrong with a value; its metadata is none of the schema's business.
pub(crate) fn validate(schema: &Schema, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    check(schema, value, "", &mut causes);
    causes
}

fn check(schema: &Schema, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && schema.nullable {
        return;
    }
    if !fits(schema.form, value) {
        return causes.push(mistyped(schema.form, value, path));
    }
    limits(&schema.limits, value, path, causes);
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                let Some(below) = schema.field(name) else { continue };
                if path.is_empty() && name == "metadata" {
                    continue;
                }
                let declared = schema.properties.contains_key(name);
                // COMPAT: a null of an optional field counts as absent.
                if declared && value.is_null() && !schema.limits.required.contains(name) {
                    continue;
                }
                check(below, value, &paths::field(path, name), causes);
            }
        }
        Value::Array(items) => {
            if let Some(item) = &schema.items {
                for (index, value) in items.iter().enumerate() {
                    check(item, value, &paths::index(path, index), causes);
                }
            }
            duplicates(schema, items, path, causes);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn fits(form: Type, value: &Value) -> bool {
    match (form, value) {
        (Type::Any, _)
        | (Type::Object, Value::Object(_))
        | (Type::Array, Value::Array(_))
        | (Type::Text | Type::IntOrString, Value::String(_))
        | (Type::Number, Value::Number(_))
        | (Type::Boolean, Value::Bool(_)) => true,
        (Type::Integer | Type::IntOrString, Value::Number(number)) => {
            number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        _ => false,
    }
}

/// The name of a value's type.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn mistyped(form: Type, value: &Value, path: &str) -> Cause {
    let (found, place) = (type_name(value), if path.is_empty() { "" } else { path });
    Cause {
        reason: "FieldValueTypeInvalid",
        message: format!(
            "Invalid value: {found:?}: {place} in body must be of type {}: {found:?}",
            form.word()
        ),
        field: if path.is_empty() { "<nil>".to_owned() } else { path.to_owned() },
    }
}

fn limits(limits: &Limits, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    match value {
        Value::Object(entries) => keys(limits, entries, path, causes),
        Value::Array(items) => elements(limits, items, path, causes),
        Value::String(text) => of_text(limits, value, text, path, causes),
        Value::Number(number) => of_number(limits, value, number.as_f64().unwrap_or_default(), path, causes),
        Value::Null | Value::Bool(_) => {}
    }
    if !limits.choices.is_empty() && !limits.choices.contains(value) {
        causes.push(Cause::unsupported(path, value, limits.choices.iter().filter_map(Value::as_str)));
    }
    combined(limits, value, path, causes);
}

fn keys(limits: &Limits, entries: &Map<String, Value>, path: &str, causes: &mut Vec<Cause>) {
    for name in limits.required.iter().filter(|name| !entries.contains_key(*name)) {
        causes.push(Cause::required(&paths::field(path, name), ""));
    }
    let count = entries.len();
    if limits.fewest_keys.is_some_and(|fewest| count < fewest) {
        let fewest = limits.fewest_keys.unwrap_or_default();
        let value = Value::Object(entries.clone());
        causes.push(Cause::invalid(
            path,
            &value,
            format!("{path} in body should have at least {fewest} properties"),
        ));
    }
    if let Some(most) = limits.most_keys.filter(|most| count > *most) {
        causes.push(too_many(path, count, most));
    }
}

fn too_many(path: &str, count: usize, most: usize) -> Cause {
    let plural = if most == 1 { "item" } else { "items" };
    Cause {
        reason: "FieldValueTooMany",
        message: format!("Too many: {count}: must have at most {most} {plural}"),
        field: path.to_owned(),
    }
}

fn elements(limits: &Limits, items: &[Value], path: &str, causes: &mut Vec<Cause>) {
    let count = items.len();
    if let Some(fewest) = limits.fewest.filter(|fewest| count < *fewest) {
        let detail = format!("{path} in body should have at least {fewest} items");
        causes.push(Cause::invalid(path, &Value::from(count), detail));
    }
    if let Some(most) = limits.most.filter(|most| count > *most) {
        causes.push(too_many(path, count, most));
    }
    let repeated = |(index, item): (usize, &Value)| items[..index].contains(item);
    if limits.unique && items.iter().enumerate().any(repeated) {
        let detail = format!("{path} in body shouldn't contain duplicates");
        causes.push(Cause::invalid(path, &Value::Array(items.to_vec()), detail));
    }
}

fn of_text(limits: &Limits, value: &Value, text: &str, path: &str, causes: &mut Vec<Cause>) {
    let length = text.chars().count();
    if let Some(longest) = limits.longest.filter(|longest| length > *longest) {
        let plural = if longest == 1 { "byte" } else { "bytes" };
        causes.push(Cause {
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {longest} {plural}"),
            field: path.to_owned(),
        });
    }
    if let Some(shortest) = limits.shortest.filter(|shortest| length < *shortest) {
        let detail = format!("{path} in body should be at least {shortest} chars long");
        causes.push(Cause::invalid(path, value, detail));
    }
    if let Some(pattern) = limits.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        causes.push(Cause::invalid(path, value, format!("{path} in body should match '{pattern}'")));
    }
    if let Some(format) = limits.format.as_ref().filter(|format| !format::admits(format, text)) {
        let detail = format!("{path} in body must be of type {format}: {value}");
        causes.push(Cause { reason: "FieldValueTypeInvalid", ..Cause::invalid(path, value, detail) });
    }
}

fn of_number(limits: &Limits, value: &Value, number: f64, path: &str, causes: &mut Vec<Cause>) {
    let mut wrong = |detail: String| causes.push(Cause::invalid(path, value, detail));
    match limits.minimum {
        Some(least) if limits.above_minimum && number <= least => {
            wrong(format!("{path} in body should be greater than {least}"));
        }
        Some(least) if number < least => {
            wrong(format!("{path} in body should be greater than or equal to {least}"));
        }
        _ => {}
    }
    match limits.maximum {
        Some(greatest) if limits.below_maximum && number >= greatest => {
            wrong(format!("{path} in body should be less than {greatest}"));
        }
        Some(greatest) if number > greatest => {
            wrong(format!("{path} in body should be less than or equal to {greatest}"));
        }
        _ => {}
    }
    if let Some(step) = limits.multiple_of.filter(|step| (number / step).fract() != 0.0) {
        wrong(format!("{path} in body should be a multiple of {step}"));
    }
    let bits = match limits.format.as_deref() {
        Some("int32") => f64::from(i32::MIN)..=f64::from(i32::MAX),
        _ => f64::MIN..=f64::MAX,
    };
    if !bits.contains(&number) {
        let detail = format!("{path} in body must be of type int32: {value}");
        causes.push(Cause { reason: "FieldValueTypeInvalid", ..Cause::invalid(path, value, detail) });
    }
}

fn combined(limits: &Limits, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let admits = |schema: &Schema| {
        let mut found = Vec::new();
        check(schema, value, path, &mut found);
        found.is_empty()
    };
    for schema in &limits.all_of {
        check(schema, value, path, causes);
    }
    let mut wrong =
        |detail: &str| causes.push(Cause::invalid(path, value, format!("{path} in body {detail}")));
    if !limits.any_of.is_empty() && !limits.any_of.iter().any(&admits) {
        wrong("must validate at least one schema (anyOf)");
    }
    let matching = limits.one_of.iter().filter(|schema| admits(schema)).count();
    if !limits.one_of.is_empty() && matching != 1 {
        wrong(&format!(
            "must validate one and only one schema (oneOf). Found {} valid alternatives",
            if matching == 0 { "none".to_owned() } else { matching.to_string() }
        ));
    }
    if limits.not.as_deref().is_some_and(admits) {
        wrong("must not validate the schema (not)");
    }
}

fn duplicates(schema: &Schema, items: &[Value], path: &str, causes: &mut Vec<Cause>) {
    let keys = |item: &Value| match &schema.list {
        ListKind::Atomic => None,
        ListKind::Set => Some(item.clone()),
        ListKind::Map(keys) => {
            let found = keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
            Some(Value::Object(found.collect()))
        }
    };
    let mut seen = BTreeSet::new();
    for (index, name) in items.iter().map(keys).enumerate() {
        if let Some(name) = name
            && !seen.insert(name.to_string())
        {
            causes.push(Cause::duplicate(&paths::index(path, index), &name));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{NoReferences, complete, prune, unknown};
    use super::*;

    fn spec() -> Schema {
        let schema = json!({"type": "object", "required": ["spec"], "properties": {"spec": {
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": {"type": "string", "minLength": 1, "maxLength": 3},
                "on": {"type": "boolean", "default": true},
                "ips": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
                "mode": {"type": "string", "enum": ["a", "b"]},
                "size": {"type": "integer", "minimum": 1, "maximum": 9},
                "port": {"x-kubernetes-int-or-string": true},
                "name": {"type": "string", "pattern": "^[a-z]+$"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
            },
        }}});
        Schema::read(&schema, &mut NoReferences)
    }

    fn causes(value: &Value) -> Vec<String> {
        validate(&spec(), value)
            .into_iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect()
    }

    #[test]
    fn every_wrong_field_is_named_as_kubernetes_names_it() {
        assert_eq!(causes(&json!({"spec": {"id": "a", "port": 1}})), Vec::<String>::new());
        assert_eq!(causes(&json!({})), ["spec: Required value"]);
        let wrong = json!({"spec": {
            "id": "", "on": "yes", "ips": ["1", 2, "3"], "mode": "c", "size": 10, "port": true, "name": "A",
            "list": [{"k": "x"}, {"k": "x"}],
        }});
        assert_eq!(
            causes(&wrong),
            [
                r#"spec.id: Invalid value: "": spec.id in body should be at least 1 chars long"#,
                "spec.ips: Too many: 3: must have at most 2 items",
                r#"spec.ips[1]: Invalid value: "integer": spec.ips[1] in body must be of type string: "integer""#,
                r#"spec.list[1]: Duplicate value: {"k":"x"}"#,
                r#"spec.mode: Unsupported value: "c": supported values: "a", "b""#,
                r#"spec.name: Invalid value: "A": spec.name in body should match '^[a-z]+$'"#,
                r#"spec.on: Invalid value: "string": spec.on in body must be of type boolean: "string""#,
                r#"spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean""#,
                "spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9",
            ]
        );
        assert_eq!(
            causes(&json!({"spec": {"id": "long"}})),
            ["spec.id: Too long: may not be more than 3 bytes"]
        );
    }

    #[test]
    fn defaults_are_filled_in_and_unknown_fields_pruned() {
        let mut value = json!({"metadata": {"name": "x"}, "status": {},
            "spec": {"id": "a", "odd": 1, "on": null, "free": {"x": {"y": 1}}, "list": [{"k": "x", "z": 1}]}});
        let unknown = unknown(&spec(), &value).into_paths();
        prune(&spec(), &mut value);
        assert_eq!(unknown, ["status", "spec.odd", "spec.list[0].z"]);
        complete(&spec(), &mut value);
        let expected = json!({"metadata": {"name": "x"},
            "spec": {"id": "a", "on": true, "free": {"x": {"y": 1}}, "list": [{"k": "x"}]}});
        assert_eq!(value, expected);
    }
}
