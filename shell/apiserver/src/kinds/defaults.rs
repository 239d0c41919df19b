//! What the server completes in an object that leaves it out.

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
    if let Some(status) = field(object, "status") {
        status.entry("phase").or_insert_with(|| json!("Active"));
    }
}

pub(super) fn service(object: &mut Value) {
    if let Some(status) = field(object, "status") {
        status.entry("loadBalancer").or_insert_with(|| json!({}));
    }
    let Some(spec) = field(object, "spec") else { return };
    spec.entry("type").or_insert_with(|| json!("ClusterIP"));
    spec.entry("sessionAffinity").or_insert_with(|| json!("None"));
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten();
    for port in ports.filter_map(Value::as_object_mut) {
        port.entry("protocol").or_insert_with(|| json!("TCP"));
        if let Some(number) = port.get("port").cloned() {
            port.entry("targetPort").or_insert(number);
        }
    }
}

pub(super) fn secret(object: &mut Value) {
    if let Some(Value::Object(plain)) = object.as_object_mut().and_then(|object| object.remove("stringData"))
        && let Some(data) = field(object, "data")
    {
        for (key, value) in plain {
            let encoded = base64(value.as_str().unwrap_or_default().as_bytes());
            data.insert(key, json!(encoded));
        }
    }
    if let Some(object) = object.as_object_mut() {
        object.entry("type").or_insert_with(|| json!("Opaque"));
    }
}

pub(super) fn pod(object: &mut Value) {
    if let Some(spec) = field(object, "spec") {
        spec.entry("restartPolicy").or_insert_with(|| json!("Always"));
    }
    if let Some(status) = field(object, "status") {
        status.entry("phase").or_insert_with(|| json!("Pending"));
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
