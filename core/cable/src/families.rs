//! Which families a cable to an Endpoint can carry.
//!
//! A cluster of both has a tunnel of each to a peer.

use std::collections::BTreeSet;

use subm_types::{CidrSet, Endpoint, Family, Planned, Problem};

use crate::Local;

impl Local {
    /// The families of what this cluster publishes.
    pub fn families(&self) -> BTreeSet<Family> {
        families(&self.networks)
    }

    /// The families of what this cluster publishes in which its gateway has an address too.
    pub fn reachable_families(&self) -> BTreeSet<Family> {
        self.families().into_iter().filter(|family| self.private_ips.get(*family).is_some()).collect()
    }
}

fn families(networks: &CidrSet) -> BTreeSet<Family> {
    Family::ALL.into_iter().filter(|family| !networks.of(*family).is_empty()).collect()
}

/// The families in which both ends have networks, and what is left out.
pub(crate) fn common(local: &Local, endpoint: &Endpoint) -> Planned<Vec<Family>> {
    let networks = endpoint.subnet_set();
    let (ours, theirs) = (local.families(), families(&networks));
    let value: Vec<Family> = ours.intersection(&theirs).copied().collect();
    if value.is_empty() {
        return Planned { value, problems: vec![nothing_in_common(endpoint, &local.networks)] };
    }
    let left = theirs.difference(&ours).map(|family| no_networks_here(endpoint, *family));
    let lacking = ours.difference(&theirs).map(|family| no_networks_there(endpoint, *family, local));
    let problems = left.chain(lacking).collect();
    Planned { value, problems }
}

/// The families in which both ends have networks and an address, and what is left out: for cables that carry each
/// family in packets of the same.
pub(crate) fn shared(local: &Local, endpoint: &Endpoint) -> Planned<Vec<Family>> {
    let mut out = common(local, endpoint);
    let unaddressed = out.value.iter().filter(|family| endpoint.private_ips.get(**family).is_none());
    out.problems.extend(unaddressed.map(|family| no_address_there(endpoint, *family)));
    let usable = |family: &Family| {
        endpoint.private_ips.get(*family).is_some() && local.private_ips.get(*family).is_some()
    };
    out.value.retain(usable);
    out
}

/// What this gateway's node lacks of what its cluster publishes.
pub(crate) fn without_uplink(local: &Local) -> Vec<Problem> {
    let lacking: Vec<Family> = local.families().difference(&local.reachable_families()).copied().collect();
    let problem = |family: Family| Problem {
        reason: "FamilyWithoutUplink",
        object: "gateway node".to_owned(),
        field: "default route".to_owned(),
        what: format!(
            "the node has no {} address by a default route, so {} cannot be reached",
            name(family),
            local.networks.of(family)
        ),
        remedy: format!("give the node an {0} address and an {0} default route", name(family)),
    };
    lacking.into_iter().map(problem).collect()
}

fn of_endpoint(
    reason: &'static str,
    endpoint: &Endpoint,
    field: &str,
    what: String,
    remedy: &str,
) -> Problem {
    let (object, field) = (format!("Endpoint {}", endpoint.object), field.to_owned());
    Problem { reason, object, field, what, remedy: remedy.to_owned() }
}

fn nothing_in_common(endpoint: &Endpoint, ours: &CidrSet) -> Problem {
    let what = format!(
        "cluster {} has {} and this cluster {ours}, which have no address family in common",
        endpoint.cluster,
        endpoint.subnet_set()
    );
    of_endpoint("NoCommonFamily", endpoint, "spec.subnets", what, "give both clusters networks of one family")
}

fn no_networks_here(endpoint: &Endpoint, family: Family) -> Problem {
    let what = format!(
        "this cluster has no {} networks, so {} of cluster {} cannot be reached",
        name(family),
        endpoint.subnet_set().of(family),
        endpoint.cluster
    );
    let remedy = format!("use the {} networks", name(other(family)));
    of_endpoint("UncarriedFamily", endpoint, "spec.subnets", what, &remedy)
}

fn no_networks_there(endpoint: &Endpoint, family: Family, local: &Local) -> Problem {
    let what = format!(
        "cluster {} has no {} networks, so it and {} of this cluster cannot reach each other",
        endpoint.cluster,
        name(family),
        local.networks.of(family)
    );
    let remedy = format!("use the {} networks", name(other(family)));
    of_endpoint("UncarriedFamily", endpoint, "spec.subnets", what, &remedy)
}

fn no_address_there(endpoint: &Endpoint, family: Family) -> Problem {
    let what = format!(
        "it has no {} address, so {} cannot be reached",
        name(family),
        endpoint.subnet_set().of(family)
    );
    let remedy = format!("give that gateway node an {} address", name(family));
    of_endpoint("MissingIP", endpoint, "spec.privateIPs", what, &remedy)
}

const fn other(family: Family) -> Family {
    match family {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    }
}

/// The family as people write it.
pub(crate) const fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}
