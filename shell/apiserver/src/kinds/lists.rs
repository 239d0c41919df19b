//! How lists and maps of built-in kinds are merged and owned, by the definition that they are fields of.

use serde_json::{Value, json};

/// How the elements of a list are told apart when it is applied.
enum Kind {
    Atomic,
    Set,
    Map(&'static [&'static str]),
}

use Kind::{Atomic, Map, Set};

/// A field of a definition: its list type, and the key by which strategic merge patches merge it (empty: by value).
type Row = (&'static str, &'static str, Kind, Option<&'static str>);

const ROWS: &[Row] = &[
    ("meta.v1.ObjectMeta", "finalizers", Set, Some("")),
    ("meta.v1.ObjectMeta", "ownerReferences", Map(&["uid"]), Some("uid")),
    ("core.v1.NamespaceStatus", "conditions", Map(&["type"]), Some("type")),
    ("core.v1.NodeStatus", "conditions", Map(&["type"]), Some("type")),
    ("core.v1.NodeStatus", "addresses", Map(&["type"]), Some("type")),
    ("core.v1.NodeSpec", "podCIDRs", Set, Some("")),
    ("core.v1.ServiceSpec", "ports", Map(&["port", "protocol"]), Some("port")),
    ("core.v1.ServiceStatus", "conditions", Map(&["type"]), Some("type")),
    ("core.v1.ServiceAccount", "secrets", Map(&["name"]), Some("name")),
    ("core.v1.Container", "env", Map(&["name"]), Some("name")),
    ("core.v1.Container", "ports", Map(&["containerPort", "protocol"]), Some("containerPort")),
    ("core.v1.Container", "volumeDevices", Map(&["devicePath"]), Some("devicePath")),
    ("core.v1.Container", "volumeMounts", Map(&["mountPath"]), Some("mountPath")),
    ("core.v1.EphemeralContainer", "env", Map(&["name"]), Some("name")),
    ("core.v1.EphemeralContainer", "ports", Map(&["containerPort", "protocol"]), Some("containerPort")),
    ("core.v1.EphemeralContainer", "volumeDevices", Map(&["devicePath"]), Some("devicePath")),
    ("core.v1.EphemeralContainer", "volumeMounts", Map(&["mountPath"]), Some("mountPath")),
    ("core.v1.ResourceRequirements", "claims", Map(&["name"]), None),
    ("core.v1.PodSpec", "containers", Map(&["name"]), Some("name")),
    ("core.v1.PodSpec", "initContainers", Map(&["name"]), Some("name")),
    ("core.v1.PodSpec", "ephemeralContainers", Map(&["name"]), Some("name")),
    ("core.v1.PodSpec", "hostAliases", Map(&["ip"]), Some("ip")),
    ("core.v1.PodSpec", "imagePullSecrets", Map(&["name"]), Some("name")),
    ("core.v1.PodSpec", "resourceClaims", Map(&["name"]), Some("name")),
    ("core.v1.PodSpec", "schedulingGates", Map(&["name"]), Some("name")),
    (
        "core.v1.PodSpec",
        "topologySpreadConstraints",
        Map(&["topologyKey", "whenUnsatisfiable"]),
        Some("topologyKey"),
    ),
    ("core.v1.PodSpec", "volumes", Map(&["name"]), Some("name")),
    ("core.v1.PodStatus", "conditions", Map(&["type"]), Some("type")),
    ("core.v1.PodStatus", "podIPs", Map(&["ip"]), Some("ip")),
    ("core.v1.PodStatus", "hostIPs", Atomic, Some("ip")),
    ("apps.v1.DaemonSetStatus", "conditions", Map(&["type"]), Some("type")),
    ("apps.v1.DeploymentStatus", "conditions", Map(&["type"]), Some("type")),
    ("apps.v1.ReplicaSetStatus", "conditions", Map(&["type"]), Some("type")),
    ("discovery.v1.Endpoint", "addresses", Set, None),
    ("apiextensions.v1.CustomResourceDefinitionStatus", "conditions", Map(&["type"]), None),
];

/// Definitions whose objects are one value, and single fields that are.
const ATOMIC_MAPS: &[(&str, &str)] = &[
    ("meta.v1.LabelSelector", ""),
    ("meta.v1.OwnerReference", ""),
    ("core.v1.ObjectReference", ""),
    ("core.v1.LocalObjectReference", ""),
    ("core.v1.TypedLocalObjectReference", ""),
    ("core.v1.SecretReference", ""),
    ("core.v1.NodeSelector", ""),
    ("core.v1.NodeSelectorTerm", ""),
    ("core.v1.ObjectFieldSelector", ""),
    ("core.v1.ResourceFieldSelector", ""),
    ("core.v1.SecretKeySelector", ""),
    ("core.v1.ConfigMapKeySelector", ""),
    ("core.v1.PodSpec", "nodeSelector"),
    ("core.v1.ServiceSpec", "selector"),
];

/// Defaults of fields that tell elements of lists apart.
const KEY_DEFAULTS: &[(&str, &str, &str)] =
    &[("core.v1.ContainerPort", "protocol", "TCP"), ("core.v1.ServicePort", "protocol", "TCP")];

/// Adds to a definition's schema what is known of its lists and maps.
pub(super) fn annotate(definition: &str, schema: &mut Value) {
    let is = |suffix: &str| definition.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'));
    for (of, field, kind, key) in ROWS.iter().filter(|row| is(row.0)) {
        debug_assert!(schema["properties"].get(*field).is_some(), "{of}.{field} exists");
        let Some(property) = schema["properties"].get_mut(*field) else { continue };
        match kind {
            Atomic => property["x-kubernetes-list-type"] = json!("atomic"),
            Set => property["x-kubernetes-list-type"] = json!("set"),
            Map(keys) => {
                property["x-kubernetes-list-type"] = json!("map");
                property["x-kubernetes-list-map-keys"] = json!(keys);
            }
        }
        if let Some(key) = key {
            let strategy = if *field == "volumes" { "merge,retainKeys" } else { "merge" };
            property["x-kubernetes-patch-strategy"] = json!(strategy);
            if !key.is_empty() {
                property["x-kubernetes-patch-merge-key"] = json!(key);
            }
        }
    }
    for (_, field) in ATOMIC_MAPS.iter().filter(|row| is(row.0)) {
        let place = if field.is_empty() { Some(&mut *schema) } else { schema["properties"].get_mut(*field) };
        if let Some(place) = place {
            place["x-kubernetes-map-type"] = json!("atomic");
        }
    }
    for (_, field, default) in KEY_DEFAULTS.iter().filter(|row| is(row.0)) {
        schema["properties"][*field]["default"] = json!(default);
    }
}
