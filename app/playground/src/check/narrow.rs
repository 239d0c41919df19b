//! Ways on which not everything passes that IPv6 may send, and who says so.
//!
//! KERNEL: what VXLAN sends over IPv6 is never fragmented, and of what it learns about a path no forwarder makes
//! use. So nothing larger passes than the smallest link has room for, and that are 1,280 bytes only where every link has
//! 1,350.

use anyhow::bail;
use subm_plan::numbers::vxlan_overhead;
use subm_types::{Family, Mtu};

use super::Check;
use super::context::{Context, Lane};
use crate::api::OPERATOR_NAMESPACE;
use crate::topology::Cluster;

/// What passes a way, where that is too little.
#[derive(Debug, Clone)]
pub(super) struct Narrow {
    /// What passes has this many bytes at the most.
    pub(super) room: u32,
    /// Whether the daemons see it on links of their own, and so keep TCP to it.
    pub(super) known: bool,
    /// What is in the way, and what helps.
    pub(super) why: String,
    said: Said,
}

/// Where a person reads of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nowhere,
    ByGateway,
    ByRouteAgents,
}

/// Whether a way is too narrow, and why.
pub(super) fn narrow(context: &Context<'_>, lane: Lane<'_>) -> Option<Narrow> {
    let overhead = vxlan_overhead(Family::V6);
    let needed = Mtu::IPV6_MIN.0 + overhead;
    if lane.family == Family::V4 {
        return None;
    }
    let is_vxlan = context.playground.settings.cable_driver == "vxlan";
    let own = lane.from.mtu.min(lane.to.mtu);
    let outside = lane.from.uplink.mtu.0.min(lane.to.uplink.mtu.0);
    let cable = |least, said| Narrow {
        room: least - overhead,
        known: said == Said::ByGateway,
        why: format!(
            "a vxlan cable over IPv6 is never fragmented, so it needs links of {needed} bytes, and none smaller than the nodes' own, and one here has {least}: take another cable driver"
        ),
        said,
    };
    let overlay = |cluster: &Cluster| Narrow {
        room: cluster.mtu - overhead,
        known: true,
        why: format!(
            "the overlay of a cluster of IPv6 alone is never fragmented, so the links between its nodes need {needed} bytes, and those of {} have {}",
            cluster.name, cluster.mtu
        ),
        said: Said::ByRouteAgents,
    };
    let mut all: Vec<Narrow> = Vec::new();
    all.extend((is_vxlan && outside < own).then(|| cable(outside, Said::Nowhere)));
    all.extend((is_vxlan && own < needed).then(|| cable(own, Said::ByGateway)));
    let small = |cluster: &&Cluster| {
        cluster.mtu < needed && cluster.nodes.len() > 1 && !cluster.families.has(Family::V4)
    };
    all.extend([lane.from, lane.to].into_iter().filter(small).map(overlay));
    let known = all.iter().all(|narrow| narrow.known);
    all.into_iter().min_by_key(|narrow| narrow.room).map(|narrow| Narrow { known, ..narrow })
}

/// What daemons can know they say.
pub(super) fn checks(context: &Context<'_>) -> Vec<Check> {
    let small = |(lane, narrow): (Lane<'_>, Narrow)| {
        let key = lane.key();
        Check::new(format!("link/{}/mtu", lane.name()), move |context| {
            told(context, context.lane(&key)?, &narrow)
        })
    };
    let known = |lane| Some((lane, narrow(context, lane).filter(|narrow| narrow.said != Said::Nowhere)?));
    context.lanes().into_iter().filter_map(known).map(small).collect()
}

fn told(context: &Context<'_>, lane: Lane<'_>, narrow: &Narrow) -> anyhow::Result<String> {
    let (kind, sign, who) = match narrow.said {
        Said::ByRouteAgents => ("routeagents.submariner.io", "larger IPv6 datagrams are lost", "RouteAgent"),
        Said::ByGateway | Said::Nowhere => ("gateways.submariner.io", "larger datagrams are lost", "Gateway"),
    };
    let clusters = [lane.from, lane.to];
    let objects = |cluster: &&Cluster| {
        let home = context.playground.apis.of(&cluster.name)?.objects();
        Ok(home.list(kind, Some(OPERATOR_NAMESPACE)))
    };
    let objects = clusters.iter().map(objects).collect::<anyhow::Result<Vec<_>>>()?;
    let conditions =
        objects.iter().flatten().filter_map(|object| object["status"]["conditions"].as_array()).flatten();
    let mut messages = conditions.filter_map(|condition| condition["message"].as_str());
    match messages.find(|message| message.contains(sign)) {
        Some(message) => Ok(format!("the {who} says: {message}")),
        None => bail!("{}, and no condition of a {who} says so", narrow.why),
    }
}
