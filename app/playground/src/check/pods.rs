//! Pod to pod: every combination of nodes, both directions, both families, every protocol, and whom the other side sees.

use anyhow::bail;
use subm_lab::traffic::{self, Echoed};
use subm_types::Family;

use super::Check;
use super::context::{Context, echo, of};

/// How packets are asked for.
#[derive(Debug, Clone, Copy)]
enum Protocol {
    Tcp,
    Udp,
    Icmp,
}

const PROTOCOLS: [(&str, Protocol); 3] =
    [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("icmp", Protocol::Icmp)];

pub(super) fn checks(context: &Context<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    for lane in context.lanes() {
        let (from, to, family) = (lane.from, lane.to, lane.family);
        for (near, far) in from.nodes.iter().flat_map(|near| to.nodes.iter().map(move |far| (near, far))) {
            let place = format!("pod/{}/{}>{}/{}", from.name, near.role, to.name, far.role);
            checks.extend(PROTOCOLS.map(|(name, protocol)| {
                let (near, far) = (near.name.clone(), far.name.clone());
                let reach = move |context: &Context<'_>| reach(context, (&near, &far), family, protocol);
                Check::new(format!("{place}/{name}/{family}"), reach)
            }));
        }
    }
    checks
}

fn reach(
    context: &Context<'_>,
    (near, far): (&str, &str),
    family: Family,
    protocol: Protocol,
) -> anyhow::Result<String> {
    let (near, far) = (context.node(near)?, context.node(far)?);
    let ((_, host), (target, _)) = (context.pod(near)?, context.pod(far)?);
    let target = of(target.addresses, family)?;
    let echoed = match protocol {
        Protocol::Icmp => {
            let took = context.asked(|limit| traffic::ping(host, target, 56, limit))?;
            return Ok(format!("answered in {} µs", took.as_micros()));
        }
        Protocol::Tcp => context.asked(|limit| traffic::tcp(host, echo(target), 1000, limit))?,
        Protocol::Udp => context.asked(|limit| traffic::udp(host, echo(target), 1000, limit))?,
    };
    own_source(&echoed)
}

/// The other side must have seen the caller's own address.
pub(super) fn own_source(echoed: &Echoed) -> anyhow::Result<String> {
    if !echoed.source_kept() {
        bail!("answered, but {} was seen as {}", echoed.own.ip(), echoed.seen_as.ip());
    }
    Ok(format!("seen as {}, {} µs", echoed.seen_as.ip(), echoed.took.as_micros()))
}
