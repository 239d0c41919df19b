//! Which Endpoints are believed, and of each of them how much.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use subm_types::{ClusterId, ClusterUid, Endpoint, PerFamily, Problem};

use crate::View;
use crate::objection::{may_be_closed, objection, refuse};
use crate::taken::Taken;

/// What is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers {
    /// The active gateway of this cluster.
    pub local: Option<Endpoint>,
    /// The one Endpoint that is followed of each other cluster, in the order in which they came to their networks.
    pub followed: Vec<Endpoint>,
    /// Networks of other clusters, whether or not an Endpoint leads to them now.
    pub closed: BTreeSet<IpNet>,
    /// What was left out, and why.
    pub problems: Vec<Problem>,
}

/// Chooses one Endpoint of each cluster and leaves out those whose networks are somebody else's.
///
/// Of two clusters that claim the same addresses the one whose Endpoint is older keeps them.
pub fn accept(view: &View<'_>) -> Peers {
    let mut out = Peers::default();
    let mut by_cluster: BTreeMap<&ClusterId, Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in view.endpoints {
        by_cluster.entry(&endpoint.cluster).or_default().push(endpoint);
    }
    let mut chosen: Vec<&Endpoint> = Vec::new();
    for (cluster, endpoints) in by_cluster {
        let newest = of_one_cluster(cluster, endpoints, view, &mut out.problems);
        if cluster == view.cluster {
            out.local = newest.cloned();
        } else {
            chosen.extend(newest);
        }
    }
    chosen.sort_by_key(|endpoint| (endpoint.created, &endpoint.cluster));
    let mut taken = Taken::default();
    for endpoint in chosen {
        let claimed = claimed(endpoint, view, &mut out.problems);
        match objection(&claimed, view, &taken) {
            None => {
                taken.take(&claimed);
                out.followed.push(answering(claimed, &mut out.problems));
            }
            // That nothing is left of its networks was said.
            Some(_) if claimed.subnets.is_empty() && !endpoint.subnets.is_empty() => {}
            Some(problem) => out.problems.push(problem),
        }
    }
    out.closed = closed(view, &out.followed, &taken);
    out.problems.sort();
    out
}

/// The Endpoint that supersedes all others of its cluster. Those of a second cluster of the same id do not count.
fn of_one_cluster<'a>(
    cluster: &ClusterId,
    endpoints: Vec<&'a Endpoint>,
    view: &View<'_>,
    problems: &mut Vec<Problem>,
) -> Option<&'a Endpoint> {
    let own = cluster == view.cluster;
    let uid = rightful(cluster, &endpoints, view).cloned();
    let (rightful, others): (Vec<_>, Vec<_>) = endpoints
        .into_iter()
        .partition(|endpoint| uid.is_none() || endpoint.cluster_uid.is_none() || endpoint.cluster_uid == uid);
    problems.extend(others.iter().map(|endpoint| duplicate_cluster(endpoint, own)));
    rightful.into_iter().reduce(|best, other| if other.supersedes(best) { other } else { best })
}

/// The UID of the cluster that an id belongs to: ours, its Cluster object's, or else that of its oldest Endpoint.
fn rightful<'a>(cluster: &ClusterId, endpoints: &[&'a Endpoint], view: &View<'a>) -> Option<&'a ClusterUid> {
    let ours = view.uid.filter(|_| cluster == view.cluster);
    let claimed = || view.claims.get(cluster).and_then(|claim| claim.uid.as_ref());
    ours.or_else(claimed).or_else(|| {
        let marked = endpoints.iter().filter(|endpoint| endpoint.cluster_uid.is_some());
        let oldest = marked.min_by_key(|endpoint| (endpoint.created, &endpoint.cluster_uid));
        oldest.and_then(|endpoint| endpoint.cluster_uid.as_ref())
    })
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

/// The Endpoint with those of its networks that its Cluster has, where that is known. The others may be there in a
/// moment, and must not take along what worked.
fn claimed(endpoint: &Endpoint, view: &View<'_>, problems: &mut Vec<Problem>) -> Endpoint {
    let mut endpoint = endpoint.clone();
    let Some(claim) = view.claims.get(&endpoint.cluster) else { return endpoint };
    let (claimed, stray): (Vec<IpNet>, Vec<IpNet>) =
        endpoint.subnets.iter().copied().partition(|net| claim.networks.contains_net(&net.trunc()));
    endpoint.subnets = claimed;
    if let Some(stray) = stray.first() {
        let what =
            format!("{stray} is not among {}, the networks in Cluster {}", claim.networks, endpoint.cluster);
        let remedy = "restart that cluster's gateway, so that both objects say the same";
        problems.push(refuse(&endpoint, "UnclaimedCIDR", what, remedy));
    }
    endpoint
}

/// The Endpoint with those addresses for probes that are its own: nobody else is to be probed on its word.
fn answering(mut endpoint: Endpoint, problems: &mut Vec<Problem>) -> Endpoint {
    let nets = endpoint.subnet_set();
    let (own, foreign): (Vec<_>, Vec<_>) = endpoint
        .health_check_ips
        .iter()
        .map(|(_, address)| *address)
        .partition(|address| nets.contains(*address));
    endpoint.health_check_ips = PerFamily::of(own);
    problems.extend(foreign.iter().map(|address| Problem {
        reason: "ForeignHealthCheckIP",
        object: format!("Endpoint {}", endpoint.object),
        field: "spec.healthCheckIP".to_owned(),
        what: format!("{address} is not among its networks {nets}, so it is not probed"),
        remedy: "restart that cluster's gateway, which takes an address of its pods' networks".to_owned(),
    }));
    endpoint
}

/// Networks of other clusters by their own word, less what cannot be theirs.
///
/// INVARIANT: nothing of another cluster that is followed. A claim to a part of its networks would close that part.
fn closed(view: &View<'_>, followed: &[Endpoint], taken: &Taken) -> BTreeSet<IpNet> {
    let others = view.claims.iter().filter(|(cluster, _)| *cluster != view.cluster);
    let claims = others.flat_map(|(cluster, claim)| claim.networks.iter().map(move |net| (cluster, net)));
    let claims = claims.filter(|(_, net)| !taken.has(net));
    let claims = claims
        .filter(|(cluster, net)| taken.by_another_than(cluster, net).is_none() && may_be_closed(net, view));
    let reached = followed.iter().flat_map(|endpoint| endpoint.subnets.iter().map(IpNet::trunc));
    reached.chain(claims.map(|(_, net)| net)).collect()
}

#[cfg(test)]
#[path = "accept_tests.rs"]
mod tests;
