//! Which Endpoints are believed: what another cluster publishes is input.

use std::collections::BTreeMap;

use ipnet::IpNet;
use subm_types::{CidrSet, ClusterId, ClusterUid, Endpoint, Problem};

use crate::GatewayView;

/// Addresses inside VXLAN cables and overlays, which no cluster may claim.
const TUNNEL_NETWORKS: [&str; 3] = ["240.0.0.0/7", "fd00:100:100::/96", "fd00:100:200::/96"];

/// The Endpoints that cables are planned to, and what was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The followed Endpoint of each remote cluster, in the order in which they came to their networks.
    pub followed: Vec<Endpoint>,
    /// What was left out, and why.
    pub problems: Vec<Problem>,
}

/// Chooses one Endpoint of each remote cluster and leaves out those whose networks are somebody else's.
///
/// Of two clusters that claim the same addresses the one whose Endpoint is older keeps them.
pub fn accept(view: &GatewayView) -> Accepted {
    let mut out = Accepted::default();
    let mut by_cluster: BTreeMap<&ClusterId, Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in &view.endpoints {
        by_cluster.entry(&endpoint.cluster).or_default().push(endpoint);
    }
    let mut chosen: Vec<&Endpoint> = Vec::new();
    for (cluster, endpoints) in by_cluster {
        let own = *cluster == view.local.cluster;
        let uid = if own { view.local.uid.as_ref() } else { rightful(cluster, &endpoints, view) };
        let (rightful, others): (Vec<_>, Vec<_>) = endpoints.into_iter().partition(|endpoint| {
            uid.is_none() || endpoint.cluster_uid.is_none() || endpoint.cluster_uid.as_ref() == uid
        });
        out.problems.extend(others.iter().map(|endpoint| duplicate_cluster(endpoint, own)));
        if !own {
            chosen.extend(newest(rightful));
        }
    }
    chosen.sort_by_key(|endpoint| (endpoint.created, &endpoint.cluster));
    for endpoint in chosen {
        match objection(endpoint, view, &out.followed) {
            Some(problem) => out.problems.push(problem),
            None => out.followed.push(endpoint.clone()),
        }
    }
    out.problems.sort();
    out
}

/// The UID of the cluster that an id belongs to: its Cluster object's, else that of its oldest Endpoint.
fn rightful<'a>(
    cluster: &ClusterId,
    endpoints: &[&'a Endpoint],
    view: &'a GatewayView,
) -> Option<&'a ClusterUid> {
    let claimed = view.claims.get(cluster).and_then(|claim| claim.uid.as_ref());
    claimed.or_else(|| {
        let marked = endpoints.iter().filter(|endpoint| endpoint.cluster_uid.is_some());
        marked
            .min_by_key(|endpoint| (endpoint.created, &endpoint.cluster_uid))
            .and_then(|endpoint| endpoint.cluster_uid.as_ref())
    })
}

fn newest(endpoints: Vec<&Endpoint>) -> Option<&Endpoint> {
    endpoints.into_iter().reduce(|best, other| if other.supersedes(best) { other } else { best })
}

fn duplicate_cluster(endpoint: &Endpoint, own: bool) -> Problem {
    let uid = endpoint.cluster_uid.as_ref().map(ToString::to_string).unwrap_or_default();
    let whose = if own { "this cluster's" } else { "already taken" };
    Problem {
        reason: "DuplicateClusterID",
        object: format!("Endpoint {}", endpoint.object),
        field: "spec.cluster_id".to_owned(),
        what: format!("another cluster, of UID {uid}, uses the id {}, which is {whose}", endpoint.cluster),
        remedy: "let one of the two leave and join again under another cluster id".to_owned(),
    }
}

/// Why an Endpoint is not followed, if so.
fn objection(endpoint: &Endpoint, view: &GatewayView, followed: &[Endpoint]) -> Option<Problem> {
    if endpoint.backend != view.local.driver {
        return Some(other_driver(endpoint, view));
    }
    subnets_objection(endpoint, view, followed).or_else(|| address_objection(endpoint, view))
}

fn other_driver(endpoint: &Endpoint, view: &GatewayView) -> Problem {
    Problem {
        reason: "OtherCableDriver",
        object: format!("Endpoint {}", endpoint.object),
        field: "spec.backend".to_owned(),
        what: format!(
            "cluster {} uses the cable driver {:?}, this cluster {:?}",
            endpoint.cluster,
            endpoint.backend.as_str(),
            view.local.driver.as_str()
        ),
        remedy: "join both clusters with the same cable driver".to_owned(),
    }
}

fn subnets_objection(endpoint: &Endpoint, view: &GatewayView, followed: &[Endpoint]) -> Option<Problem> {
    let nets = endpoint.subnet_set();
    let refuse = |reason, what: String, remedy: &str| Problem {
        reason,
        object: format!("Endpoint {}", endpoint.object),
        field: "spec.subnets".to_owned(),
        what,
        remedy: remedy.to_owned(),
    };
    if nets.is_empty() {
        let remedy = "join that cluster again with its cluster and service CIDRs";
        return Some(refuse("NoSubnets", "it names no networks".to_owned(), remedy));
    }
    let tunnels: CidrSet = TUNNEL_NETWORKS.iter().filter_map(|net| net.parse::<IpNet>().ok()).collect();
    if let Some((theirs, reserved)) = nets.overlap_with(&tunnels) {
        let what = format!("{theirs} overlaps {reserved}, which tunnels use for themselves");
        return Some(refuse("ReservedCIDR", what, "join that cluster again with its real CIDRs"));
    }
    let remedy = "give one of the clusters other CIDRs, or join both with Globalnet";
    if let Some((ours, theirs)) = view.local.networks.overlap_with(&nets) {
        return Some(refuse("OverlappingCIDR", format!("{theirs} overlaps {ours} of this cluster"), remedy));
    }
    let taken = followed.iter().find_map(|other| {
        other.subnet_set().overlap_with(&nets).map(|(taken, theirs)| (&other.cluster, taken, theirs))
    });
    if let Some((other, taken, theirs)) = taken {
        return Some(refuse(
            "OverlappingCIDR",
            format!("{theirs} overlaps {taken} of cluster {other}"),
            remedy,
        ));
    }
    let claim = view.claims.get(&endpoint.cluster)?;
    let stray = nets.iter().find(|net| !claim.networks.contains_net(net))?;
    let what =
        format!("{stray} is not among {}, the networks in Cluster {}", claim.networks, endpoint.cluster);
    Some(refuse("UnclaimedCIDR", what, "restart that cluster's gateway, so that both objects say the same"))
}

fn address_objection(endpoint: &Endpoint, view: &GatewayView) -> Option<Problem> {
    let (_, ours) = view.local.private_ips.iter().find(|(family, address)| {
        endpoint.private_ips.get(*family) == Some(address)
            && endpoint.reachable_ip(*family) == Some(**address)
    })?;
    Some(Problem {
        reason: "AddressConflict",
        object: format!("Endpoint {}", endpoint.object),
        field: "spec.private_ip".to_owned(),
        what: format!("{ours} is the address of this gateway itself"),
        remedy: "give the gateway nodes different addresses, or set natEnabled where NAT stands between"
            .to_owned(),
    })
}
