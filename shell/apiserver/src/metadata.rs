//! The rules of `metadata`: names, labels, and the fields that only the server writes.

use serde_json::{Map, Value, json};

use crate::kinds::KindId;
use crate::refusal::Refusal;
use crate::schema::Cause;
use crate::store::Place;

/// A text of the metadata, empty where it is absent.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object
        .get("metadata")
        .and_then(|metadata| metadata.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// As many levels as an object may have. Its text is read again with a limit of 128, the owners of its fields included.
pub(crate) const DEEPEST: usize = 64;

/// Tells whether a value has at most so many levels.
pub(crate) fn is_within(value: &Value, levels: usize) -> bool {
    let below = |value: &Value| levels.checked_sub(1).is_some_and(|levels| is_within(value, levels));
    match value {
        Value::Object(entries) => entries.values().all(below),
        Value::Array(items) => items.iter().all(below),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// The metadata of a normalised object.
pub(crate) fn fields(object: &mut Value) -> &mut Map<String, Value> {
    if !object.get("metadata").is_some_and(Value::is_object) {
        object["metadata"] = json!({});
    }
    object["metadata"].as_object_mut().expect("it was just made an object")
}

/// Refuses what is no object, or one whose parts are of other types than those of any kind.
pub(crate) fn check_body(object: &Value) -> Result<(), Refusal> {
    let bad = |message: String| Err(Refusal::BadRequest(message));
    if !is_within(object, DEEPEST) {
        return bad(format!("the object has more than {DEEPEST} levels"));
    }
    let Some(root) = object.as_object() else { return bad("the body must be a JSON object".to_owned()) };
    for field in ["metadata", "spec", "status"] {
        if !root.get(field).is_none_or(|value| value.is_object() || value.is_null()) {
            return bad(format!("{field} must be a JSON object"));
        }
    }
    Ok(())
}

/// Checks that an object is of the kind, namespace and name of its place, and completes it so.
pub(crate) fn normalise(place: &Place, object: &mut Value) -> Result<(), Refusal> {
    let kind = place.kind;
    let bad = |message: String| Err(Refusal::BadRequest(message));
    let Some(root) = object.as_object_mut() else { return bad("the body must be a JSON object".to_owned()) };
    let expected = [("apiVersion", kind.api_version()), ("kind", kind.name.to_owned())];
    for (field, expected) in expected {
        match root.get(field) {
            None | Some(Value::Null) => {}
            Some(found) if *found == json!(expected) => {}
            Some(found) => return bad(format!("the {field} in the data ({found}) must be {expected:?}")),
        }
        root.insert(field.to_owned(), json!(expected));
    }
    let metadata = fields(object);
    metadata.retain(|_, value| !value.is_null());
    for (field, expected) in [("name", &place.name), ("namespace", &place.namespace)] {
        match metadata.get(field).map(|found| found.as_str().unwrap_or("\u{0}")) {
            None | Some("") => {}
            Some(found) if found == expected => {}
            Some(found) => {
                return bad(format!(
                    "the {field} of the provided object ({found:?}) does not match the {field} sent on the request ({expected:?})"
                ));
            }
        }
        if expected.is_empty() {
            metadata.remove(field);
        } else {
            metadata.insert(field.to_owned(), json!(expected));
        }
    }
    let causes = causes(kind, metadata);
    if causes.is_empty() { Ok(()) } else { Err(Refusal::Invalid(place.subject(), causes)) }
}

/// As many finalizers, and as many owners, may an object have: each is looked at whenever one of them goes.
const MOST_ENTRIES: usize = 1000;

fn causes(kind: KindId, metadata: &Map<String, Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut wrong = |field: String, message: String| {
        causes.push(Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {message}"),
            field,
        });
    };
    let name = metadata.get("name").and_then(Value::as_str).unwrap_or_default();
    if let Some(why) = wrong_name(kind, name) {
        wrong("metadata.name".to_owned(), format!("{name:?}: {why}"));
    }
    for field in ["labels", "annotations"] {
        let entries = match metadata.get(field) {
            None => continue,
            Some(Value::Object(entries)) => entries,
            Some(_) => {
                wrong(format!("metadata.{field}"), "must be an object of strings".to_owned());
                continue;
            }
        };
        for (key, value) in entries {
            if field == "labels" && !is_label_key(key) {
                let message = format!(
                    "{key:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and \
                     end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
                     validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
                );
                wrong("metadata.labels".to_owned(), message);
            }
            match value.as_str() {
                None => wrong(format!("metadata.{field}"), format!("the value of {key:?} must be a string")),
                Some(value) if field == "labels" && !is_label_value(value) => {
                    let message = format!(
                        "{value:?}: a valid label must be an empty string or consist of at most 63 alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
                    );
                    wrong("metadata.labels".to_owned(), message);
                }
                Some(_) => {}
            }
        }
    }
    let strings = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    if !metadata.get("finalizers").is_none_or(strings) {
        wrong("metadata.finalizers".to_owned(), "must be a list of strings".to_owned());
    }
    for field in ["finalizers", "ownerReferences"] {
        let count = metadata.get(field).and_then(Value::as_array).map_or(0, Vec::len);
        if count > MOST_ENTRIES {
            causes.push(Cause::too_many(&format!("metadata.{field}"), count, MOST_ENTRIES));
        }
    }
    causes
}

/// What a name of several labels must be like.
pub(crate) const SUBDOMAIN: &str = r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// Whether a text is a label of RFC 1123.
pub(crate) fn is_dns_label(text: &str) -> bool {
    let word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends =
        matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if word(first) && word(last));
    ends && bytes.iter().all(|byte| word(byte) || *byte == b'-')
}

/// What is wrong with a name; Namespaces and Services are named by one label.
fn wrong_name(kind: KindId, name: &str) -> Option<String> {
    let one_label = ["namespaces", "services"].contains(&kind.plural) && kind.group.is_empty();
    let longest = if one_label { 63 } else { 253 };
    if name.len() > longest {
        return Some(format!("must be no more than {longest} bytes"));
    }
    // COMPAT: roles and their bindings are named by a segment of a path.
    if kind.group == "rbac.authorization.k8s.io" {
        let legal = !name.is_empty() && ![".", ".."].contains(&name) && !name.contains(['/', '%']);
        return (!legal).then(|| "must be a segment of a path, without '/' and '%'".to_owned());
    }
    if one_label {
        return (!is_dns_label(name)).then(|| {
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
             end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
                .to_owned()
        });
    }
    (!name.split('.').all(is_dns_label)).then(|| SUBDOMAIN.to_owned())
}

/// Whether a text is a key of labels: a name, or a domain, a slash and a name.
pub(crate) fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let domain = |prefix: &str| prefix.len() <= 253 && prefix.split('.').all(is_dns_label);
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(domain)
}

pub(crate) fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return true };
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    bytes.len() <= 63
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(legal)
}

/// Whether an update asks to forget all owners, by an explicit empty list.
pub(crate) fn disowns(object: &Value) -> bool {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.is_some_and(|entries| entries.iter().all(|entry| entry.as_object().is_some_and(Map::is_empty)))
}

/// Takes over from the old object what an update cannot change.
pub(crate) fn keep_immutable(before: &Value, after: &mut Value) {
    let after = fields(after);
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
        "resourceVersion",
        "managedFields",
    ] {
        match before.get("metadata").and_then(|metadata| metadata.get(field)) {
            Some(value) => after.insert(field.to_owned(), value.clone()),
            None => after.remove(field),
        };
    }
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let empty = |value: &Value| {
            value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
        };
        if after.get(field).is_some_and(empty) {
            after.remove(field);
        }
    }
}

/// The finalizers that a change would add.
pub(crate) fn new_finalizers(before: &Value, after: &Value) -> Vec<String> {
    let all = |object: &Value| -> Vec<String> {
        let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
        finalizers.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let known = all(before);
    all(after).into_iter().filter(|finalizer| !known.contains(finalizer)).collect()
}

/// Raises the generation where the desired state changed.
pub(crate) fn count_generation(kind: KindId, before: &Value, after: &mut Value) {
    if !kind.counts_generations {
        return;
    }
    let desired = |value: &Value| {
        let mut root = value.as_object().cloned().unwrap_or_default();
        root.remove("metadata");
        if kind.has_status_subresource() {
            root.remove("status");
        }
        root
    };
    if desired(before) != desired(after) {
        let generation = before.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or(1);
        fields(after).insert("generation".to_owned(), json!(generation + 1));
    }
}

/// Whether something still holds a deleted object back.
pub(crate) fn has_finalizers(object: &Value) -> bool {
    object.pointer("/metadata/finalizers").and_then(Value::as_array).is_some_and(|items| !items.is_empty())
}

/// A version 4 UUID of random bytes.
pub(crate) fn uid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
