//! Nodes to pods of other clusters.

use anyhow::{Context as _, bail};
use subm_lab::traffic;

use super::Check;
use super::context::{Context, Lane, echo, of};
use crate::topology::Node;

pub(super) fn checks(context: &Context<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    for lane in context.lanes() {
        for node in &lane.from.nodes {
            let (near, key) = (node.name.clone(), lane.key());
            let name = format!("node/{}/{}>{}/{}", lane.from.name, node.role, lane.to.name, lane.family);
            checks.push(Check::new(name, move |context| {
                let (node, lane) = (context.node(&near)?, context.lane(&key)?);
                reach_all(context, node, lane)
            }));
        }
    }
    checks
}

/// Every pod of the other cluster answers, and sees the node by its address in the pods' range.
pub(super) fn reach_all(context: &Context<'_>, node: &Node, lane: Lane<'_>) -> anyhow::Result<String> {
    let host = context.host(&node.name)?;
    let own = node.pod_gateway(lane.family).context("the node has no pods")?;
    let mut answered = 0;
    for (_, pod) in lane.to.all_pods() {
        let target = of(pod.addresses, lane.family)?;
        let seen = [
            context.asked(|limit| traffic::tcp(host, echo(target), 1000, limit))?.seen_as,
            context.asked(|limit| traffic::udp(host, echo(target), 1000, limit))?.seen_as,
        ];
        context.asked(|limit| traffic::ping(host, target, 56, limit))?;
        if let Some(wrong) = seen.iter().find(|seen| seen.ip() != own) {
            bail!("{} answered, but saw {} and not {own}", pod.name, wrong.ip());
        }
        answered += 1;
    }
    Ok(format!("{answered} pods answered, seen as {own}"))
}
