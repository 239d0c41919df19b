//! The objects that every hub has, as the Go implementation's broker has them.

use serde_json::{Value, json};
use subm_apiserver::{Objects, Refusal};

use crate::settings::{Secrets, Settings};

/// The administrator's ServiceAccount.
const ADMIN: &str = "submariner-k8s-broker-admin";
/// The role of members.
pub(crate) const MEMBER_ROLE: &str = "submariner-k8s-broker-cluster";
const MANAGER: &str = "submariner-broker";

const WRITE: &[&str] = &["create", "get", "list", "watch", "patch", "update", "delete"];
const READ: &[&str] = &["get", "list", "watch"];

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// What members share.
fn shared_rules() -> Vec<Value> {
    vec![
        rule("submariner.io", &["clusters", "endpoints"], WRITE),
        rule("submariner.io", &["brokers"], &["get", "list"]),
        rule("multicluster.x-k8s.io", &["serviceimports", "serviceimports/status"], WRITE),
        rule("discovery.k8s.io", &["endpointslices", "endpointslices/restricted"], WRITE),
        rule("coordination.k8s.io", &["leases"], WRITE),
    ]
}

fn role(settings: &Settings, name: &str, rules: &[Value]) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": settings.namespace},
        "rules": rules,
    })
}

fn objects(settings: &Settings) -> Vec<Value> {
    let namespace = &settings.namespace;
    let mut admin = shared_rules();
    admin.extend([
        rule("", &["serviceaccounts", "secrets", "configmaps"], WRITE),
        rule("rbac.authorization.k8s.io", &["rolebindings"], &["create", "get", "list", "delete"]),
    ]);
    let mut member = shared_rules();
    member.push(rule("", &["serviceaccounts"], &["get", "list"]));
    if settings.secrets == Secrets::Shared {
        member.push(rule("", &["secrets"], READ));
    }
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ADMIN, "namespace": namespace}}),
        role(settings, ADMIN, &admin),
        role(settings, MEMBER_ROLE, &member),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": ADMIN, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ADMIN},
            "subjects": [{"kind": "ServiceAccount", "name": ADMIN, "namespace": namespace}],
        }),
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": format!("{ADMIN}-token"),
                "namespace": namespace,
                "annotations": {
                    "kubernetes.io/service-account.name": ADMIN,
                    "kubernetes.io/created-by": "submariner broker",
                },
            },
            "type": "kubernetes.io/service-account-token",
        }),
    ]
}

/// Makes the objects what they should be; what others added to them stays.
pub(crate) fn complete(store: &Objects, settings: &Settings) -> Result<(), Refusal> {
    let store = store.clone().managed_by(MANAGER);
    for object in objects(settings) {
        store.apply(object)?;
    }
    Ok(())
}
