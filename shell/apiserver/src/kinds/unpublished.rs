//! What Kubernetes does not publish of its definitions: the values that fields get which a client leaves out, and those
//! which are written although nothing is in them.

use serde_json::{Map, Value, json};

use crate::schema::{Preset, Schema};

/// What a field gets.
enum Given {
    Text(&'static str),
    /// Zero is a number like any other.
    Number(i64),
    /// Zero counts as left out.
    Positive(i64),
    Empty,
    Null,
}

use Given::{Empty, Null, Number, Positive, Text};

/// The end of a definition's name, a field, its value.
type Row = (&'static str, &'static str, Given);

const ROWS: &[Row] = &[
    // Times that are no pointers in Kubernetes, and lists that are always written.
    ("meta.v1.ObjectMeta", "creationTimestamp", Null),
    ("meta.v1.Condition", "lastTransitionTime", Null),
    ("core.v1.Event", "eventTime", Null),
    ("core.v1.Event", "firstTimestamp", Null),
    ("core.v1.Event", "lastTimestamp", Null),
    ("events.v1.Event", "eventTime", Null),
    ("events.v1.Event", "deprecatedFirstTimestamp", Null),
    ("events.v1.Event", "deprecatedLastTimestamp", Null),
    ("core.v1.NamespaceCondition", "lastTransitionTime", Null),
    ("core.v1.NodeCondition", "lastHeartbeatTime", Null),
    ("core.v1.NodeCondition", "lastTransitionTime", Null),
    ("core.v1.PodCondition", "lastProbeTime", Null),
    ("core.v1.PodCondition", "lastTransitionTime", Null),
    ("core.v1.ContainerStateRunning", "startedAt", Null),
    ("core.v1.ContainerStateTerminated", "startedAt", Null),
    ("core.v1.ContainerStateTerminated", "finishedAt", Null),
    ("core.v1.PodSpec", "containers", Null),
    ("apps.v1.DeploymentCondition", "lastTransitionTime", Null),
    ("apps.v1.DeploymentCondition", "lastUpdateTime", Null),
    ("apps.v1.ReplicaSetCondition", "lastTransitionTime", Null),
    ("apps.v1.StatefulSetCondition", "lastTransitionTime", Null),
    ("apps.v1.DaemonSetCondition", "lastTransitionTime", Null),
    ("apps.v1.DeploymentSpec", "selector", Null),
    ("apps.v1.ReplicaSetSpec", "selector", Null),
    ("apps.v1.StatefulSetSpec", "selector", Null),
    ("apps.v1.DaemonSetSpec", "selector", Null),
    ("discovery.v1.EndpointSlice", "endpoints", Null),
    ("discovery.v1.EndpointSlice", "ports", Null),
    ("rbac.v1.Role", "rules", Null),
    ("rbac.v1.ClusterRole", "rules", Null),
    // Of the core group.
    ("core.v1.NamespaceStatus", "phase", Text("Active")),
    ("core.v1.Secret", "type", Text("Opaque")),
    ("core.v1.ServiceSpec", "type", Text("ClusterIP")),
    ("core.v1.ServiceSpec", "sessionAffinity", Text("None")),
    ("core.v1.ClientIPConfig", "timeoutSeconds", Number(10_800)),
    ("core.v1.EndpointPort", "protocol", Text("TCP")),
    ("core.v1.PodSpec", "restartPolicy", Text("Always")),
    ("core.v1.PodSpec", "dnsPolicy", Text("ClusterFirst")),
    ("core.v1.PodSpec", "schedulerName", Text("default-scheduler")),
    ("core.v1.PodSpec", "terminationGracePeriodSeconds", Number(30)),
    ("core.v1.PodSpec", "securityContext", Empty),
    ("core.v1.Container", "terminationMessagePath", Text("/dev/termination-log")),
    ("core.v1.Container", "terminationMessagePolicy", Text("File")),
    ("core.v1.EphemeralContainer", "terminationMessagePath", Text("/dev/termination-log")),
    ("core.v1.EphemeralContainer", "terminationMessagePolicy", Text("File")),
    ("core.v1.Probe", "timeoutSeconds", Positive(1)),
    ("core.v1.Probe", "periodSeconds", Positive(10)),
    ("core.v1.Probe", "successThreshold", Positive(1)),
    ("core.v1.Probe", "failureThreshold", Positive(3)),
    ("core.v1.HTTPGetAction", "path", Text("/")),
    ("core.v1.HTTPGetAction", "scheme", Text("HTTP")),
    ("core.v1.ObjectFieldSelector", "apiVersion", Text("v1")),
    ("core.v1.SecretVolumeSource", "defaultMode", Number(0o644)),
    ("core.v1.ConfigMapVolumeSource", "defaultMode", Number(0o644)),
    ("core.v1.DownwardAPIVolumeSource", "defaultMode", Number(0o644)),
    ("core.v1.ProjectedVolumeSource", "defaultMode", Number(0o644)),
    ("core.v1.ServiceAccountTokenProjection", "expirationSeconds", Number(3600)),
    ("core.v1.HostPathVolumeSource", "type", Text("")),
    ("core.v1.PersistentVolumeClaimSpec", "volumeMode", Text("Filesystem")),
    ("core.v1.PersistentVolumeClaimStatus", "phase", Text("Pending")),
    // Of other groups.
    ("discovery.v1.EndpointPort", "name", Text("")),
    ("discovery.v1.EndpointPort", "protocol", Text("TCP")),
    ("apps.v1.DeploymentSpec", "replicas", Number(1)),
    ("apps.v1.DeploymentSpec", "revisionHistoryLimit", Number(10)),
    ("apps.v1.DeploymentSpec", "progressDeadlineSeconds", Number(600)),
    ("apps.v1.ReplicaSetSpec", "replicas", Number(1)),
    ("apps.v1.DaemonSetSpec", "revisionHistoryLimit", Number(10)),
    ("apps.v1.StatefulSetSpec", "replicas", Number(1)),
    ("apps.v1.StatefulSetSpec", "revisionHistoryLimit", Number(10)),
    ("apps.v1.StatefulSetSpec", "podManagementPolicy", Text("OrderedReady")),
    ("apps.v1.StatefulSetSpec", "persistentVolumeClaimRetentionPolicy", Empty),
    ("apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", "whenDeleted", Text("Retain")),
    ("apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", "whenScaled", Text("Retain")),
    ("networking.v1.NetworkPolicyPort", "protocol", Text("TCP")),
    ("rbac.v1.RoleRef", "apiGroup", Text("rbac.authorization.k8s.io")),
    ("admissionregistration.v1.ValidatingAdmissionPolicySpec", "failurePolicy", Text("Fail")),
    ("admissionregistration.v1.MatchResources", "matchPolicy", Text("Equivalent")),
    ("admissionregistration.v1.MatchResources", "namespaceSelector", Empty),
    ("admissionregistration.v1.MatchResources", "objectSelector", Empty),
    ("admissionregistration.v1.NamedRuleWithOperations", "scope", Text("*")),
];

/// What a definition's fields get that depends on other fields.
type Derived = fn(&mut Map<String, Value>);

const DERIVED: &[(&str, Derived)] = &[
    ("core.v1.ServiceSpec", service),
    ("core.v1.ServicePort", service_port),
    ("core.v1.Container", container),
    ("core.v1.EphemeralContainer", container),
    ("core.v1.Volume", volume),
    ("core.v1.PodSpec", pod_spec),
    ("core.v1.PodStatus", pod_status),
    ("core.v1.NodeSpec", node_spec),
    ("core.v1.NodeStatus", node_status),
    ("apps.v1.DeploymentStrategy", deployment_strategy),
    ("apps.v1.DaemonSetUpdateStrategy", daemon_set_strategy),
    ("apps.v1.StatefulSetUpdateStrategy", stateful_set_strategy),
    ("networking.v1.NetworkPolicySpec", network_policy),
    ("rbac.v1.Subject", subject),
];

/// Adds to a definition's schema what is not published of it.
pub(super) fn amend(definition: &str, schema: &mut Schema) {
    let is = |suffix: &str| definition.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'));
    for (of, field, given) in ROWS.iter().filter(|row| is(row.0)) {
        debug_assert!(schema.properties.contains_key(*field), "{of} has {field}");
        let (value, over_zero) = match given {
            Text(text) => (json!(text), true),
            Number(number) => (json!(number), false),
            Positive(number) => (json!(number), true),
            Empty => (json!({}), false),
            Null => (Value::Null, false),
        };
        schema.presets.retain(|known| &*known.field != *field);
        schema.presets.push(Preset { field: (*field).into(), value, over_zero });
    }
    schema.derive = DERIVED.iter().find(|row| is(row.0)).map(|row| row.1);
}

fn is(fields: &Map<String, Value>, field: &str, texts: &[&str]) -> bool {
    fields.get(field).and_then(Value::as_str).is_some_and(|found| texts.contains(&found))
}

fn give(fields: &mut Map<String, Value>, field: &str, value: Value) {
    if fields.get(field).is_none_or(|found| found.is_null() || *found == "") {
        fields.insert(field.to_owned(), value);
    }
}

fn service(spec: &mut Map<String, Value>) {
    if is(spec, "sessionAffinity", &["None"]) {
        spec.remove("sessionAffinityConfig");
    } else if is(spec, "sessionAffinity", &["ClientIP"]) {
        give(spec, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 10_800}}));
    }
    let external = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
    if is(spec, "type", &["NodePort", "LoadBalancer"]) || external && is(spec, "type", &["ClusterIP"]) {
        give(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if is(spec, "type", &["ClusterIP", "NodePort", "LoadBalancer"]) {
        give(spec, "internalTrafficPolicy", json!("Cluster"));
    }
    if is(spec, "type", &["LoadBalancer"]) {
        give(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
}

fn service_port(port: &mut Map<String, Value>) {
    let target = port.get("targetPort");
    if target.is_none_or(|target| *target == 0 || *target == "")
        && let Some(number) = port.get("port").cloned()
    {
        port.insert("targetPort".to_owned(), number);
    }
}

fn container(container: &mut Map<String, Value>) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    let latest = !image.contains('@') && tag.is_none_or(|tag| tag == "latest");
    give(container, "imagePullPolicy", json!(if latest { "Always" } else { "IfNotPresent" }));
}

fn volume(volume: &mut Map<String, Value>) {
    if !volume.keys().any(|field| field != "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
}

fn pod_spec(spec: &mut Map<String, Value>) {
    // COMPAT: the account's old field says the same.
    if let Some(account) = spec.get("serviceAccountName").or_else(|| spec.get("serviceAccount")).cloned() {
        spec.insert("serviceAccountName".to_owned(), account.clone());
        spec.insert("serviceAccount".to_owned(), account);
    }
    if spec.get("hostNetwork") != Some(&Value::Bool(true)) {
        return;
    }
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        let ports = containers.filter_map(|container| container.get_mut("ports")?.as_array_mut());
        for port in ports.flatten() {
            if port["hostPort"].as_i64().unwrap_or_default() == 0 {
                port["hostPort"] = port["containerPort"].clone();
            }
        }
    }
}

/// COMPAT: a field of one value and one of several say the same.
fn agree(fields: &mut Map<String, Value>, one: &str, several: &str, wrap: fn(&Value) -> Value) {
    let first = fields.get(several).and_then(|list| list.get(0)).cloned();
    match (fields.get(one).filter(|value| **value != "").map(wrap), first) {
        (Some(value), first) if first.as_ref() != Some(&value) => {
            fields.insert(several.to_owned(), json!([value]));
        }
        (None, Some(first)) => {
            let value = if first.is_object() { first["ip"].clone() } else { first };
            fields.insert(one.to_owned(), value);
        }
        _ => {}
    }
}

fn pod_status(status: &mut Map<String, Value>) {
    agree(status, "podIP", "podIPs", |ip| json!({"ip": ip}));
    agree(status, "hostIP", "hostIPs", |ip| json!({"ip": ip}));
}

fn node_spec(spec: &mut Map<String, Value>) {
    agree(spec, "podCIDR", "podCIDRs", Value::clone);
}

fn node_status(status: &mut Map<String, Value>) {
    if let Some(capacity) = status.get("capacity").cloned() {
        let allocatable = status.entry("allocatable").or_insert_with(|| json!({}));
        for (name, amount) in capacity.as_object().into_iter().flatten() {
            if allocatable[name].is_null() {
                allocatable[name] = amount.clone();
            }
        }
    }
}

/// The parts of a rolling update that are left out.
fn rolling(strategy: &mut Map<String, Value>, parts: &[(&str, Value)]) {
    give(strategy, "type", json!("RollingUpdate"));
    if !is(strategy, "type", &["RollingUpdate"]) {
        return;
    }
    let update = strategy.entry("rollingUpdate").or_insert_with(|| json!({}));
    for (name, value) in parts {
        if update[*name].is_null() {
            update[*name] = value.clone();
        }
    }
}

fn deployment_strategy(strategy: &mut Map<String, Value>) {
    rolling(strategy, &[("maxUnavailable", json!("25%")), ("maxSurge", json!("25%"))]);
}

fn daemon_set_strategy(strategy: &mut Map<String, Value>) {
    rolling(strategy, &[("maxUnavailable", json!(1)), ("maxSurge", json!(0))]);
}

fn stateful_set_strategy(strategy: &mut Map<String, Value>) {
    rolling(strategy, &[("partition", json!(0))]);
}

fn network_policy(spec: &mut Map<String, Value>) {
    let leaves = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
    let types = if leaves { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    if spec.get("policyTypes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        spec.insert("policyTypes".to_owned(), types);
    }
}

fn subject(subject: &mut Map<String, Value>) {
    if is(subject, "kind", &["User", "Group"]) {
        give(subject, "apiGroup", json!("rbac.authorization.k8s.io"));
    }
}
