//! Pod to pod: every combination of nodes, both directions, every protocol, and whom the other side sees.

use anyhow::bail;
use subm_lab::traffic::{self, Echoed};

use super::Check;
use super::context::{ANSWER, Context, echo};

/// How packets are asked for.
#[derive(Debug, Clone, Copy)]
enum Protocol {
    Tcp,
    Udp,
    Icmp,
}

pub(super) fn checks(context: &Context<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    for (from, to) in context.pairs() {
        for (near, far) in from.nodes.iter().flat_map(|near| to.nodes.iter().map(move |far| (near, far))) {
            for (name, protocol) in [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("icmp", Protocol::Icmp)]
            {
                let path = format!("pod/{}/{}>{}/{}/{name}", from.name, near.role, to.name, far.role);
                let (near, far) = (near.name.clone(), far.name.clone());
                checks.push(Check::new(path, move |context| reach(context, &near, &far, protocol)));
            }
        }
    }
    checks
}

fn reach(context: &Context<'_>, near: &str, far: &str, protocol: Protocol) -> anyhow::Result<String> {
    let (near, far) = (context.node(near)?, context.node(far)?);
    let ((_, host), (target, _)) = (context.pod(near)?, context.pod(far)?);
    match protocol {
        Protocol::Icmp => {
            let took = traffic::ping(host, target.address, 56, ANSWER)?;
            Ok(format!("answered in {} µs", took.as_micros()))
        }
        Protocol::Tcp => own_source(&traffic::tcp(host, echo(target.address), 1000, ANSWER)?),
        Protocol::Udp => own_source(&traffic::udp(host, echo(target.address), 1000, ANSWER)?),
    }
}

/// The other side must have seen the caller's own address.
pub(super) fn own_source(echoed: &Echoed) -> anyhow::Result<String> {
    if !echoed.source_kept() {
        bail!("answered, but {} was seen as {}", echoed.own.ip(), echoed.seen_as.ip());
    }
    Ok(format!("seen as {}, {} µs", echoed.seen_as.ip(), echoed.took.as_micros()))
}
