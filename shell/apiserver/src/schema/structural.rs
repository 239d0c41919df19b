//! What makes a definition's schema structural, and what is wrong with one that is not.

use regex::Regex;
use serde_json::Value;

use super::{Cause, NoReferences, Schema, paths, rules, says, validate};

const LIST_TYPES: [&str; 3] = ["atomic", "map", "set"];
const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// What is wrong with the schema of a definition at a path.
pub(crate) fn problems(schema: &Value, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => {}
        None => {
            causes.push(Cause::required(&paths::field(path, "type"), "must not be empty at the root"));
        }
        Some(other) => causes.push(Cause::invalid(
            &paths::field(path, "type"),
            &Value::from(other),
            "must be object at the root",
        )),
    }
    walk(schema, path, &mut causes);
    causes
}

fn walk(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    keywords(schema, path, causes);
    lists(schema, path, causes);
    rules::problems(schema, path, causes);
    if let Some(default) = schema.get("default") {
        let below = Schema::read(schema, &mut NoReferences);
        let place = paths::field(path, "default");
        causes.extend(validate(&below, default).into_iter().map(|cause| {
            let field = if cause.field == "<nil>" { String::new() } else { format!(".{}", cause.field) };
            Cause { field: format!("{place}{field}"), ..cause }
        }));
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let below = paths::key(&paths::field(path, "properties"), name);
        typed(property, &below, "must not be empty for specified object fields", causes);
        walk(property, &below, causes);
    }
    for (name, why) in [
        ("items", "must not be empty for specified array items"),
        ("additionalProperties", "must not be empty for specified additional properties"),
    ] {
        if let Some(child) = schema.get(name).filter(|child| child.is_object()) {
            let below = paths::field(path, name);
            typed(child, &below, why, causes);
            walk(child, &below, causes);
        }
    }
}

fn typed(schema: &Value, path: &str, why: &str, causes: &mut Vec<Cause>) {
    let free =
        says(schema, "x-kubernetes-int-or-string") || says(schema, "x-kubernetes-preserve-unknown-fields");
    if schema.get("type").is_none() && !free {
        causes.push(Cause::required(&paths::field(path, "type"), why));
    }
}

fn keywords(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    if schema.get("$ref").is_some() {
        causes.push(Cause::forbidden(&paths::field(path, "$ref"), "$ref is not supported"));
    }
    if says(schema, "uniqueItems") {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        causes.push(Cause::forbidden(&paths::field(path, "uniqueItems"), why));
    }
    if let Some(kind) = schema.get("type")
        && !kind.as_str().is_some_and(|kind| TYPES.contains(&kind))
    {
        causes.push(Cause::unsupported(&paths::field(path, "type"), kind, TYPES.into_iter()));
    }
    if let Some(pattern) = schema.get("pattern")
        && let Err(error) = Regex::new(pattern.as_str().unwrap_or_default())
    {
        let detail = format!("must be a valid regular expression, but isn't: {error}").replace('\n', " ");
        causes.push(Cause::invalid(&paths::field(path, "pattern"), pattern, detail));
    }
    if schema.get("type").is_some_and(|kind| kind == "array") && schema.get("items").is_none() {
        causes.push(Cause::required(&paths::field(path, "items"), "must be specified"));
    }
    let open = schema.get("additionalProperties").is_some_and(Value::is_object);
    if open && schema.get("properties").is_some() {
        let why = "additionalProperties and properties are mutual exclusive";
        causes.push(Cause::forbidden(&paths::field(path, "additionalProperties"), why));
    }
}

fn lists(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let keys_path = paths::field(path, "x-kubernetes-list-map-keys");
    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    let Some(kind) = schema.get("x-kubernetes-list-type") else {
        if keys.is_some() {
            let why = "must not be set if x-kubernetes-list-type is not map";
            causes.push(Cause::forbidden(&keys_path, why));
        }
        return;
    };
    match kind.as_str() {
        Some("map") => {}
        Some(known) if LIST_TYPES.contains(&known) => return,
        _ => {
            let place = paths::field(path, "x-kubernetes-list-type");
            return causes.push(Cause::unsupported(&place, kind, LIST_TYPES.into_iter()));
        }
    }
    if keys.is_none_or(Vec::is_empty) {
        causes.push(Cause::required(&keys_path, "must not be empty if x-kubernetes-list-type is map"));
    }
    let item = schema.get("items").unwrap_or(&Value::Null);
    for (index, key) in keys.into_iter().flatten().enumerate() {
        let name = key.as_str().unwrap_or_default();
        let property = item.get("properties").and_then(|properties| properties.get(name));
        let required = item.get("required").and_then(Value::as_array).is_some_and(|all| all.contains(key));
        let place = paths::index(&keys_path, index);
        match property {
            None => causes.push(Cause::invalid(&place, key, "must be a property of the items of the list")),
            Some(property) if !required && property.get("default").is_none() => {
                let place = paths::key(&format!("{path}.items.properties"), name);
                let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                causes.push(Cause::required(&paths::field(&place, "default"), why));
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::problems;

    #[test]
    fn what_is_not_structural_is_named() {
        let schema = json!({"type": "object", "properties": {
            "good": {"type": "string", "default": "x"},
            "untyped": {},
            "free": {"x-kubernetes-preserve-unknown-fields": true},
            "pattern": {"type": "string", "pattern": "["},
            "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"],
                "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "default": {"type": "integer", "default": "x"},
        }});
        let fields: Vec<_> = problems(&schema, "s").into_iter().map(|cause| cause.field).collect();
        assert_eq!(
            fields,
            [
                "s.properties[default].default",
                "s.properties[list].items.properties[a].default",
                "s.properties[pattern].pattern",
                "s.properties[untyped].type",
            ]
        );
        assert_eq!(problems(&json!({}), "s")[0].message, "Required value: must not be empty at the root");
    }
}
