//! What the server adds to a new Pod: its account with a token, how it bears failing nodes, and its priority.

use serde_json::{Value, json};

use super::{Place, Store, Writer};
use crate::access::Admission;
use crate::kinds::KindId;
use crate::refusal::Refusal;
use crate::services::spec_of;

/// Where containers find the token of their account.
const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// COMPAT: an hour, and a little for clocks that differ.
const TOKEN_SECONDS: u32 = 3607;
/// So long a Pod stays on a node that is not ready.
const BEARS_SECONDS: u32 = 300;

impl Store {
    /// Completes a new Pod beyond its defaults.
    pub(super) fn admit_pod(&self, place: &Place, pod: &mut Value, writer: &Writer) -> Result<(), Refusal> {
        let spec = spec_of(pod);
        rank(spec).map_err(|why| Refusal::Forbidden(place.subject(), why))?;
        bear(spec);
        let name =
            ["serviceAccountName", "serviceAccount"].into_iter().find_map(|field| spec[field].as_str());
        let name = name.filter(|name| !name.is_empty()).unwrap_or("default").to_owned();
        let accounts = KindId::named("serviceaccounts");
        let account = accounts.and_then(|kind| self.get(kind, &place.namespace, &name));
        spec["serviceAccountName"] = json!(name);
        spec["serviceAccount"] = json!(name);
        let Some(account) = account.map(|account| account.value()) else {
            if matches!(writer.admission, Admission::Reviewed(_)) {
                let namespace = &place.namespace;
                let why = format!(
                    "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
                );
                return Err(Refusal::Forbidden(place.subject(), why));
            }
            return Ok(());
        };
        if spec["imagePullSecrets"].is_null() && !account["imagePullSecrets"].is_null() {
            spec["imagePullSecrets"] = account["imagePullSecrets"].clone();
        }
        let wanted = [&spec["automountServiceAccountToken"], &account["automountServiceAccountToken"]];
        if wanted.into_iter().find_map(Value::as_bool).unwrap_or(true) {
            mount_token(spec, &format!("kube-api-access-{}", self.suffix("volume")));
        }
        Ok(())
    }
}

/// COMPAT: of classes of priority there are those of the system only.
fn rank(spec: &mut Value) -> Result<(), String> {
    let priority = match spec["priorityClassName"].as_str().unwrap_or_default() {
        "" => 0,
        "system-cluster-critical" => 2_000_000_000,
        "system-node-critical" => 2_000_001_000,
        other => return Err(format!("no PriorityClass with name {other} was found")),
    };
    spec["priority"] = json!(priority);
    if spec["preemptionPolicy"].is_null() {
        spec["preemptionPolicy"] = json!("PreemptLowerPriority");
    }
    Ok(())
}

fn bear(spec: &mut Value) {
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let bears = |toleration: &Value| {
            let of_key = toleration["key"] == key || toleration["key"].as_str().is_none_or(str::is_empty);
            let effect = toleration["effect"].as_str().unwrap_or_default();
            of_key && ["", "NoExecute"].contains(&effect)
        };
        if spec["tolerations"].as_array().is_some_and(|all| all.iter().any(bears)) {
            continue;
        }
        let toleration = json!({"key": key, "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": BEARS_SECONDS});
        push(spec, "tolerations", toleration);
    }
}

fn push(object: &mut Value, list: &str, item: Value) {
    if !object[list].is_array() {
        object[list] = json!([]);
    }
    if let Some(items) = object[list].as_array_mut() {
        items.push(item);
    }
}

fn mount_token(spec: &mut Value, volume: &str) {
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for container in containers.filter(|container| container.is_object()) {
            let own = container["volumeMounts"].as_array().into_iter().flatten();
            if own.into_iter().any(|mount| mount["mountPath"] == MOUNT) {
                continue;
            }
            push(container, "volumeMounts", json!({"name": volume, "readOnly": true, "mountPath": MOUNT}));
            mounted = true;
        }
    }
    if !mounted {
        return;
    }
    let namespace =
        json!({"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}});
    let sources = json!([
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]);
    push(spec, "volumes", json!({"name": volume, "projected": {"sources": sources, "defaultMode": 0o644}}));
}
