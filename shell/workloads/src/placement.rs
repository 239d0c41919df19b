//! Which nodes take a Pod.

use serde_json::{Value, json};

use crate::object::{list, number, requires, text};

/// Why a node does not take a Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unfit {
    /// Node selector or affinity ask for another.
    Selector,
    /// It has a taint that the Pod does not tolerate.
    Taint,
    /// A port of the node is another Pod's.
    Port,
    /// It is not ready.
    NotReady,
}

/// Whether node selector and required affinity of a Pod's spec take a node.
pub(crate) fn selects_node(spec: &Value, node: &Value) -> bool {
    let labels = &node["metadata"]["labels"];
    let named = spec["nodeSelector"].as_object().into_iter().flatten();
    if !named.into_iter().all(|(name, value)| labels.get(name) == Some(value)) {
        return false;
    }
    let pointer = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    match spec.pointer(pointer) {
        None => true,
        Some(_) => list(spec, pointer).iter().any(|term| takes(term, node)),
    }
}

fn takes(term: &Value, node: &Value) -> bool {
    let labels = &node["metadata"]["labels"];
    let fields = json!({"metadata.name": text(node, "/metadata/name")});
    let (of_labels, of_fields) = (list(term, "/matchExpressions"), list(term, "/matchFields"));
    // COMPAT: a term without requirements takes no node.
    !(of_labels.is_empty() && of_fields.is_empty())
        && of_labels.iter().all(|requirement| requires(requirement, labels))
        && of_fields.iter().all(|requirement| requires(requirement, &fields))
}

/// Whether a Pod's spec tolerates all taints of a node that have one of these effects.
pub(crate) fn tolerates(spec: &Value, node: &Value, effects: &[&str]) -> bool {
    let cordoned = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"});
    let cordoned = (node["spec"]["unschedulable"] == true).then_some(&cordoned);
    let taints = list(node, "/spec/taints").iter().chain(cordoned);
    let mut counted = taints.filter(|taint| effects.contains(&text(taint, "/effect")));
    counted.all(|taint| list(spec, "/tolerations").iter().any(|toleration| covers(toleration, taint)))
}

fn covers(toleration: &Value, taint: &Value) -> bool {
    let (effect, name) = (text(toleration, "/effect"), text(toleration, "/key"));
    let same_effect = effect.is_empty() || taint["effect"] == effect;
    let exists = text(toleration, "/operator") == "Exists";
    let same_key = if name.is_empty() { exists } else { taint["key"] == name };
    same_effect && same_key && (exists || text(toleration, "/value") == text(taint, "/value"))
}

/// Whether two Pods' specs want one port of their node.
pub(crate) fn share_port(one: &Value, other: &Value) -> bool {
    let ports = host_ports(other);
    host_ports(one).iter().any(|port| ports.contains(port))
}

fn host_ports(spec: &Value) -> Vec<(i64, &str)> {
    let ports = list(spec, "/containers").iter().flat_map(|container| list(container, "/ports"));
    let taken = ports.filter(|port| number(port, "/hostPort") > 0);
    taken
        .map(|port| match text(port, "/protocol") {
            "" => (number(port, "/hostPort"), "TCP"),
            protocol => (number(port, "/hostPort"), protocol),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(spec: &Value) -> Value {
        json!({"metadata": {"name": "n", "labels": {"disk": "fast", "size": "4"}}, "spec": spec})
    }

    #[test]
    fn selectors_and_affinity_choose_nodes() {
        let affinity = |terms: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
        for (spec, wanted) in [
            (json!({}), true),
            (json!({"nodeSelector": {"disk": "fast"}}), true),
            (json!({"nodeSelector": {"disk": "slow"}}), false),
            (
                affinity(
                    json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]),
                ),
                true,
            ),
            (
                affinity(
                    json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["m"]}]}]),
                ),
                false,
            ),
            (
                affinity(json!([{"matchExpressions": [{"key": "size", "operator": "Gt", "values": ["2"]}]}])),
                true,
            ),
            (affinity(json!([{}])), false),
        ] {
            assert_eq!(selects_node(&spec, &node(&json!({}))), wanted, "{spec}");
        }
    }

    #[test]
    fn taints_need_tolerations_of_their_effect() {
        let tainted = node(&json!({"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}));
        for (tolerations, wanted) in [
            (json!([]), false),
            (json!([{"operator": "Exists"}]), true),
            (json!([{"key": "a", "operator": "Exists"}]), true),
            (json!([{"key": "a", "value": "b", "effect": "NoSchedule"}]), true),
            (json!([{"key": "a", "value": "c"}]), false),
            (json!([{"key": "a", "operator": "Exists", "effect": "NoExecute"}]), false),
        ] {
            let spec = json!({"tolerations": tolerations});
            assert_eq!(tolerates(&spec, &tainted, &["NoSchedule", "NoExecute"]), wanted, "{spec}");
            assert!(tolerates(&spec, &tainted, &["NoExecute"]));
        }
        assert!(!tolerates(&json!({}), &node(&json!({"unschedulable": true})), &["NoSchedule"]));
    }
}
