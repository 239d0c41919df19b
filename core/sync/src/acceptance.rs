//! Which other clusters, and which Endpoint of each, may be taken over.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use subm_api::{Claims, Cluster, Endpoint, names};
use subm_types::{CidrSet, Problem};

use crate::object::{Synced, is_kept, name_of, origin, problem, uid_of};
use crate::sides::Sides;

/// An Endpoint that is right by itself.
pub(crate) struct Candidate<'a> {
    pub(crate) object: &'a Endpoint,
    pub(crate) endpoint: subm_types::Endpoint,
}

impl Candidate<'_> {
    /// Tells whether this one is followed rather than the other.
    pub(crate) fn outranks(&self, other: &Self) -> bool {
        self.endpoint.supersedes(&other.endpoint)
            || (!other.endpoint.supersedes(&self.endpoint) && name_of(self.object) > name_of(other.object))
    }
}

/// Checks an Endpoint of the hub by itself: form, origin, the cluster's own networks, ours.
pub(crate) fn check(
    sides: &Sides<'_>,
    claims: Option<&Claims>,
    protected: &CidrSet,
    object: &Endpoint,
) -> Result<subm_types::Endpoint, Vec<Problem>> {
    let cluster = origin(object).unwrap_or_default();
    if object.spec.cluster_id != cluster {
        let what = format!("{:?} is not {cluster:?}, which the label says", object.spec.cluster_id);
        return Err(one(problem(
            "ForeignClusterID",
            object,
            "spec.cluster_id",
            what,
            "delete that object on the hub",
        )));
    }
    if let Some(have) =
        sides.home_endpoints.get(name_of(object)).filter(|have| origin(**have) != Some(cluster))
    {
        return Err(one(taken(object, *have)));
    }
    if !names::is_endpoint_object_name(cluster, name_of(object)) {
        return Err(one(unexpected_name(object, cluster)));
    }
    let endpoint = subm_types::Endpoint::try_from(object)?;
    let Some(claims) = claims else {
        let what =
            format!("the Cluster {cluster} that its networks belong to is missing or wrong on the hub");
        let remedy =
            "check that cluster's gateway; this Endpoint is taken over as soon as its Cluster is there";
        return Err(one(problem("WaitingForCluster", object, "spec.subnets", what, remedy)));
    };
    if let (Some(said), Some(known)) = (uid_of(object), &claims.uid)
        && said != *known
    {
        let what =
            format!("{said} is not {known}, the UID of the Cluster {cluster}: two clusters use one id");
        let field = format!("metadata.annotations[{}]", subm_api::keys::CLUSTER_UID);
        let remedy = "join one of the two with another id";
        return Err(one(problem("DuplicateClusterID", object, &field, what, remedy)));
    }
    networks(object, &endpoint, claims, protected)?;
    Ok(endpoint)
}

fn networks(
    object: &Endpoint,
    endpoint: &subm_types::Endpoint,
    claims: &Claims,
    protected: &CidrSet,
) -> Result<(), Vec<Problem>> {
    let claimed = claims.all();
    let mut problems = Vec::new();
    for (index, net) in endpoint.subnets.iter().enumerate() {
        let field = format!("spec.subnets[{index}]");
        if !claimed.contains_net(net) {
            let what = format!("{net} is outside of the networks of Cluster {}: {claimed}", claims.cluster);
            let remedy = "correct the networks that this cluster was joined with";
            problems.push(problem("SubnetOutsideCluster", object, &field, what, remedy));
        } else if let Some(ours) = protected.overlap(net) {
            let what = format!("{net} overlaps {ours} of this cluster");
            problems.push(problem("OverlappingCIDR", object, &field, what, OVERLAP_REMEDY));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

const OVERLAP_REMEDY: &str = "change the networks of one of the two clusters, or use Globalnet in both";

fn one(problem: Problem) -> Vec<Problem> {
    vec![problem]
}

/// The problem of an object whose name is not that of its cluster's, but may be another's.
pub(crate) fn unexpected_name<K: Synced>(object: &K, cluster: &str) -> Problem {
    let what = format!("the {} of {cluster:?} has another name", K::KIND);
    problem("UnexpectedName", object, "metadata.name", what, "delete that object on the hub")
}

/// The problem of an object on the hub that would replace one at home that is no copy of it.
pub(crate) fn taken<K: Synced>(object: &K, have: &K) -> Problem {
    let owner = origin(have).unwrap_or("this cluster");
    let what = format!("an object of this name at home belongs to {owner}");
    problem("NameTaken", object, "metadata.name", what, "delete that object on the hub")
}

/// A cluster that may be taken over if its networks are nobody else's.
pub(crate) struct Applicant<'a> {
    /// Its Cluster on the hub; none while the copy at home stands for one that the hub lost.
    pub(crate) cluster: Option<&'a Cluster>,
    /// The Endpoint to follow.
    pub(crate) endpoint: Option<Candidate<'a>>,
    /// Every network that it says is its own, and every one that is reached through its Endpoint.
    pub(crate) nets: CidrSet,
    /// When it joined, in seconds since the Unix epoch: a takeover does not change its turn.
    pub(crate) joined: i64,
}

impl Applicant<'_> {
    /// The problem of overlapping another cluster.
    fn overlap(&self, net: IpNet, have: IpNet, other: &str) -> Option<Problem> {
        let what = format!("{net} overlaps {have} of cluster {other}");
        let of_cluster = self.cluster.map(|cluster| overlapping(cluster, net, what.clone()));
        let of_endpoint = || {
            let object = self.endpoint.as_ref()?.object;
            Some(problem("OverlappingCIDR", object, "spec.subnets", what, OVERLAP_REMEDY))
        };
        of_cluster.or_else(of_endpoint)
    }
}

/// The problem of a Cluster with a network that is somebody else's.
pub(crate) fn overlapping(cluster: &Cluster, net: IpNet, what: String) -> Problem {
    let spec = &cluster.spec;
    let lists = [
        ("spec.global_cidr", &spec.global_cidr),
        ("spec.service_cidr", &spec.service_cidr),
        ("spec.cluster_cidr", &spec.cluster_cidr),
    ];
    let set =
        |list: &[String]| -> CidrSet { list.iter().filter_map(|text| text.parse::<IpNet>().ok()).collect() };
    let field =
        lists.iter().find(|(_, list)| set(list).overlap(&net).is_some()).map_or("spec", |(field, _)| field);
    problem("OverlappingCIDR", cluster, field, what, OVERLAP_REMEDY)
}

/// What each other cluster has at home now, so that nobody else takes it.
#[derive(Default)]
pub(crate) struct Reservations<'a> {
    by_cluster: BTreeMap<&'a str, CidrSet>,
}

impl<'a> Reservations<'a> {
    /// Takes in the networks of a copy at home that stands.
    pub(crate) fn add(&mut self, cluster: &'a str, nets: &CidrSet) {
        let all = self.by_cluster.entry(cluster).or_default();
        *all = all.union(nets);
    }

    fn covers(&self, cluster: &str, nets: &CidrSet) -> bool {
        self.by_cluster.get(cluster).is_some_and(|have| nets.iter().all(|net| have.contains_net(&net)))
    }

    /// The first overlap with a cluster that is not passed over.
    fn conflict(
        &self,
        cluster: &str,
        nets: &CidrSet,
        passed_over: &BTreeSet<&str>,
    ) -> Option<(&'a str, IpNet, IpNet)> {
        let mut others =
            self.by_cluster.iter().filter(|(other, _)| **other != cluster && !passed_over.contains(*other));
        others.find_map(|(other, have)| have.overlap_with(nets).map(|(have, net)| (*other, have, net)))
    }
}

/// The outcome of [`accept`]: the clusters that are taken over, and what kept the others out.
pub(crate) type Accepted<'a> = (BTreeMap<&'a str, Applicant<'a>>, Vec<Problem>);

type Queue<'a> = Vec<(&'a str, Applicant<'a>)>;

/// Accepts the clusters whose networks do not overlap another's.
///
/// What is at home already stays; then one that has an Endpoint goes before one that has none; then the one that has
/// been on the hub for longer; then the name decides. A cluster that moves to other networks frees its earlier ones
/// for the rest.
pub(crate) fn accept<'a>(
    applicants: BTreeMap<&'a str, Applicant<'a>>,
    mut reserved: Reservations<'a>,
) -> Accepted<'a> {
    let turn = |(cluster, applicant): &(&'a str, Applicant<'_>)| {
        (applicant.endpoint.is_none(), applicant.joined, *cluster)
    };
    let mut queue: Queue<'a> = applicants.into_iter().collect();
    queue.sort_by_key(turn);
    let (waiting, mut newcomers): (Queue<'_>, Queue<'_>) =
        queue.into_iter().partition(|(cluster, applicant)| reserved.covers(cluster, &applicant.nets));
    let mut accepted = BTreeMap::new();
    // Copies that overlap each other from earlier on must not lock each other out: the oldest of them goes first.
    let mut passed_over: BTreeSet<&str> = waiting.iter().map(|(cluster, _)| *cluster).collect();
    let mut refused = Vec::new();
    for (cluster, applicant) in waiting {
        if reserved.conflict(cluster, &applicant.nets, &passed_over).is_some() {
            refused.push((cluster, applicant));
        } else {
            passed_over.remove(cluster);
            reserved.by_cluster.insert(cluster, applicant.nets.clone());
            accepted.insert(cluster, applicant);
        }
    }
    refused.append(&mut newcomers);
    let refused = settle(refused, &mut reserved, &mut accepted);
    let problems = refused.iter().filter_map(|(cluster, applicant)| {
        let (other, have, net) = reserved.conflict(cluster, &applicant.nets, &BTreeSet::new())?;
        applicant.overlap(net, have, other)
    });
    let problems = problems.collect();
    (accepted, problems)
}

/// Accepts newcomers until none fits any more, because each one that moves away makes room.
fn settle<'a>(
    mut waiting: Queue<'a>,
    reserved: &mut Reservations<'a>,
    accepted: &mut BTreeMap<&'a str, Applicant<'a>>,
) -> Queue<'a> {
    loop {
        let before = waiting.len();
        let mut refused = Vec::new();
        for (cluster, applicant) in waiting {
            if reserved.conflict(cluster, &applicant.nets, &BTreeSet::new()).is_some() {
                refused.push((cluster, applicant));
            } else {
                reserved.by_cluster.insert(cluster, applicant.nets.clone());
                accepted.insert(cluster, applicant);
            }
        }
        if refused.len() == before {
            return refused;
        }
        waiting = refused;
    }
}

/// Tells whether a copy whose original is not on the hub stands in for it.
pub(crate) fn stands_in(copy: &Endpoint, lost: bool) -> bool {
    lost || is_kept(copy)
}
