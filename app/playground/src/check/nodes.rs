//! Nodes to pods of other clusters.

use anyhow::bail;
use subm_lab::traffic;

use super::Check;
use super::context::{ANSWER, Context, echo};

pub(super) fn checks(context: &Context<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    for (from, to) in context.pairs() {
        for node in &from.nodes {
            let (near, far) = (node.name.clone(), to.name.clone());
            let name = format!("node/{}/{}>{}", from.name, node.role, to.name);
            checks.push(Check::new(name, move |context| reach_all(context, &near, &far)));
        }
    }
    checks
}

/// Every pod of the other cluster answers, and sees the node by its address in the pods' range.
pub(super) fn reach_all(context: &Context<'_>, near: &str, far: &str) -> anyhow::Result<String> {
    let (node, host) = (context.node(near)?, context.host(near)?);
    let mut answered = 0;
    for (_, pod) in context.cluster(far)?.all_pods() {
        let seen = [
            traffic::tcp(host, echo(pod.address), 1000, ANSWER)?.seen_as,
            traffic::udp(host, echo(pod.address), 1000, ANSWER)?.seen_as,
        ];
        traffic::ping(host, pod.address, 56, ANSWER)?;
        if let Some(wrong) = seen.iter().find(|seen| seen.ip() != node.pod_gateway()) {
            bail!("{} answered, but saw {} and not {}", pod.name, wrong.ip(), node.pod_gateway());
        }
        answered += 1;
    }
    Ok(format!("{answered} pods answered, seen as {}", node.pod_gateway()))
}
