//! Why networks cannot be those of another cluster.

use ipnet::IpNet;
use subm_types::{CidrSet, Endpoint, Problem, tunnel_networks};

use crate::View;
use crate::taken::Taken;

const RENUMBER: &str = "give one of the clusters other CIDRs, or join both with Globalnet";
const JOIN_AGAIN: &str = "join that cluster again with its real cluster and service CIDRs";

/// What stands in the way of an Endpoint, if anything.
pub(crate) fn objection(endpoint: &Endpoint, view: &View<'_>, taken: &Taken) -> Option<Problem> {
    let nets = endpoint.subnet_set();
    if nets.is_empty() {
        return Some(refuse(endpoint, "NoSubnets", "it names no networks".to_owned(), JOIN_AGAIN));
    }
    if let Some((reserved, theirs)) = tunnel_networks().overlap_with(&nets) {
        let what = format!("{theirs} overlaps {reserved}, which tunnels use for themselves");
        return Some(refuse(endpoint, "ReservedCIDR", what, JOIN_AGAIN));
    }
    let what = ours(&nets, view).or_else(|| {
        let (theirs, (taken, other)) =
            nets.iter().find_map(|net| Some((net, taken.by_another_than(&endpoint.cluster, &net)?)))?;
        Some(format!("{theirs} overlaps {taken} of cluster {other}"))
    })?;
    Some(refuse(endpoint, "OverlappingCIDR", what, RENUMBER))
}

/// What of this cluster the networks would take.
fn ours(nets: &CidrSet, view: &View<'_>) -> Option<String> {
    if let Some((ours, theirs)) = view.networks.overlap_with(nets) {
        return Some(format!("{theirs} overlaps {ours} of this cluster"));
    }
    if let Some(host) = view.hosts.iter().find(|host| nets.contains(host.address)) {
        return Some(format!("its networks {nets} contain {}, the address of {}", host.address, host.name));
    }
    let (uplink, theirs) = view.uplinks.overlap_with(nets)?;
    Some(format!("{theirs} overlaps {uplink}, the network that this node is in"))
}

/// Tells whether a network can be closed for the sake of a cluster that claims it.
pub(crate) fn may_be_closed(net: &IpNet, view: &View<'_>) -> bool {
    let nets = CidrSet::from_iter([*net]);
    tunnel_networks().overlap(net).is_none() && ours(&nets, view).is_none()
}

pub(crate) fn refuse(endpoint: &Endpoint, reason: &'static str, what: String, remedy: &str) -> Problem {
    Problem {
        reason,
        object: format!("Endpoint {}", endpoint.object),
        field: "spec.subnets".to_owned(),
        what,
        remedy: remedy.to_owned(),
    }
}
