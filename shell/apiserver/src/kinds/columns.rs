//! The columns of `kubectl get` per kind.

use serde_json::{Value, json};

use crate::jsonpath::JsonPath;

/// How one cell is found in an object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell {
    /// The text at a dotted path.
    Path(&'static str),
    /// How long ago the object was created.
    Age,
    /// Whatever the function makes of the object.
    With(fn(&Value) -> Value),
    /// What a definition's column finds.
    At(&'static JsonPath),
}

/// One column after `Name`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) cell: Cell,
    /// 0 is always shown, more only in wide output.
    pub(crate) priority: i64,
    /// The type of its cells.
    pub(crate) form: &'static str,
    pub(crate) format: &'static str,
    pub(crate) description: &'static str,
}

const PLAIN: Column =
    Column { name: "", cell: Cell::Age, priority: 0, form: "string", format: "", description: "" };

pub(super) const fn path(name: &'static str, path: &'static str) -> Column {
    Column { name, cell: Cell::Path(path), ..PLAIN }
}

pub(super) const fn age() -> Column {
    Column { name: "Age", ..PLAIN }
}

pub(super) const fn with(name: &'static str, cell: fn(&Value) -> Value) -> Column {
    Column { name, cell: Cell::With(cell), ..PLAIN }
}

pub(super) const fn wide(name: &'static str, cell: fn(&Value) -> Value) -> Column {
    Column { name, cell: Cell::With(cell), priority: 1, ..PLAIN }
}

fn items<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn joined(parts: impl Iterator<Item = String>, nothing: &str) -> Value {
    let text = parts.collect::<Vec<_>>().join(",");
    if text.is_empty() { json!(nothing) } else { json!(text) }
}

pub(super) fn node_status(node: &Value) -> Value {
    let ready = items(node, "/status/conditions").find(|condition| text(condition, "/type") == "Ready");
    let mut status = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if node.pointer("/spec/unschedulable") == Some(&json!(true)) {
        status.push_str(",SchedulingDisabled");
    }
    json!(status)
}

pub(super) fn node_roles(node: &Value) -> Value {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let roles = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/").map(str::to_owned));
    joined(roles, "<none>")
}

pub(super) fn node_internal_ip(node: &Value) -> Value {
    let address = items(node, "/status/addresses").find(|address| text(address, "/type") == "InternalIP");
    json!(address.map_or("<none>", |address| text(address, "/address")))
}

pub(super) fn service_external_ip(service: &Value) -> Value {
    let balanced =
        items(service, "/status/loadBalancer/ingress").map(|ingress| text(ingress, "/ip").to_owned());
    let external = items(service, "/spec/externalIPs").filter_map(Value::as_str).map(str::to_owned);
    joined(balanced.chain(external), "<none>")
}

pub(super) fn service_ports(service: &Value) -> Value {
    let ports = items(service, "/spec/ports").map(|port| {
        let number = port.get("port").and_then(Value::as_u64).unwrap_or_default();
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
        match port.get("nodePort").and_then(Value::as_u64) {
            Some(node_port) => format!("{number}:{node_port}/{protocol}"),
            None => format!("{number}/{protocol}"),
        }
    });
    joined(ports, "<none>")
}

pub(super) fn service_selector(service: &Value) -> Value {
    let selector = service.pointer("/spec/selector").and_then(Value::as_object);
    let pairs = selector
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    joined(pairs, "<none>")
}

pub(super) fn slice_ports(slice: &Value) -> Value {
    let ports = items(slice, "/ports").filter_map(|port| port.get("port")).map(Value::to_string);
    joined(ports, "<unset>")
}

pub(super) fn slice_endpoints(slice: &Value) -> Value {
    let addresses = items(slice, "/endpoints").flat_map(|endpoint| items(endpoint, "/addresses"));
    joined(addresses.filter_map(Value::as_str).map(str::to_owned), "<unset>")
}

pub(super) fn endpoints(endpoints: &Value) -> Value {
    let of_subset = |subset: &Value| -> Vec<String> {
        let ports: Vec<_> = items(subset, "/ports").filter_map(|port| port["port"].as_u64()).collect();
        let addresses = items(subset, "/addresses").map(|address| text(address, "/ip"));
        addresses.flat_map(|address| ports.iter().map(move |port| format!("{address}:{port}"))).collect()
    };
    joined(items(endpoints, "/subsets").flat_map(of_subset), "<none>")
}

pub(super) fn replicas_ready(object: &Value) -> Value {
    let count = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    json!(format!("{}/{}", count("/status/readyReplicas"), count("/spec/replicas")))
}

pub(super) fn pod_selector(policy: &Value) -> Value {
    let selector = policy.pointer("/spec/podSelector").map(crate::selector::written).unwrap_or_default();
    joined(Some(selector).into_iter(), "<none>")
}

pub(super) fn binding_role(binding: &Value) -> Value {
    json!(format!("{}/{}", text(binding, "/roleRef/kind"), text(binding, "/roleRef/name")))
}

pub(super) fn data_count(object: &Value) -> Value {
    let count = |field| object.get(field).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    json!(count("data") + count("binaryData"))
}

pub(super) fn event_object(event: &Value) -> Value {
    let kind = text(event, "/involvedObject/kind").to_lowercase();
    json!(format!("{kind}/{}", text(event, "/involvedObject/name")))
}

pub(super) fn pod_ready(pod: &Value) -> Value {
    let ready =
        items(pod, "/status/containerStatuses").filter(|status| status.get("ready") == Some(&json!(true)));
    json!(format!("{}/{}", ready.count(), items(pod, "/spec/containers").count()))
}

pub(super) fn pod_restarts(pod: &Value) -> Value {
    let counts = items(pod, "/status/containerStatuses")
        .filter_map(|status| status.get("restartCount").and_then(Value::as_u64));
    json!(counts.sum::<u64>())
}

pub(super) fn pod_ip(pod: &Value) -> Value {
    json!(pod.pointer("/status/podIP").and_then(Value::as_str).unwrap_or("<none>"))
}

pub(super) fn pod_node(pod: &Value) -> Value {
    json!(pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or("<none>"))
}
