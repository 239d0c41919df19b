//! The plan of a node: what every handler wants, joined.

use std::net::IpAddr;

use subm_plan::NodePlan;
use subm_types::{CableId, Endpoint, Planned, Problem};

use crate::condition::conditions;
use crate::{Condition, HANDLERS, NodeView, Role, Situation};

/// A remote gateway that this node probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeTarget {
    /// Which tunnel.
    pub cable: CableId,
    /// The address behind the remote gateway that answers.
    pub destination: IpAddr,
    /// The address to send from: the network plug-in's, else the overlay's.
    pub source: Option<IpAddr>,
}

/// What a node shall be, and what is to be told about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePlan {
    /// The state of the kernel.
    pub node: NodePlan,
    /// What this node is.
    pub role: Role,
    /// The remote Endpoints that it follows, in the order of their clusters.
    pub remotes: Vec<Endpoint>,
    /// What it probes: nothing on the gateway, whose cables are probed by the gateway itself.
    pub targets: Vec<ProbeTarget>,
    /// What a person should know.
    pub conditions: Vec<Condition>,
}

/// Plans a node. Total: whatever is wrong with an input is a problem beside the plan for all others.
pub fn plan(view: &NodeView) -> Planned<RoutePlan> {
    let now = Situation::of(view);
    let mut problems: Vec<Problem> = view.unreadable.iter().chain(&now.remotes.problems).cloned().collect();
    let mut node = NodePlan::default();
    for handler in HANDLERS.iter().filter(|handler| (handler.applies)(view)) {
        if let Err(conflict) = node.merge((handler.plan)(&now)) {
            problems.push(Problem {
                reason: "ConflictingPlans",
                object: format!("handler {}", handler.name),
                field: String::new(),
                what: conflict.to_string(),
                remedy: "this is a defect of this program; please report it".to_owned(),
            });
        }
    }
    problems.sort();
    let value = RoutePlan {
        node,
        targets: targets(&now),
        conditions: conditions(&now),
        remotes: now.remotes.followed.values().cloned().collect(),
        role: now.role,
    };
    Planned { value, problems }
}

fn targets(now: &Situation<'_>) -> Vec<ProbeTarget> {
    if now.role == Role::Gateway {
        return Vec::new();
    }
    let carried = now.carried_families();
    let of_endpoint = |endpoint: &Endpoint| {
        let cable =
            |family| CableId { cluster: endpoint.cluster.clone(), family, path: endpoint.cable_name.clone() };
        let target = |(family, destination): (_, &IpAddr)| {
            let cni = now.cni.get(family).map(|cni| cni.address);
            let overlay = || now.overlay.as_ref().ok().map(|overlay| overlay.place.address(family));
            ProbeTarget { cable: cable(family), destination: *destination, source: cni.or_else(overlay) }
        };
        let reached = endpoint.health_check_ips.iter().filter(|(family, _)| carried.contains(family));
        reached.map(target).collect::<Vec<_>>()
    };
    now.remotes.followed.values().flat_map(of_endpoint).collect()
}
