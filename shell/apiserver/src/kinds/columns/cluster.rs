//! Columns of what belongs to a cluster: namespaces, nodes, events, access, policies.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    AGE, Column, NAME, Table, at, items, joined, number, path, selector, since, text, whole, wide, with,
};

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

pub(super) const TABLES: &[Table] = &[
    ("", "namespaces", &[NAME, path("Status", "status.phase"), AGE]),
    ("", "configmaps", &[NAME, with("Data", data_count), AGE]),
    ("", "secrets", &[NAME, path("Type", "type"), with("Data", data_count), AGE]),
    ("", "serviceaccounts", &[NAME, with("Secrets", secret_count), AGE]),
    ("", "resourcequotas", &[NAME, with("Request", quota_requests), with("Limit", quota_limits), AGE]),
    ("", "nodes", NODE),
    ("", "events", EVENT),
    ("events.k8s.io", "events", EVENT),
    ("coordination.k8s.io", "leases", &[NAME, path("Holder", "spec.holderIdentity"), AGE]),
    (RBAC, "rolebindings", BINDING),
    (RBAC, "clusterrolebindings", BINDING),
    (
        ADMISSION,
        "validatingadmissionpolicies",
        &[NAME, number("Validations", validation_count), with("ParamKind", param_kind), AGE],
    ),
    (
        ADMISSION,
        "validatingadmissionpolicybindings",
        &[NAME, path("PolicyName", "spec.policyName"), with("ParamRef", param_reference), AGE],
    ),
];

const NODE: &[Column] = &[
    NAME,
    with("Status", node_status),
    with("Roles", node_roles),
    AGE,
    path("Version", "status.nodeInfo.kubeletVersion"),
    wide(with("Internal-IP", |node| node_address(node, "InternalIP"))),
    wide(with("External-IP", |node| node_address(node, "ExternalIP"))),
    wide(with("OS-Image", |node| node_info(node, "osImage"))),
    wide(with("Kernel-Version", |node| node_info(node, "kernelVersion"))),
    wide(with("Container-Runtime", |node| node_info(node, "containerRuntimeVersion"))),
];

/// COMPAT: an Event's name stands last, and only in wide output.
const EVENT: &[Column] = &[
    at("Last Seen", last_seen),
    path("Type", "type"),
    path("Reason", "reason"),
    with("Object", event_object),
    wide(with("Subobject", |event| {
        json!(either(event, "/involvedObject/fieldPath", "/regarding/fieldPath"))
    })),
    wide(with("Source", event_source)),
    with("Message", |event| json!(either(event, "/message", "/note").trim())),
    wide(at("First Seen", |event, now| json!(first_seen(event, now)))),
    wide(with("Count", event_count)),
    wide(NAME),
];

const BINDING: &[Column] = &[
    NAME,
    with("Role", binding_role),
    AGE,
    wide(with("Users", |binding| subjects(binding, "User"))),
    wide(with("Groups", |binding| subjects(binding, "Group"))),
    wide(with("ServiceAccounts", |binding| subjects(binding, "ServiceAccount"))),
];

fn data_count(object: &Value) -> Value {
    let count = |field| object.get(field).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    json!(count("data") + count("binaryData"))
}

fn secret_count(account: &Value) -> Value {
    json!(items(account, "/secrets").count())
}

fn quota(quota: &Value, limits: bool) -> Value {
    let hard = quota.pointer("/status/hard").and_then(Value::as_object).into_iter().flatten();
    let column = hard.filter(|(name, _)| name.starts_with("limits.") == limits).map(|(name, hard)| {
        let used = quota["status"]["used"][name].as_str().unwrap_or("0");
        format!("{name}: {used}/{}", hard.as_str().unwrap_or_default())
    });
    json!(column.collect::<Vec<_>>().join(", "))
}

fn quota_requests(object: &Value) -> Value {
    quota(object, false)
}

fn quota_limits(object: &Value) -> Value {
    quota(object, true)
}

fn node_status(node: &Value) -> Value {
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

fn node_roles(node: &Value) -> Value {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    let role = |(key, value): (&String, &Value)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => Some(role.to_owned()),
        None if key == "kubernetes.io/role" => value.as_str().map(str::to_owned),
        None => None,
    };
    let mut roles: Vec<_> = labels.filter_map(role).filter(|role| !role.is_empty()).collect();
    roles.sort();
    roles.dedup();
    joined(roles.into_iter(), "<none>")
}

fn node_address(node: &Value, kind: &str) -> Value {
    let address = items(node, "/status/addresses").find(|address| text(address, "/type") == kind);
    json!(address.map_or("<none>", |address| text(address, "/address")))
}

fn node_info(node: &Value, field: &str) -> Value {
    let found = text(node, &format!("/status/nodeInfo/{field}"));
    json!(if found.is_empty() { "<unknown>" } else { found })
}

fn either<'a>(object: &'a Value, one: &str, other: &str) -> &'a str {
    let first = text(object, one);
    if first.is_empty() { text(object, other) } else { first }
}

fn event_object(event: &Value) -> Value {
    let about = if event["involvedObject"].is_object() { "involvedObject" } else { "regarding" };
    let (kind, name) = (text(&event[about], "/kind").to_lowercase(), text(&event[about], "/name"));
    json!(if name.is_empty() { kind } else { format!("{kind}/{name}") })
}

fn event_source(event: &Value) -> Value {
    let reporter = either(event, "/reportingComponent", "/reportingController");
    let pick = |known: &str, other: &str| {
        let known = text(event, known);
        if known.is_empty() { other.to_owned() } else { known.to_owned() }
    };
    let (component, host) =
        (pick("/source/component", reporter), pick("/source/host", text(event, "/reportingInstance")));
    json!(if host.is_empty() { component } else { format!("{component}, {host}") })
}

/// When an Event was first seen; the names are those of the core group and of events.k8s.io.
fn first_seen(event: &Value, now: Timestamp) -> String {
    let known = ["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"];
    let known = known.into_iter().find(|field| !text(event, field).is_empty());
    since(event, known.unwrap_or("/eventTime"), now)
}

fn last_seen(event: &Value, now: Timestamp) -> Value {
    let known = ["/series/lastObservedTime", "/lastTimestamp", "/deprecatedLastTimestamp"];
    let known = known.into_iter().find(|field| !text(event, field).is_empty());
    json!(known.map_or_else(|| first_seen(event, now), |field| since(event, field, now)))
}

fn event_count(event: &Value) -> Value {
    let counts = ["/series/count", "/count", "/deprecatedCount"].map(|field| whole(event, field));
    json!(counts.into_iter().find(|count| *count > 0).unwrap_or(1))
}

fn binding_role(binding: &Value) -> Value {
    json!(format!("{}/{}", text(binding, "/roleRef/kind"), text(binding, "/roleRef/name")))
}

fn subjects(binding: &Value, kind: &str) -> Value {
    let own = items(binding, "/subjects").filter(|subject| text(subject, "/kind") == kind);
    let named = own.map(|subject| match text(subject, "/namespace") {
        "" => text(subject, "/name").to_owned(),
        namespace => format!("{namespace}/{}", text(subject, "/name")),
    });
    json!(named.collect::<Vec<_>>().join(", "))
}

fn validation_count(policy: &Value) -> Value {
    json!(items(policy, "/spec/validations").count())
}

fn param_kind(policy: &Value) -> Value {
    let kind = &policy["spec"]["paramKind"];
    if !kind.is_object() {
        return json!("<unset>");
    }
    json!(format!("{}/{}", text(kind, "/apiVersion"), text(kind, "/kind")))
}

fn param_reference(binding: &Value) -> Value {
    let reference = &binding["spec"]["paramRef"];
    let (namespace, name) = (text(reference, "/namespace"), text(reference, "/name"));
    json!(match (namespace, name) {
        _ if !reference.is_object() => "<unset>".to_owned(),
        (_, "") => selector(&reference["selector"]),
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    })
}
