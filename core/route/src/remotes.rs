//! Which Endpoints are believed: what a peer publishes is input.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use subm_types::{CidrSet, ClusterId, Endpoint, Problem};

use crate::NodeView;

/// Networks that overlays and cables number themselves from; no cluster may claim them.
const RESERVED: [&str; 3] = ["240.0.0.0/7", "fd00:100:100::/96", "fd00:100:200::/96"];

/// The Endpoints that the plan rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remotes {
    /// The active gateway of this cluster.
    pub local: Option<Endpoint>,
    /// The one Endpoint that is followed of every other cluster.
    pub followed: BTreeMap<ClusterId, Endpoint>,
    /// Networks of remote clusters, whether or not an Endpoint leads to them now.
    pub closed: BTreeSet<IpNet>,
    /// What was left out, and why.
    pub problems: Vec<Problem>,
}

impl Remotes {
    /// Every network that is reached through a followed Endpoint.
    pub fn networks(&self) -> BTreeSet<IpNet> {
        self.followed.values().flat_map(|endpoint| endpoint.subnets.iter().map(IpNet::trunc)).collect()
    }

    /// Addresses of followed gateways that lie inside a remote network, with the Endpoint.
    pub fn gateways_inside(&self, networks: &CidrSet) -> Vec<(IpAddr, &Endpoint)> {
        let outside = |endpoint: &Endpoint| -> BTreeSet<IpAddr> {
            let addresses = endpoint.private_ips.iter().chain(endpoint.public_ips.iter());
            addresses.map(|(_, address)| *address).filter(|address| networks.contains(*address)).collect()
        };
        let pairs = |endpoint| outside(endpoint).into_iter().map(move |address| (address, endpoint));
        self.followed.values().flat_map(pairs).collect()
    }
}

/// Chooses one Endpoint of each cluster and leaves out those whose networks are somebody else's.
///
/// Of two clusters that claim the same addresses the one whose Endpoint is older keeps them.
pub fn accept(view: &NodeView) -> Remotes {
    let mut out = Remotes::default();
    let mut by_cluster: BTreeMap<&ClusterId, Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in &view.endpoints {
        by_cluster.entry(&endpoint.cluster).or_default().push(endpoint);
    }
    let mut chosen: Vec<&Endpoint> = Vec::new();
    for endpoints in by_cluster.into_values() {
        chosen.extend(of_one_cluster(endpoints, &mut out.problems));
    }
    chosen.sort_by_key(|endpoint| (endpoint.created, &endpoint.cluster));
    for endpoint in chosen {
        if endpoint.cluster == view.cluster {
            out.local = Some(endpoint.clone());
        } else if let Some(problem) = objection(endpoint, view, &out.followed) {
            out.problems.push(problem);
        } else {
            out.followed.insert(endpoint.cluster.clone(), endpoint.clone());
        }
    }
    out.closed = out.networks();
    out.closed.extend(claimed(view));
    out.problems.sort();
    out
}

/// Networks of other clusters by their own word, less what cannot be theirs.
fn claimed(view: &NodeView) -> impl Iterator<Item = IpNet> + '_ {
    let ours = view.local_cidrs();
    let reserved = reserved();
    let others = view.claims.iter().filter(|(cluster, _)| **cluster != view.cluster);
    others.flat_map(|(_, nets)| nets.iter()).filter(move |net| {
        let nodes = view.nodes.iter().flat_map(|node| node.internal_ips.iter());
        let of_nodes = nodes.into_iter().any(|(_, address)| net.contains(address));
        ours.overlap(net).is_none() && reserved.overlap(net).is_none() && !of_nodes
    })
}

fn reserved() -> CidrSet {
    RESERVED.iter().filter_map(|net| net.parse::<IpNet>().ok()).collect()
}

/// The Endpoint that supersedes all others of its cluster. Those of a second cluster of the same name do not count.
fn of_one_cluster<'a>(endpoints: Vec<&'a Endpoint>, problems: &mut Vec<Problem>) -> Option<&'a Endpoint> {
    let marked = endpoints.iter().filter(|endpoint| endpoint.cluster_uid.is_some());
    let first = marked
        .min_by_key(|endpoint| (endpoint.created, &endpoint.cluster_uid))
        .and_then(|endpoint| endpoint.cluster_uid.as_ref());
    let (ours, others): (Vec<_>, Vec<_>) = endpoints
        .into_iter()
        .partition(|endpoint| endpoint.cluster_uid.is_none() || endpoint.cluster_uid.as_ref() == first);
    problems.extend(others.iter().map(|endpoint| duplicate_cluster(endpoint)));
    newest(ours)
}

fn newest(endpoints: Vec<&Endpoint>) -> Option<&Endpoint> {
    endpoints.into_iter().reduce(|best, other| if other.supersedes(best) { other } else { best })
}

fn duplicate_cluster(endpoint: &Endpoint) -> Problem {
    let uid = endpoint.cluster_uid.as_ref().map(ToString::to_string).unwrap_or_default();
    Problem {
        reason: "DuplicateClusterID",
        object: format!("Endpoint {}", endpoint.object),
        field: "spec.cluster_id".to_owned(),
        what: format!(
            "another cluster, of UID {uid}, uses the id {} that is already taken",
            endpoint.cluster
        ),
        remedy: "let one of the two leave and join again under another cluster id".to_owned(),
    }
}

fn objection(
    endpoint: &Endpoint,
    view: &NodeView,
    followed: &BTreeMap<ClusterId, Endpoint>,
) -> Option<Problem> {
    let nets = endpoint.subnet_set();
    let refuse = |reason, what: String, remedy: &str| {
        Some(Problem {
            reason,
            object: format!("Endpoint {}", endpoint.object),
            field: "spec.subnets".to_owned(),
            what,
            remedy: remedy.to_owned(),
        })
    };
    if nets.is_empty() {
        let remedy = "join the cluster again with its cluster and service CIDRs";
        return refuse("NoSubnets", "it names no networks".to_owned(), remedy);
    }
    if let Some((reserved, theirs)) = reserved().overlap_with(&nets) {
        let what = format!("{theirs} overlaps {reserved}, which no cluster may claim");
        return refuse(
            "ReservedCIDR",
            what,
            "join the cluster again with its real cluster and service CIDRs",
        );
    }
    let remedy = "give one of the clusters other CIDRs, or join both with Globalnet";
    if let Some((theirs, ours)) = nets.overlap_with(&view.local_cidrs()) {
        return refuse("OverlappingCIDR", format!("{theirs} overlaps {ours} of this cluster"), remedy);
    }
    if let Some((node, address)) = view.nodes.iter().find_map(|node| {
        let inside = |(_, address): (_, &IpAddr)| nets.contains(*address).then_some(*address);
        node.internal_ips.iter().find_map(inside).map(|address| (&node.name, address))
    }) {
        let what =
            format!("its networks {nets} contain {address}, the address of this cluster's node {node}");
        return refuse("OverlappingCIDR", what, remedy);
    }
    let (other, theirs, taken) = followed.values().find_map(|other| {
        nets.overlap_with(&other.subnet_set()).map(|(theirs, taken)| (other, theirs, taken))
    })?;
    let what = format!("{theirs} overlaps {taken} of cluster {}", other.cluster);
    refuse("OverlappingCIDR", what, remedy)
}
