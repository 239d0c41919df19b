//! Submariner's Pods as objects of a cluster: accounts with what they may do, Secrets, `DaemonSets`.

use serde_json::{Value, json};

use super::{Kind, environment};
use crate::api::{Apis, OPERATOR_NAMESPACE};
use crate::settings::Settings;
use crate::topology::Cluster;

/// The image of the program with the daemons.
pub(crate) const IMAGE: &str = "submariner";

/// Puts everything that makes the daemons run into a cluster's API.
pub(super) fn install(settings: &Settings, cluster: &Cluster, apis: &Apis) -> anyhow::Result<()> {
    let objects = apis.of(&cluster.name)?.objects();
    for secret in environment::secrets(cluster, apis)? {
        objects.create(secret)?;
    }
    for kind in [Kind::Gateway, Kind::RouteAgent] {
        for object in access(kind, cluster) {
            objects.create(object)?;
        }
        objects.create(daemon_set(kind, &environment::of(kind, settings, cluster, apis)?))?;
    }
    Ok(())
}

fn metadata(name: &str) -> Value {
    json!({"namespace": OPERATOR_NAMESPACE, "name": name})
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

const READ: [&str; 3] = ["get", "list", "watch"];
const ALL: [&str; 1] = ["*"];

/// What each daemon may do at home: what its service account may in an installation, and no more.
fn access(kind: Kind, cluster: &Cluster) -> Vec<Value> {
    let name = kind.resource();
    let everywhere = vec![
        rule("", &["nodes", "pods", "services", "namespaces"], &READ),
        rule("", &["events"], &["create", "patch"]),
    ];
    let within = match kind {
        Kind::Gateway => gateway(cluster),
        Kind::RouteAgent => vec![
            rule("submariner.io", &["clusters", "endpoints", "gateways"], &READ),
            rule("submariner.io", &["routeagents"], &ALL),
        ],
    };
    let subjects = json!([{"kind": "ServiceAccount", "namespace": OPERATOR_NAMESPACE, "name": name}]);
    let bound = |role: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name});
    let rbac = |kind: &str, metadata: Value| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata});
    let mut objects = vec![json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(name)})];
    for (kind, metadata, rules) in
        [("ClusterRole", json!({"name": name}), everywhere), ("Role", metadata(name), within)]
    {
        let mut role = rbac(kind, metadata.clone());
        role["rules"] = Value::Array(rules);
        let mut binding = rbac(&format!("{kind}Binding"), metadata);
        binding["roleRef"] = bound(kind);
        binding["subjects"] = subjects.clone();
        objects.extend([role, binding]);
    }
    objects
}

/// The gateway keeps Endpoints, Clusters and Gateways, elects its leader, labels its pod, and has a key of its own for
/// WireGuard cables on each node.
fn gateway(cluster: &Cluster) -> Vec<Value> {
    let gateways = cluster.nodes.iter().filter(|node| node.gateway);
    let keys: Vec<String> = gateways.map(|node| format!("submariner-wireguard-{}", node.name)).collect();
    let mut own = rule("", &["secrets"], &["get", "delete"]);
    own["resourceNames"] = json!(keys);
    vec![
        // A rule with names never admits creation.
        rule("", &["secrets"], &["create"]),
        own,
        rule("", &["pods"], &["patch", "update"]),
        rule("coordination.k8s.io", &["leases"], &ALL),
        rule("submariner.io", &["clusters", "endpoints", "gateways"], &ALL),
    ]
}

fn daemon_set(kind: Kind, environment: &[Value]) -> Value {
    let name = kind.resource();
    let labels = json!({"app": name});
    let mut spec = json!({
        "serviceAccountName": name,
        "hostNetwork": true,
        "terminationGracePeriodSeconds": 5,
        "tolerations": [{"operator": "Exists"}],
        "containers": [{
            "name": name,
            "image": IMAGE,
            "args": [kind.name()],
            "env": environment,
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
            },
            "readinessProbe": {
                "httpGet": {"host": "127.0.0.1", "port": kind.admin_port(), "path": "/readyz"},
                "periodSeconds": 1,
            },
            "volumeMounts": [{"name": "account", "mountPath": ACCOUNT, "readOnly": true}],
        }],
        "volumes": [account()],
    });
    if kind == Kind::Gateway {
        spec["nodeSelector"] = json!({"submariner.io/gateway": "true"});
        let secrets =
            environment::SECRETS.map(|name| (name, format!("{}/{name}", environment::SECRETS_FOLDER)));
        for (name, place) in secrets {
            push(
                &mut spec["volumes"],
                json!({"name": name, "secret": {"secretName": name, "defaultMode": 0o600}}),
            );
            let mount = json!({"name": name, "mountPath": place, "readOnly": true});
            push(&mut spec["containers"][0]["volumeMounts"], mount);
        }
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"namespace": OPERATOR_NAMESPACE, "name": name, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    })
}

fn push(list: &mut Value, item: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

/// Where clients look for the account of their Pod.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What admission adds to Pods in Kubernetes: a token, whom to trust, and the namespace.
fn account() -> Value {
    json!({"name": "account", "projected": {"sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}})
}
