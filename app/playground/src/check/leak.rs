//! Nothing crosses between clusters but inside a cable, whatever happens to daemons and links.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::bail;
use ipnet::IpNet;
use subm_lab::traffic::{self, PingRun, StreamRun, UdpRun};
use subm_lab::{Host, Search, SearchReport, Sighting, Suspect, Watch, payload_pattern};
use subm_plan::{NodePlan, Scope, Step};
use subm_types::PerFamily;

use super::Check;
use super::context::{Context, Lane, PATIENCE, echo, of, until_ok};
use super::drift;
use crate::daemon::{Daemon, Kind};
use crate::topology::Cluster;
use crate::world::{OUTSIDE, SWITCH, UPLINK};

pub(super) fn checks(_: &Context<'_>) -> Vec<Check> {
    let damage = |name: &'static str, hit: Hit| {
        Check::new(format!("leak/{name}"), move |context| unseen(context, || hit(context)))
    };
    vec![
        Check::new("leak/watch-sees-clear-text", seen),
        damage("gateways-killed", |context| each(context, Some(Kind::Gateway), Daemon::kill)),
        damage("route-agents-killed", |context| each(context, Some(Kind::RouteAgent), Daemon::kill)),
        damage("daemons-killed", |context| each(context, None, Daemon::kill)),
        damage("daemons-restarted", |context| each(context, None, Daemon::restart)),
        damage("links-deleted", |context| {
            delete(context, |_, own| own.links.keys().cloned().map(Step::DeleteLink).collect())
        }),
        damage("routes-deleted", |context| {
            delete(context, |_, own| {
                own.routes.iter().map(|(key, route)| Step::DeleteRoute(*key, route.clone())).collect()
            })
        }),
        damage("nft-flushed", |context| {
            delete(context, |scope, own| {
                own.table.iter().map(|_| Step::DeleteTable(scope.table.clone())).collect()
            })
        }),
    ]
}

/// Between two packets of one series, and at the least between any two.
const PING: Duration = Duration::from_millis(10);
const PING_ALL: Duration = Duration::from_micros(300);

/// A datagram of every packet's size and a connection go along with each way's pings.
const DATAGRAMS: (usize, Duration) = (1000, Duration::from_millis(20));

type Hit = fn(&Context<'_>) -> anyhow::Result<()>;

/// Does something to every daemon, or to those of a kind.
fn each(
    context: &Context<'_>,
    kind: Option<Kind>,
    hit: fn(&Daemon) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let all = context.playground.daemons.all();
    all.filter(|daemon| kind.is_none_or(|kind| daemon.kind == kind)).try_for_each(hit)
}

/// Takes steps against what Submariner has on every node.
fn delete(context: &Context<'_>, steps: fn(&Scope, &NodePlan) -> Vec<Step>) -> anyhow::Result<()> {
    for (_, node) in context.topology().nodes() {
        for (scope, own) in drift::picture(context, node)? {
            if [Scope::gateway(), Scope::route_agent()].contains(&scope) {
                drift::act(context, node, &scope, &steps(&scope, &own))?;
            }
        }
    }
    Ok(())
}

/// What a cluster's pods and services have.
fn inside(cluster: &Cluster) -> Vec<IpNet> {
    [cluster.pods(), cluster.services()].iter().flat_map(PerFamily::iter).map(|(_, net)| *net).collect()
}

/// Looks for payloads in what leaves every cluster.
fn search(context: &Context<'_>) -> anyhow::Result<Vec<Search>> {
    let start = |cluster: &Cluster| -> anyhow::Result<Search> {
        let outermost =
            if cluster.uplink.nat.0.len() > 1 { cluster.carrier_name() } else { cluster.router_name() };
        Ok(context.block_on(Search::start(context.host(&outermost)?, OUTSIDE, &payload_pattern()))?)
    };
    context.topology().clusters.iter().map(start).collect()
}

/// Nobody reads the payload of an encrypting cable; of another everybody does, which shows that the search can see.
fn read_by_others(context: &Context<'_>, searches: Vec<Search>) -> anyhow::Result<String> {
    let mut all = SearchReport::default();
    for search in searches {
        let report = search.stop()?;
        all.packets += report.packets;
        all.missed += report.missed;
        all.found.extend(report.found);
    }
    let found: u64 = all.found.values().sum();
    let packets = format!("{found} payloads readable in {} packets of uplinks", all.packets);
    match (context.encrypts(), all.found.keys().next()) {
        (true, Some(first)) => bail!("{packets}, such as {} > {} on {}", first.src, first.dst, first.host),
        (false, None) => bail!("{packets}: the search sees nothing, though nothing is encrypted"),
        (_, _) if all.missed > 0 => bail!("{packets}, but {} passed too fast to be read", all.missed),
        (true, None) => Ok(packets),
        (false, Some(_)) => Ok(format!("{packets}, as this cable does not encrypt")),
    }
}

/// Watches every uplink of nodes for packets to other clusters, and every link of routers for packets of any pod or
/// service.
fn watch(context: &Context<'_>) -> anyhow::Result<Vec<Watch>> {
    let clusters = &context.topology().clusters;
    let to = |net| Suspect { src: None, dst: Some(net) };
    let from = |net| Suspect { src: Some(net), dst: None };
    let everything: Vec<Suspect> =
        clusters.iter().flat_map(inside).flat_map(|net| [to(net), from(net)]).collect();
    let mut watches = Vec::new();
    for cluster in clusters {
        let others = clusters.iter().filter(|other| *other != cluster);
        let foreign: Vec<Suspect> = others.flat_map(inside).map(to).collect();
        for node in &cluster.nodes {
            watches.push(context.block_on(Watch::start(context.host(&node.name)?, UPLINK, &foreign))?);
        }
        let router = context.host(&cluster.router_name())?;
        for link in [SWITCH, OUTSIDE] {
            watches.push(context.block_on(Watch::start(router, link, &everything))?);
        }
    }
    Ok(watches)
}

fn sightings(watches: Vec<Watch>) -> anyhow::Result<Vec<(Sighting, u64)>> {
    let mut all = Vec::new();
    for watch in watches {
        all.extend(watch.stop()?);
    }
    Ok(all)
}

/// The watch must see clear text where there is some: from the API's host, whose packets nobody encapsulates.
fn seen(context: &Context<'_>) -> anyhow::Result<String> {
    let watches = watch(context)?;
    for lane in context.lanes() {
        let (pod, _) = context.pod(&lane.to.nodes[0])?;
        // Nothing answers: routers know no pods.
        let soon = Duration::from_millis(100);
        let _silent =
            traffic::ping(context.host(&lane.from.name)?, of(pod.addresses, lane.family)?, 56, soon);
    }
    let seen = sightings(watches)?;
    for Lane { from, to, family } in context.lanes() {
        let (router, pods) = (from.router_name(), of(to.pods(), family)?);
        if !seen.iter().any(|(sighting, _)| sighting.host == router && pods.contains(&sighting.dst)) {
            bail!("a packet in clear text to {pods} was not seen on {router}");
        }
    }
    Ok(format!(
        "{} packets in clear text were seen as such",
        seen.iter().map(|(_, count)| count).sum::<u64>()
    ))
}

/// Does something bad under traffic from every pod and node, and counts what leaves in clear.
fn unseen(context: &Context<'_>, hit: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<String> {
    let (watches, searches) = (watch(context)?, search(context)?);
    let mut ways = Vec::new();
    for Lane { from, to, family } in context.lanes() {
        for (near, far) in from.nodes.iter().flat_map(|near| to.nodes.iter().map(move |far| (near, far))) {
            let ((_, pod), (target, _)) = (context.pod(near)?, context.pod(far)?);
            let target = of(target.addresses, family)?;
            ways.extend([pod, context.host(&near.name)?].map(|host| (host, target)));
        }
    }
    let traffic = Traffic::start(&ways)?;
    let streams = streams(context)?;
    std::thread::sleep(Duration::from_millis(200));
    hit()?;
    std::thread::sleep(Duration::from_millis(500));
    let healed = ways.iter().try_for_each(|(host, target)| {
        let soon = Duration::from_millis(200);
        until_ok(PATIENCE, || Ok(traffic::ping(host, *target, 56, soon)?)).map(drop)
    });
    let (sent, lost) = traffic.stop()?;
    let mut carried = 0;
    for stream in streams {
        let report = stream.stop()?;
        if let Some(broken) = report.broken {
            bail!("a TCP stream broke: {broken}");
        }
        carried += report.bytes;
    }
    let seen = sightings(watches)?;
    if let Some((first, _)) = seen.first() {
        let count: u64 = seen.iter().map(|(_, count)| count).sum();
        bail!("{count} packets left in clear, such as {} > {} on {}", first.src, first.dst, first.host);
    }
    let read = read_by_others(context, searches)?;
    healed?;
    Ok(format!(
        "0 of {sent} packets and of {} MB by TCP left in clear ({lost} lost meanwhile); {read}",
        carried / 1_000_000
    ))
}

/// A connection from and to the last node of each cluster.
fn streams(context: &Context<'_>) -> anyhow::Result<Vec<StreamRun>> {
    let start = |lane| {
        let (host, target) = context.longest_way(lane)?;
        Ok(StreamRun::start(host, echo(target))?)
    };
    context.wide_lanes().into_iter().map(start).collect()
}

/// Pings and datagrams on every way.
struct Traffic {
    pings: Vec<PingRun>,
    datagrams: Vec<UdpRun>,
}

impl Traffic {
    fn start(ways: &[(&Host, IpAddr)]) -> anyhow::Result<Self> {
        let interval = PING.max(PING_ALL * u32::try_from(ways.len()).unwrap_or(u32::MAX));
        let mut all = Self { pings: Vec::new(), datagrams: Vec::new() };
        for (host, target) in ways {
            all.pings.push(PingRun::start(host, *target, interval)?);
            let (bytes, least) = DATAGRAMS;
            all.datagrams.push(UdpRun::start(host, echo(*target), (bytes, least.max(interval)))?);
        }
        Ok(all)
    }

    /// Ends it and tells how many were sent and how many not answered.
    fn stop(self) -> anyhow::Result<(u32, u32)> {
        let (mut sent, mut received) = (0, 0);
        self.pings.iter().for_each(PingRun::end);
        for ping in self.pings {
            let report = ping.stop()?;
            sent += report.sent;
            received += report.received;
        }
        for datagrams in self.datagrams {
            let report = datagrams.stop()?;
            sent += report.sent;
            received += report.received;
        }
        Ok((sent, sent.saturating_sub(received)))
    }
}
