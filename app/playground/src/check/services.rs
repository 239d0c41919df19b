//! Pods and nodes to services of other clusters, by the service's own address.

use std::collections::BTreeSet;

use anyhow::bail;
use subm_lab::traffic;

use super::Check;
use super::context::{ANSWER, Context, echo};
use super::pods::own_source;

/// So many connections that each of some endpoints is drawn, nearly surely.
const DRAWS: usize = 12;

pub(super) fn checks(context: &Context<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    for cluster in &context.topology().clusters {
        let name = cluster.name.clone();
        checks.push(Check::new(format!("service/{name}/at-home"), move |context| at_home(context, &name)));
    }
    for (from, to) in context.pairs() {
        for node in &from.nodes {
            let (near, far) = (node.name.clone(), to.name.clone());
            let name = format!("service/{}/{}/pod>{}", from.name, node.role, to.name);
            checks.push(Check::new(name, move |context| from_pod(context, &near, &far)));
            let (near, far) = (node.name.clone(), to.name.clone());
            let name = format!("service/{}/{}/node>{}", from.name, node.role, to.name);
            checks.push(Check::new(name, move |context| from_node(context, &near, &far)));
        }
    }
    checks
}

/// The proxy alone, without Submariner in the way.
fn at_home(context: &Context<'_>, cluster: &str) -> anyhow::Result<String> {
    let cluster = context.cluster(cluster)?;
    let service = echo(cluster.echo_service());
    for node in &cluster.nodes {
        let (_, pod) = context.pod(node)?;
        for _ in 0..DRAWS {
            traffic::tcp(pod, service, 100, ANSWER)?;
            traffic::udp(context.host(&node.name)?, service, 100, ANSWER)?;
        }
    }
    Ok(format!("{} answered", service.ip()))
}

fn from_pod(context: &Context<'_>, near: &str, far: &str) -> anyhow::Result<String> {
    let (_, pod) = context.pod(context.node(near)?)?;
    let service = echo(context.cluster(far)?.echo_service());
    let mut seen = String::new();
    for _ in 0..DRAWS {
        own_source(&traffic::tcp(pod, service, 1000, ANSWER)?)?;
        seen = own_source(&traffic::udp(pod, service, 1000, ANSWER)?)?;
    }
    Ok(format!("{} answered {} times, {seen}", service.ip(), 2 * DRAWS))
}

/// Pods see the node by its address in the pods' range: the only one that they can answer.
fn from_node(context: &Context<'_>, near: &str, far: &str) -> anyhow::Result<String> {
    let node = context.node(near)?;
    let service = echo(context.cluster(far)?.echo_service());
    let mut seen = BTreeSet::new();
    for _ in 0..DRAWS {
        seen.insert(traffic::tcp(context.host(near)?, service, 1000, ANSWER)?.seen_as.ip());
        seen.insert(traffic::udp(context.host(near)?, service, 1000, ANSWER)?.seen_as.ip());
    }
    if seen.iter().any(|seen| *seen != node.pod_gateway()) {
        bail!("{} answered, but saw {seen:?} and not {}", service.ip(), node.pod_gateway());
    }
    Ok(format!("{} answered {} times, seen as {}", service.ip(), 2 * DRAWS, node.pod_gateway()))
}
