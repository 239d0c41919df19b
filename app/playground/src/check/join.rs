//! From an Endpoint on the hub to the first packet: another cluster, of one gateway, comes and goes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use subm_kernel::Kernel;
use subm_lab::{Host, traffic};
use subm_plan::{
    FdbEntry, Link, LinkKind, NodePlan, Owner, Route, RouteKey, RouteProtocol, Scope, TableId, Vxlan, World,
    diff,
};
use subm_types::{CableVtep, Family, IfName, MacAddress, Mtu};

use super::Check;
use super::context::{Context, Lane, PATIENCE, of, until_ok};
use super::member::{Claim, Member};
use super::outcome::Skip;
use crate::api::BROKER_NAMESPACE;
use crate::topology::addresses;
use crate::world::ETHERNET;

/// The visitor's place beside the hub.
const GATEWAY: u8 = 200;
/// Of its routes, in both families; the kernel takes 0 for another number in IPv6.
const METRIC: u32 = 1024;
const SAMPLES: u32 = 8;
const QUIET: Duration = Duration::from_millis(250);

pub(super) fn checks(context: &Context<'_>) -> Vec<Check> {
    // One way is enough: the visitor is the other end of all.
    let first = context.pairs().into_iter().next();
    let lanes = context.lanes().into_iter().filter(|lane| Some((lane.from, lane.to)) == first);
    let check = |lane: Lane<'_>| {
        let key = lane.key();
        Check::new(format!("join/endpoint-to-first-packet/{}", lane.family), move |context| {
            sample(context, context.lane(&key)?)
        })
    };
    lanes.map(check).collect()
}

/// What the visitor has in a family.
struct Visit {
    pod: IpAddr,
    network: IpNet,
    cable: &'static str,
    overhead: u32,
}

fn visit(family: Family) -> Visit {
    match family {
        Family::V4 => Visit {
            pod: Ipv4Addr::new(10, 200, 0, 2).into(),
            network: Ipv4Net::new_assert(Ipv4Addr::new(10, 200, 0, 0), 16).into(),
            cable: "vxlan-tunnel",
            overhead: 50,
        },
        Family::V6 => Visit {
            pod: Ipv6Addr::new(0xfd00, 0x10, 0x200, 0, 0, 0, 0, 2).into(),
            network: Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x10, 0x200, 0, 0, 0, 0, 0), 48).into(),
            cable: "vxlan-tunnel-6",
            overhead: 70,
        },
    }
}

fn sample(context: &Context<'_>, lane: Lane<'_>) -> anyhow::Result<String> {
    let driver = &context.playground.settings.cable_driver;
    if driver != "vxlan" {
        return Err(Skip(format!("the visitor of the check join speaks vxlan, not {driver}")).into());
    }
    let visitor = context.block_on(arrive(context, lane.family))?;
    let outcome = sample_with(context, lane);
    visitor.remove()?;
    outcome
}

fn sample_with(context: &Context<'_>, lane: Lane<'_>) -> anyhow::Result<String> {
    let Visit { pod, network, .. } = visit(lane.family);
    let claim = Claim {
        uid: "00000000-0000-4000-8000-000000000200",
        gateway: addresses(context.topology().guest(GATEWAY)),
        networks: vec![network.to_string()],
    };
    let (host, _) = context.longest_way(lane)?;
    let reach = |limit| traffic::ping(host, pod, 56, limit);
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let mut member = Member::join(context, "visitor")?;
        member.publish_cluster(&claim)?;
        // What follows another change within an instant is planned together with it: this is about one change.
        std::thread::sleep(QUIET);
        if reach(Duration::from_millis(20)).is_ok() {
            bail!("{pod} answers before its Endpoint is on the hub");
        }
        let start = Instant::now();
        member.publish_endpoint(&claim)?;
        until_ok(PATIENCE, || Ok(reach(Duration::from_millis(20))?))?;
        times.push(start.elapsed());
        drop(member);
        until_ok(PATIENCE, || match reach(Duration::from_millis(20)) {
            Ok(_) => bail!("{pod} still answers after its Endpoint is gone"),
            Err(_) => Ok(()),
        })?;
    }
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    Ok(format!("median {} ms, worst {} ms of {SAMPLES}", median.as_millis(), worst.as_millis()))
}

/// A gateway on the WAN that speaks the cable's language, with an address behind it.
async fn arrive(context: &Context<'_>, family: Family) -> anyhow::Result<Host> {
    static VISITS: AtomicU32 = AtomicU32::new(1);
    let Visit { pod, cable, .. } = visit(family);
    let visitor = Host::create(&format!("visitor-{}", VISITS.fetch_add(1, Ordering::Relaxed))).await?;
    context.playground.world.visit_wan(&visitor, context.topology().guest(GATEWAY)).await?;
    visitor.add_address("lo", pod.into()).await?;
    let scope = Scope::of(Owner("playground-visitor"), RouteProtocol(88), &[cable]);
    let plan = plan(context, family)?;
    let apply = || -> anyhow::Result<()> {
        let mut kernel = Kernel::open()?;
        let steps = diff(&kernel.observe(&scope, &plan)?, &plan);
        match kernel.apply(&scope, &steps).failures.first() {
            Some(failure) => bail!("{}: {}", failure.step, failure.reason),
            None => Ok(()),
        }
    };
    visitor.enter(apply)??;
    Ok(visitor)
}

/// Upstream's VXLAN cable: VNI 1000 on port 4500, inner addresses that follow from the gateways' own.
fn plan(context: &Context<'_>, family: Family) -> anyhow::Result<NodePlan> {
    let Visit { pod, cable, overhead, .. } = visit(family);
    let own = of(addresses(context.topology().guest(GATEWAY)), family)?;
    let name = IfName::constant(cable);
    let local = own.is_ipv6().then_some(own);
    let kind = LinkKind::Vxlan(Vxlan { vni: 1000, port: 4500, local, dev: None });
    let mut plan = NodePlan::default();
    plan.links.insert(name.clone(), Link { kind, mtu: Some(Mtu(ETHERNET - overhead)), mac: None });
    plan.addresses.insert((name.clone(), CableVtep::of(own).on_link()));
    for cluster in &context.topology().clusters {
        if !cluster.families.has(family) {
            continue;
        }
        let gateway = active_gateway(context, &cluster.name, family)?;
        let dst = cluster.public().unwrap_or(gateway);
        plan.fdb.insert(FdbEntry { dev: name.clone(), mac: MacAddress::ZERO, dst, port: None });
        for dst in [of(cluster.pods(), family)?, of(cluster.services(), family)?] {
            let inner = CableVtep::of(gateway).address();
            let route = Route { src: Some(pod), ..Route::via(name.clone(), inner) };
            plan.routes.insert(RouteKey { table: TableId::MAIN, dst, metric: METRIC }, route);
        }
    }
    Ok(plan)
}

/// The address of the gateway that a cluster's Endpoint on the hub tells of.
fn active_gateway(context: &Context<'_>, cluster: &str, family: Family) -> anyhow::Result<IpAddr> {
    let hub = context.playground.apis.hub()?.objects();
    let endpoints = hub.list("endpoints.submariner.io", Some(BROKER_NAMESPACE));
    let own = endpoints.iter().filter(|endpoint| endpoint["spec"]["cluster_id"] == cluster);
    let private = own.flat_map(|endpoint| {
        let spec = &endpoint["spec"];
        spec["privateIPs"]
            .as_array()
            .into_iter()
            .flatten()
            .chain([&spec["private_ip"]])
            .filter_map(|ip| ip.as_str()?.parse::<IpAddr>().ok())
            .collect::<Vec<_>>()
    });
    let mut of_family = private.filter(|address| Family::of(*address) == family);
    of_family.next().with_context(|| format!("the Endpoint of {cluster} has no IP{family} address"))
}
