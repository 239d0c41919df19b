//! What the server completes in an object as a whole; single definitions are completed in `unpublished.rs`.

use serde_json::{Map, Value, json};

pub(super) fn none(_: &mut Value) {}

fn field<'a>(object: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    object.as_object_mut()?.entry(name).or_insert_with(|| json!({})).as_object_mut()
}

pub(super) fn namespace(object: &mut Value) {
    let name = object.pointer("/metadata/name").cloned().unwrap_or_default();
    if let Some(labels) = object.get_mut("metadata").and_then(|metadata| field(metadata, "labels")) {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name);
    }
    if let Some(spec) = field(object, "spec") {
        spec.entry("finalizers").or_insert_with(|| json!(["kubernetes"]));
    }
}

pub(super) fn secret(object: &mut Value) {
    if let Some(Value::Object(plain)) = object.as_object_mut().and_then(|object| object.remove("stringData"))
        && let Some(data) = field(object, "data")
    {
        for (key, value) in plain {
            let encoded = crate::base64_of(value.as_str().unwrap_or_default().as_bytes());
            data.insert(key, json!(encoded));
        }
    }
}

pub(super) fn pod(object: &mut Value) {
    if let Some(spec) = field(object, "spec") {
        spec.entry("enableServiceLinks").or_insert(Value::Bool(true));
        for list in ["containers", "initContainers"] {
            let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            containers.for_each(request_what_is_limited);
        }
    }
    let class = quality(&object["spec"]);
    if let Some(status) = field(object, "status") {
        status.entry("phase").or_insert_with(|| json!("Pending"));
        status.entry("qosClass").or_insert_with(|| json!(class));
    }
}

/// Who is limited to an amount asks for as much.
fn request_what_is_limited(container: &mut Value) {
    let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else { return };
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    let requests = resources.entry("requests").or_insert_with(|| json!({}));
    for (name, amount) in limits {
        if requests[&name].is_null() {
            requests[&name] = amount;
        }
    }
}

/// How soon a Pod is put out where memory is short.
fn quality(spec: &Value) -> &'static str {
    const COUNTED: [&str; 2] = ["cpu", "memory"];
    let lists = ["containers", "initContainers"].into_iter();
    let containers: Vec<_> = lists.filter_map(|list| spec[list].as_array()).flatten().collect();
    let has = |container: &Value, what: &str, name: &str| {
        container["resources"][what][name].as_str().is_some_and(|amount| amount != "0")
    };
    let any = |container: &&&Value| {
        COUNTED.iter().any(|name| has(container, "requests", name) || has(container, "limits", name))
    };
    if !containers.iter().any(|container| any(&container)) {
        return "BestEffort";
    }
    let bound = |container: &&Value, name: &str| {
        let resources = &container["resources"];
        has(container, "limits", name) && resources["limits"][name] == resources["requests"][name]
    };
    let all = containers.iter().all(|container| COUNTED.iter().all(|name| bound(container, name)));
    if all { "Guaranteed" } else { "Burstable" }
}
