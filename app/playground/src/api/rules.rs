//! What each daemon may do at home: what its service account may in an installation, and no more.

use subm_apiserver::{Rule, Verb};

use super::OPERATOR_NAMESPACE;

const READ: [Verb; 3] = [Verb::Get, Verb::List, Verb::Watch];

/// The gateway: keeps Endpoints, Clusters and Gateways, elects its leader, labels its pod, tells events, and has a
/// key of its own for WireGuard cables. A rule with a name never admits creation.
pub(crate) fn gateway_rules(node: &str) -> Vec<Rule> {
    let key = format!("submariner-wireguard-{node}");
    vec![
        Rule::on("", &["secrets"]).verbs(&[Verb::Create]).within(OPERATOR_NAMESPACE),
        Rule::on("", &["secrets"]).verbs(&[Verb::Get, Verb::Delete]).within(OPERATOR_NAMESPACE).named(&key),
        Rule::on("", &["nodes", "pods", "services", "namespaces"]).verbs(&READ),
        Rule::on("", &["pods"]).verbs(&[Verb::Patch, Verb::Update]).within(OPERATOR_NAMESPACE),
        Rule::on("", &["events"]).verbs(&[Verb::Create, Verb::Patch]),
        Rule::on("coordination.k8s.io", &["leases"]).within(OPERATOR_NAMESPACE),
        Rule::on("submariner.io", &["clusters", "endpoints", "gateways"]).within(OPERATOR_NAMESPACE),
    ]
}

/// The route agent: reads Endpoints and nodes, keeps its RouteAgent, tells events.
pub(crate) fn route_agent_rules() -> Vec<Rule> {
    vec![
        Rule::on("", &["nodes", "pods", "services", "namespaces"]).verbs(&READ),
        Rule::on("", &["events"]).verbs(&[Verb::Create, Verb::Patch]),
        Rule::on("submariner.io", &["clusters", "endpoints", "gateways"])
            .verbs(&READ)
            .within(OPERATOR_NAMESPACE),
        Rule::on("submariner.io", &["routeagents"]).within(OPERATOR_NAMESPACE),
    ]
}
