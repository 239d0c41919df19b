//! Pods and nodes to services of other clusters, by the service's own address.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use subm_lab::traffic;
use subm_types::Family;

use super::Check;
use super::context::{ANSWER, Context, Lane, echo, of};
use super::pods::own_source;
use crate::topology::Node;

/// So many connections that each of some endpoints is drawn, nearly surely.
const DRAWS: usize = 12;

pub(super) fn checks(context: &Context<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    for cluster in &context.topology().clusters {
        for family in cluster.families.list() {
            let name = cluster.name.clone();
            checks.push(Check::new(format!("service/{name}/at-home/{family}"), move |context| {
                at_home(context, &name, family)
            }));
        }
    }
    let kinds: [(&str, Call); 2] = [("pod", from_pod), ("node", from_node)];
    for lane in context.lanes() {
        for (node, (kind, call)) in lane.from.nodes.iter().flat_map(|node| kinds.map(|kind| (node, kind))) {
            let (near, key) = (node.name.clone(), lane.key());
            let (from, to) = (&lane.from.name, &lane.to.name);
            let name = format!("service/{from}/{}/{kind}>{to}/{}", node.role, lane.family);
            checks.push(Check::new(name, move |context| {
                let (node, lane) = (context.node(&near)?, context.lane(&key)?);
                call(context, node, lane)
            }));
        }
    }
    checks
}

type Call = fn(&Context<'_>, &Node, Lane<'_>) -> anyhow::Result<String>;

/// The proxy alone, without Submariner in the way.
fn at_home(context: &Context<'_>, cluster: &str, family: Family) -> anyhow::Result<String> {
    let cluster = context.cluster(cluster)?;
    let service = echo(of(cluster.echo_service(), family)?);
    for node in &cluster.nodes {
        let (_, pod) = context.pod(node)?;
        for _ in 0..DRAWS {
            traffic::tcp(pod, service, 100, ANSWER)?;
            traffic::udp(context.host(&node.name)?, service, 100, ANSWER)?;
        }
    }
    Ok(format!("{} answered", service.ip()))
}

fn from_pod(context: &Context<'_>, near: &Node, lane: Lane<'_>) -> anyhow::Result<String> {
    let pod = near.pods.first().with_context(|| format!("{} has no pod", near.name))?;
    let pod = context.host(&pod.name)?;
    let service = echo(of(lane.to.echo_service(), lane.family)?);
    let mut seen = String::new();
    for _ in 0..DRAWS {
        own_source(&context.asked(|limit| traffic::tcp(pod, service, 1000, limit))?)?;
        seen = own_source(&context.asked(|limit| traffic::udp(pod, service, 1000, limit))?)?;
    }
    Ok(format!("{} answered {} times, {seen}", service.ip(), 2 * DRAWS))
}

/// Pods see the node by its address in the pods' range: the only one that they can answer.
fn from_node(context: &Context<'_>, near: &Node, lane: Lane<'_>) -> anyhow::Result<String> {
    let host = context.host(&near.name)?;
    let own = near.pod_gateway(lane.family).context("the node has no pods")?;
    let service = echo(of(lane.to.echo_service(), lane.family)?);
    let mut seen = BTreeSet::new();
    for _ in 0..DRAWS {
        seen.insert(context.asked(|limit| traffic::tcp(host, service, 1000, limit))?.seen_as.ip());
        seen.insert(context.asked(|limit| traffic::udp(host, service, 1000, limit))?.seen_as.ip());
    }
    if seen.iter().any(|seen| *seen != own) {
        bail!("{} answered, but saw {seen:?} and not {own}", service.ip());
    }
    Ok(format!("{} answered {} times, seen as {own}", service.ip(), 2 * DRAWS))
}
