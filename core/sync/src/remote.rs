//! Copies at home of what other clusters published.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use subm_api::{Claims, Cluster, ClusterSpec, Endpoint, EndpointSpec, keys, names};
use subm_types::{CidrSet, ClusterId, Problem};

use crate::acceptance::{
    Applicant, Candidate, Reservations, accept, check, overlapping, stands_in, taken, unexpected_name,
};
use crate::change::Change;
use crate::object::{Synced, copy_of, delete, is_kept, name_of, origin, problem, uid_of, write};
use crate::own::Copies;
use crate::sides::{Named, Sides, epoch_of};
use crate::trust::{HubTrust, counter};
use crate::view::Publication;

/// What happens to the copies.
#[derive(Default)]
pub(crate) struct RemotePlan {
    pub(crate) marks: Vec<Change>,
    pub(crate) writes: Vec<Change>,
    pub(crate) deletes: Vec<Change>,
    pub(crate) copies: Copies,
    pub(crate) problems: Vec<Problem>,
}

/// Another cluster on both sides.
#[derive(Default)]
struct Member<'a> {
    hub_cluster: Option<&'a Cluster>,
    hub_endpoints: Vec<&'a Endpoint>,
    home_clusters: Vec<&'a Cluster>,
    home_endpoints: Vec<&'a Endpoint>,
    claims: Option<Claims>,
}

type Members<'a> = BTreeMap<&'a str, Member<'a>>;

pub(crate) fn plan(sides: &Sides<'_>, trust: HubTrust) -> RemotePlan {
    let mut out = RemotePlan::default();
    let mut members = members(sides, &mut out.problems);
    let protected = protected(sides);
    if trust == HubTrust::Partial || protected.is_empty() {
        keep_all(&members, &mut out);
        let told = protected.is_empty() && trust != HubTrust::Partial && has_spoken(sides);
        out.problems.extend(told.then(|| own_networks_unknown(sides)));
        return out;
    }
    let lost = trust == HubTrust::Lost;
    let mut applicants = BTreeMap::new();
    let mut reserved = Reservations::default();
    for (id, member) in &mut members {
        member.claims = claims(sides, member, &protected, &mut out.problems);
        reserve(&mut reserved, trust, id, member);
        if let Some(applicant) = applicant(sides, member, &protected, lost, &mut out.problems) {
            applicants.insert(*id, applicant);
        }
    }
    let (accepted, mut overlaps) = accept(applicants, reserved);
    out.problems.append(&mut overlaps);
    for (id, member) in &members {
        let mut step = Step { sides, trust, id, member, out: &mut out };
        let applicant = accepted.get(id);
        step.clusters(applicant.and_then(|applicant| applicant.cluster));
        step.endpoints(applicant.and_then(|applicant| applicant.endpoint.as_ref()));
    }
    out
}

fn keep_all(members: &Members<'_>, out: &mut RemotePlan) {
    for member in members.values() {
        for copy in &member.home_clusters {
            retain(out, *copy);
        }
        for copy in &member.home_endpoints {
            retain(out, *copy);
        }
    }
}

fn retain<K: Synced>(out: &mut RemotePlan, copy: &K) {
    out.copies.insert((K::OBJECT_KIND, name_of(copy).to_owned()), copy.clone().into_object());
}

/// Groups what other clusters own, on both sides, by the label that says which.
fn members<'a>(sides: &Sides<'a>, problems: &mut Vec<Problem>) -> Members<'a> {
    let mut members = Members::new();
    for (id, cluster) in foreign(sides, &sides.hub_clusters) {
        let expected = id.parse::<ClusterId>().map(|id| names::cluster_object_name(&id)).ok();
        if expected.as_deref() == Some(name_of(cluster)) {
            members.entry(id).or_default().hub_cluster = Some(cluster);
        } else {
            problems.push(unexpected_name(cluster, id));
        }
    }
    for (id, endpoint) in foreign(sides, &sides.hub_endpoints) {
        members.entry(id).or_default().hub_endpoints.push(endpoint);
    }
    for (id, cluster) in foreign(sides, &sides.home_clusters) {
        members.entry(id).or_default().home_clusters.push(cluster);
    }
    for (id, endpoint) in foreign(sides, &sides.home_endpoints) {
        members.entry(id).or_default().home_endpoints.push(endpoint);
    }
    members
}

fn foreign<'a, K: Synced>(sides: &Sides<'a>, objects: &Named<'a, K>) -> Vec<(&'a str, &'a K)> {
    let own = sides.own.cluster.as_str();
    objects.values().filter_map(|&object| Some((origin(object).filter(|id| *id != own)?, object))).collect()
}

/// Networks that no other cluster may publish here.
fn protected(sides: &Sides<'_>) -> CidrSet {
    let (clusters, endpoints): (Vec<&ClusterSpec>, Vec<&EndpointSpec>) = match &sides.own.publication {
        Publication::Publish(published) => {
            (vec![&published.cluster], published.endpoints.iter().map(|endpoint| &endpoint.spec).collect())
        }
        Publication::Hold | Publication::Withdraw => {
            let endpoints = sides.home_endpoints.values().filter(|object| sides.ours_at_home(**object));
            let clusters = sides.own_home_cluster().map(|cluster| &cluster.spec);
            (clusters.into_iter().collect(), endpoints.map(|object| &object.spec).collect())
        }
    };
    let clusters =
        clusters.iter().flat_map(|spec| [&spec.cluster_cidr, &spec.service_cidr, &spec.global_cidr]);
    let texts = clusters.chain(endpoints.iter().map(|spec| &spec.subnets)).flatten();
    texts.filter_map(|text| text.parse::<IpNet>().ok()).collect()
}

/// Tells whether this cluster has said anything of itself: before it has, nobody need be told what is missing.
fn has_spoken(sides: &Sides<'_>) -> bool {
    sides.own.publication != Publication::Hold || sides.own_home_cluster().is_some()
}

fn own_networks_unknown(sides: &Sides<'_>) -> Problem {
    Problem {
        reason: "OwnNetworksUnknown",
        object: format!("Cluster {}", sides.own.cluster),
        field: "spec.cluster_cidr".to_owned(),
        what: "without our own networks no other cluster's can be checked against them".to_owned(),
        remedy: "join this cluster with its pod and service networks".to_owned(),
    }
}

/// The networks that a member says are its own, as far as its word can be taken.
fn claims(
    sides: &Sides<'_>,
    member: &Member<'_>,
    protected: &CidrSet,
    problems: &mut Vec<Problem>,
) -> Option<Claims> {
    let Some(cluster) = member.hub_cluster else {
        let kept = member.home_clusters.iter().find(|copy| is_kept(**copy))?;
        return Claims::try_from(*kept).ok();
    };
    let id = origin(cluster).unwrap_or_default();
    if cluster.spec.cluster_id != id {
        let what = format!("{:?} is not {id:?}, which the label says", cluster.spec.cluster_id);
        let remedy = "delete that object on the hub";
        problems.push(problem("ForeignClusterID", cluster, "spec.cluster_id", what, remedy));
        return None;
    }
    if let Some(have) = sides.home_clusters.get(name_of(cluster)).filter(|have| origin(**have) != Some(id)) {
        problems.push(taken(cluster, *have));
        return None;
    }
    let claims = Claims::try_from(cluster).map_err(|mut found| problems.append(&mut found)).ok()?;
    if let Some((ours, net)) = protected.overlap_with(&claims.reachable()) {
        let what = format!("{net} overlaps {ours} of this cluster");
        problems.push(overlapping(cluster, net, what));
        return None;
    }
    Some(claims)
}

/// Reserves what a member has at home. One without any Endpoint reserves nothing: nobody is reached through it.
fn reserve<'a>(reserved: &mut Reservations<'a>, trust: HubTrust, id: &'a str, member: &Member<'_>) {
    let copies: Vec<_> =
        member.home_endpoints.iter().filter(|copy| !withdrawn(trust, member, copy)).collect();
    for copy in &copies {
        let nets = copy.spec.subnets.iter().filter_map(|text| text.parse::<IpNet>().ok()).collect();
        reserved.add(id, &nets);
    }
    let clusters = member.home_clusters.iter().filter(|_| !copies.is_empty());
    for claims in clusters.filter_map(|copy| Claims::try_from(*copy).ok()) {
        reserved.add(id, &claims.reachable());
    }
}

fn applicant<'a>(
    sides: &Sides<'_>,
    member: &Member<'a>,
    protected: &CidrSet,
    lost: bool,
    problems: &mut Vec<Problem>,
) -> Option<Applicant<'a>> {
    if member.claims.is_none() && member.hub_cluster.is_some() {
        // What is wrong with the Cluster was said; of its Endpoints nothing can be.
        return None;
    }
    let endpoint = best(sides, member, protected, lost, problems);
    let claims = member.claims.as_ref()?;
    if member.hub_cluster.is_none() && endpoint.is_none() {
        return None;
    }
    let subnets = endpoint.as_ref().map(|candidate| candidate.endpoint.subnet_set()).unwrap_or_default();
    let made = member.hub_cluster.and_then(|cluster| cluster.metadata.creation_timestamp.as_ref());
    let joined = made.map(|time| time.0.as_second());
    let joined = joined.or_else(|| endpoint.as_ref().map(|candidate| candidate.endpoint.created));
    Some(Applicant {
        cluster: member.hub_cluster,
        nets: claims.reachable().union(&subnets),
        joined: joined.unwrap_or_default(),
        endpoint,
    })
}

/// Tells whether a copy is certainly without a successor, so that its networks are free.
fn withdrawn(trust: HubTrust, member: &Member<'_>, copy: &Endpoint) -> bool {
    trust == HubTrust::Confirmed && member.hub_endpoints.is_empty() && !is_kept(copy)
}

/// The Endpoint of a member to follow, unless a copy at home outranks all that the hub has.
fn best<'a>(
    sides: &Sides<'_>,
    member: &Member<'a>,
    protected: &CidrSet,
    lost: bool,
    problems: &mut Vec<Problem>,
) -> Option<Candidate<'a>> {
    let mut best: Option<Candidate<'a>> = None;
    for object in &member.hub_endpoints {
        let checked = check(sides, member.claims.as_ref(), protected, object);
        let candidate = match checked {
            Ok(endpoint) => Candidate { object, endpoint },
            Err(mut found) => {
                problems.append(&mut found);
                continue;
            }
        };
        if best.as_ref().is_none_or(|best| candidate.outranks(best)) {
            best = Some(candidate);
        }
    }
    let best = best?;
    let stand_ins = member.home_endpoints.iter().filter(|copy| {
        stands_in(copy, lost) && original(member, copy).is_none_or(|original| regressed(original, copy))
    });
    let mut stand_ins = stand_ins.filter_map(|object| {
        let endpoint = subm_types::Endpoint::try_from(*object).ok()?;
        Some(Candidate { object, endpoint })
    });
    if stand_ins.any(|copy| copy.outranks(&best)) { None } else { Some(best) }
}

fn original<'a>(member: &Member<'a>, copy: &Endpoint) -> Option<&'a Endpoint> {
    member.hub_endpoints.iter().copied().find(|object| name_of(*object) == name_of(copy))
}

/// Tells whether the hub has an earlier state of an Endpoint than its copy.
fn regressed(original: &Endpoint, copy: &Endpoint) -> bool {
    uid_of(original) == uid_of(copy) && epoch_of(original) < epoch_of(copy)
}

/// What happens to the copies of one member.
struct Step<'a, 'b> {
    sides: &'b Sides<'a>,
    trust: HubTrust,
    id: &'a str,
    member: &'b Member<'a>,
    out: &'b mut RemotePlan,
}

impl Step<'_, '_> {
    fn clusters(&mut self, followed: Option<&Cluster>) {
        let namespace = self.sides.own.home_namespace.as_str();
        if let Some(cluster) = followed {
            let copy = copy_of(cluster, namespace);
            retain(self.out, &copy);
            self.out.writes.extend(write(self.sides.home_clusters.get(name_of(cluster)).copied(), copy));
        }
        let hub: BTreeSet<&str> = self.member.hub_cluster.iter().map(|cluster| name_of(*cluster)).collect();
        for copy in &self.member.home_clusters {
            if followed.is_some_and(|cluster| name_of(cluster) == name_of(*copy)) {
                continue;
            }
            self.left_behind(*copy, hub.contains(name_of(*copy)));
        }
    }

    fn endpoints(&mut self, accepted: Option<&Candidate<'_>>) {
        let namespace = self.sides.own.home_namespace.as_str();
        if let Some(candidate) = accepted {
            let copy = copy_of(candidate.object, namespace);
            retain(self.out, &copy);
            self.out.writes.extend(write(self.sides.home_endpoints.get(name_of(&copy)).copied(), copy));
        }
        for copy in &self.member.home_endpoints {
            match accepted {
                Some(candidate) if name_of(candidate.object) == name_of(*copy) => {}
                Some(_) if self.trust == HubTrust::Confirmed => {
                    self.out.deletes.push(delete(*copy, namespace));
                }
                Some(_) => retain(self.out, *copy),
                None => {
                    let on_hub =
                        original(self.member, copy).is_some_and(|original| !regressed(original, copy));
                    self.left_behind(*copy, on_hub || self.refused());
                }
            }
        }
    }

    /// Tells whether the member publishes only what cannot be taken over.
    fn refused(&self) -> bool {
        self.trust == HubTrust::Confirmed && !self.member.hub_endpoints.is_empty()
    }

    /// Treats a copy that nothing on the hub replaces.
    fn left_behind<K: Synced>(&mut self, copy: &K, stands: bool) {
        if !stands && self.trust == HubTrust::Confirmed && !is_kept(copy) {
            self.out.deletes.push(delete(copy, &self.sides.own.home_namespace));
            return;
        }
        retain(self.out, copy);
        if !stands && self.trust == HubTrust::Lost && !is_kept(copy) {
            self.out.marks.push(self.mark(copy));
        }
        if is_kept(copy) || (!stands && self.trust == HubTrust::Lost) {
            let what =
                format!("what {} published was lost with the hub's data; the copy at home stands", self.id);
            let remedy = "restart that cluster's gateway if it does not publish again by itself; if it has left for \
                          good, delete this object at home";
            self.out.problems.push(problem("KeptAfterHubLoss", copy, "", what, remedy));
        }
    }

    fn mark<K: Synced>(&self, copy: &K) -> Change {
        let mut kept = copy.clone();
        let count = self.sides.own_home_cluster().map_or(0, counter);
        let annotations = kept.metadata_mut().annotations.get_or_insert_default();
        annotations.insert(keys::KEPT.to_owned(), count.to_string());
        kept.metadata_mut().managed_fields = None;
        Change::Write(kept.into_object())
    }
}
