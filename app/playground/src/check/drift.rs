//! What others delete comes back, is counted, and flows show their own source again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use subm_kernel::Kernel;
use subm_lab::traffic::UdpFlow;
use subm_plan::{NodePlan, Scope, Step, World};
use subm_types::Family;

use super::Check;
use super::context::{Context, PATIENCE, echo, of, until_ok};
use crate::network;
use crate::topology::Node;

/// Something that somebody else may do to a node: the steps against what an owner has there.
struct Damage {
    name: &'static str,
    whom: Whom,
    steps: fn(&Scope, &NodePlan) -> Vec<Step>,
}

/// Whose things are hit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whom {
    Submariner,
    /// The CNI's and the proxy's as well.
    Everyone,
}

const DAMAGES: &[Damage] = &[
    Damage {
        name: "nft-flush-ruleset",
        whom: Whom::Everyone,
        steps: |scope, own| own.table.iter().map(|_| Step::DeleteTable(scope.table.clone())).collect(),
    },
    Damage {
        name: "routes",
        whom: Whom::Submariner,
        steps: |_, own| {
            own.routes.iter().map(|(key, route)| Step::DeleteRoute(*key, route.clone())).collect()
        },
    },
    Damage {
        name: "rules",
        whom: Whom::Submariner,
        steps: |_, own| own.rules.iter().cloned().map(Step::DeleteRule).collect(),
    },
    Damage {
        name: "links",
        whom: Whom::Submariner,
        steps: |_, own| own.links.keys().cloned().map(Step::DeleteLink).collect(),
    },
    Damage {
        name: "addresses",
        whom: Whom::Submariner,
        steps: |_, own| {
            own.addresses.iter().map(|(dev, net)| Step::DeleteAddress(dev.clone(), *net)).collect()
        },
    },
    Damage {
        name: "fdb-entries",
        whom: Whom::Submariner,
        steps: |_, own| {
            let fdb = own.fdb.iter().cloned().map(Step::DeleteFdb);
            fdb.chain(own.neighbours.iter().cloned().map(Step::DeleteNeighbour)).collect()
        },
    },
];

pub(super) fn checks(_: &Context<'_>) -> Vec<Check> {
    let damage = |damage: &'static Damage| {
        Check::new(format!("drift/{}", damage.name), move |context| {
            on_every_node(context, |node| suffer(context, node, damage))
        })
    };
    let mut checks: Vec<Check> = DAMAGES.iter().map(damage).collect();
    checks.push(Check::new("drift/sysctls", |context| on_every_node(context, |node| sysctls(context, node))));
    checks
}

/// What was hit, how long until all of it was back, and until running flows showed their own source again.
#[derive(Debug, Clone, Copy, Default)]
struct Healed {
    hit: usize,
    objects: Duration,
    flows: Duration,
}

fn on_every_node(
    context: &Context<'_>,
    hit: impl Fn(&Node) -> anyhow::Result<Healed>,
) -> anyhow::Result<String> {
    let mut all = Healed::default();
    let mut counted = 0;
    for (_, node) in context.topology().nodes() {
        let before = drift(context, node)?;
        let one = hit(node).with_context(|| node.name.clone())?;
        if one.hit > 0 {
            counted += counted_since(context, node, before)?;
        }
        all.hit += one.hit;
        all.objects = all.objects.max(one.objects);
        all.flows = all.flows.max(one.flows);
    }
    if all.hit == 0 {
        bail!("there was nothing to hit");
    }
    let (objects, flows) = (all.objects.as_millis(), all.flows.as_millis());
    Ok(format!(
        "{} hit, back within {objects} ms, flows within {flows} ms, {counted} counted as drift",
        all.hit
    ))
}

/// Waits until a daemon of the node has counted drift beyond this.
fn counted_since(context: &Context<'_>, node: &Node, before: u64) -> anyhow::Result<u64> {
    let counted = until_ok(PATIENCE, || match drift(context, node)? {
        after if after > before => Ok(after - before),
        after => bail!("no daemon of {} counted it as drift ({after} before and after)", node.name),
    });
    counted.map(|(counted, _)| counted)
}

/// The drift that the daemons of a node repaired so far.
fn drift(context: &Context<'_>, node: &Node) -> anyhow::Result<u64> {
    let mut total = 0;
    for daemon in context.playground.daemons.all().filter(|daemon| daemon.node.name == node.name) {
        let metrics = context.get(daemon, "/metrics")?;
        let lines = metrics.lines().filter(|line| line.starts_with("submariner_drift_repaired"));
        total += lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>();
    }
    Ok(total)
}

fn suffer(context: &Context<'_>, node: &Node, damage: &Damage) -> anyhow::Result<Healed> {
    let flows = flows(context, node)?;
    let before = picture(context, node)?;
    let start = Instant::now();
    let mut hit = 0;
    for (scope, own) in &before {
        if own_scopes().contains(scope) || damage.whom == Whom::Everyone {
            hit += act(context, node, scope, &(damage.steps)(scope, own))?;
        }
    }
    if hit == 0 {
        return Ok(Healed::default());
    }
    until_ok(PATIENCE, || same(&before, &picture(context, node)?))?;
    let objects = start.elapsed();
    until_shown(&flows)?;
    Ok(Healed { hit, objects, flows: start.elapsed() })
}

/// Waits until every flow shows its own source.
fn until_shown(flows: &[UdpFlow]) -> anyhow::Result<()> {
    for flow in flows {
        until_ok(PATIENCE, || match flow.ask(100, Duration::from_millis(50))? {
            echoed if echoed.source_kept() => Ok(()),
            echoed => bail!("a running flow of {} is seen as {}", echoed.own.ip(), echoed.seen_as.ip()),
        })?;
    }
    Ok(())
}

/// Running flows through a node, both ways.
fn flows(context: &Context<'_>, node: &Node) -> anyhow::Result<Vec<UdpFlow>> {
    let (pod, host) = context.pod(node)?;
    let home = context.topology().nodes().find(|(_, other)| other.name == node.name);
    let (home, _) = home.with_context(|| format!("{} is in no cluster", node.name))?;
    let mut flows = Vec::new();
    for (cluster, other) in context.topology().nodes().filter(|(cluster, _)| *cluster != home) {
        let (far, far_host) = context.pod(other)?;
        for family in home.common(cluster) {
            flows.push(UdpFlow::open(host, echo(of(far.addresses, family)?))?);
            flows.push(UdpFlow::open(far_host, echo(of(pod.addresses, family)?))?);
        }
    }
    until_shown(&flows)?;
    Ok(flows)
}

fn own_scopes() -> [Scope; 2] {
    [Scope::gateway(), Scope::route_agent()]
}

/// What every owner has on a node.
pub(super) fn picture(context: &Context<'_>, node: &Node) -> anyhow::Result<Vec<(Scope, NodePlan)>> {
    let look = || -> anyhow::Result<Vec<(Scope, NodePlan)>> {
        let mut kernel = Kernel::open()?;
        let mut all = Vec::new();
        for scope in own_scopes().into_iter().chain(network::scopes()) {
            let mut own = kernel.observe(&scope, &NodePlan::default())?.own;
            // The kernel may have chosen the hardware address: it chooses another the next time.
            own.links.values_mut().for_each(|link| link.mac = None);
            all.push((scope, own));
        }
        Ok(all)
    };
    context.host(&node.name)?.enter(look)?
}

fn same(before: &[(Scope, NodePlan)], now: &[(Scope, NodePlan)]) -> anyhow::Result<()> {
    for ((scope, before), (_, now)) in before.iter().zip(now) {
        if before != now {
            let (before, now) = (before.to_string(), now.to_string());
            let missing: Vec<&str> = before.lines().filter(|line| !now.contains(line)).collect();
            let extra: Vec<&str> = now.lines().filter(|line| !before.contains(line)).collect();
            bail!("{}: missing {missing:?}, extra {extra:?}", scope.owner);
        }
    }
    Ok(())
}

/// Takes steps on a node as somebody else, and tells how many there were.
pub(super) fn act(
    context: &Context<'_>,
    node: &Node,
    scope: &Scope,
    steps: &[Step],
) -> anyhow::Result<usize> {
    if steps.is_empty() {
        return Ok(0);
    }
    let take = || -> anyhow::Result<usize> { Ok(Kernel::open()?.apply(scope, steps).done) };
    match context.host(&node.name)?.enter(take)?? {
        0 => bail!("nothing could be deleted"),
        done => Ok(done),
    }
}

/// Source checks made strict on our links and the CNI's, and forwarding switched off.
fn sysctls(context: &Context<'_>, node: &Node) -> anyhow::Result<Healed> {
    let host = context.host(&node.name)?;
    let flows = flows(context, node)?;
    let strict = |link: &str| (format!("net/ipv4/conf/{link}/rp_filter"), "1");
    let switch = |family| match family {
        Family::V4 => ("net/ipv4/ip_forward".to_owned(), "0"),
        Family::V6 => ("net/ipv6/conf/all/forwarding".to_owned(), "0"),
    };
    let links = ["vx-submariner", "vxlan-tunnel", "submariner", "cni0"].map(strict);
    let forwarding = Family::ALL.into_iter().filter(|family| node.net.get(*family).is_some()).map(switch);
    let all = links.into_iter().chain(forwarding);
    let start = Instant::now();
    let mut hit = Vec::new();
    for (path, value) in all {
        // A link that is not on this node has no such file; a value that stands so anyway is not kept by anyone.
        match host.read_sysctl(&path) {
            Ok(before) if before != value => {
                host.sysctl(&path, value)?;
                hit.push((path, before));
            }
            Ok(_) | Err(_) => {}
        }
    }
    until_ok(PATIENCE, || {
        hit.iter().try_for_each(|(path, before)| match host.read_sysctl(path)? {
            now if now == *before => Ok(()),
            now => bail!("{path} is {now}, was {before}"),
        })
    })?;
    let objects = start.elapsed();
    until_shown(&flows)?;
    Ok(Healed { hit: hit.len(), objects, flows: start.elapsed() })
}
