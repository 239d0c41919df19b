//! Kernel parameters without which packets that take one way out and another way back are dropped.

use std::collections::BTreeSet;

use subm_plan::{NodePlan, SysctlKey};
use subm_types::{Family, IfName};

use crate::situation::OVERLAY_LINK;
use crate::{Handler, Situation};

pub(crate) const HANDLER: Handler = Handler { name: "sysctls", applies: |_| true, plan };

const STRICT: u32 = 1;
const LOOSE: u32 = 2;
/// Values of `accept_ra`.
const UNLESS_FORWARDING: u32 = 1;
const DESPITE_FORWARDING: u32 = 2;

fn plan(now: &Situation<'_>) -> NodePlan {
    let mut plan = NodePlan::default();
    let mut want = |key, value| plan.sysctls.insert(key, value);
    let carried = now.carried_families();
    for family in &carried {
        want(SysctlKey::Forwarding(*family), 1);
    }
    for link in advertised(now) {
        want(SysctlKey::AcceptRa(link), DESPITE_FORWARDING);
    }
    for link in loosened(now) {
        want(SysctlKey::RpFilter(link), LOOSE);
    }
    if now.overlay.is_ok() {
        let overlay = IfName::constant(OVERLAY_LINK);
        want(SysctlKey::RpFilter(overlay.clone()), LOOSE);
        want(SysctlKey::SendRedirects(overlay.clone()), 0);
        if carried.contains(&Family::V6) {
            want(SysctlKey::AcceptRa(overlay.clone()), 0);
        }
        for family in carried {
            want(SysctlKey::LinkForwarding(family, overlay.clone()), 1);
        }
    }
    plan
}

/// Uplinks whose default route or address was advertised by a router, and would go with forwarding, or would have gone
/// before we changed it.
fn advertised(now: &Situation<'_>) -> BTreeSet<IfName> {
    let facts = &now.view.facts;
    if !now.carried_families().contains(&Family::V6) {
        return BTreeSet::new();
    }
    let internal = now.view.nodes.iter().filter(|node| node.name == now.view.node);
    let internal = internal.filter_map(|node| facts.link_with(*node.internal_ips.get(Family::V6)?));
    let uplinks = internal.map(|(name, _)| name).chain(facts.default_route.get(Family::V6));
    let follows = |link: &IfName| {
        let follows = facts.links.get(link).and_then(|link| link.accept_ra) == Some(UNLESS_FORWARDING);
        follows && facts.ipv6_forwarding == Some(0)
    };
    let ours = |link: &IfName| now.view.taken_over.contains(&SysctlKey::AcceptRa(link.clone()));
    uplinks.filter(|link| follows(link) || ours(link)).cloned().collect()
}

/// Links by which packets from remote clusters arrive and whose check would drop them, or did before we changed it.
fn loosened(now: &Situation<'_>) -> BTreeSet<IfName> {
    let facts = &now.view.facts;
    let overlay = IfName::constant(OVERLAY_LINK);
    arrivals(now)
        .into_iter()
        .filter(|link| facts.links.contains_key(link) && *link != overlay)
        .filter(|link| {
            let ours = now.view.taken_over.contains(&SysctlKey::RpFilter(link.clone()));
            ours || facts.effective_rp_filter(link) == STRICT
        })
        .collect()
}

fn arrivals(now: &Situation<'_>) -> BTreeSet<IfName> {
    let facts = &now.view.facts;
    let mut links = Situation::carriers();
    links.extend(now.overlay.iter().map(|overlay| overlay.uplink.clone()));
    links.extend(facts.default_route.get(Family::V4).cloned());
    // Some network plug-ins have two: packets from other nodes arrive by one, the pods are behind the other.
    let pods = &now.view.cluster_cidrs;
    let of_pods =
        facts.links.iter().filter(|(_, link)| link.addresses.iter().any(|net| pods.contains(net.addr())));
    links.extend(of_pods.map(|(name, _)| name.clone()));
    links
}
