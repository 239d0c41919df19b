//! From an Endpoint on the hub to the first packet: a third cluster, of one gateway, comes and goes.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use ipnet::{IpNet, Ipv4Net};
use subm_kernel::Kernel;
use subm_lab::{Host, traffic};
use subm_plan::{
    FdbEntry, Link, LinkKind, NodePlan, Owner, Route, RouteKey, RouteProtocol, Scope, TableId, Vxlan, World,
    diff,
};
use subm_types::{CableVtep, IfName, MacAddress, Mtu};

use super::Check;
use super::context::{Context, PATIENCE, until_ok};
use super::member::{Claim, Member};
use crate::topology::{MTU, Topology, WAN};
use crate::world::{UPLINK, net, plug};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 200);
const POD: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 2);
const NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 200, 0, 0), 16);
const CABLE: &str = "vxlan-tunnel";
const SAMPLES: u32 = 8;
const QUIET: Duration = Duration::from_millis(250);

pub(super) fn checks(_: &Context<'_>) -> Vec<Check> {
    vec![Check::new("join/endpoint-to-first-packet", sample)]
}

fn sample(context: &Context<'_>) -> anyhow::Result<String> {
    let visitor = context.block_on(arrive(context))?;
    let outcome = sample_with(context);
    visitor.remove()?;
    outcome
}

fn sample_with(context: &Context<'_>) -> anyhow::Result<String> {
    let claim = Claim {
        uid: "00000000-0000-4000-8000-000000000200",
        gateway: GATEWAY,
        networks: vec![NETWORK.to_string()],
    };
    let clusters = &context.topology().clusters;
    let (host, _) = context.between_workers(&clusters[0].name, &clusters[1].name)?;
    let reach = |limit| traffic::ping(host, POD, 56, limit);
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let mut member = Member::join(context, "visitor")?;
        member.publish_cluster(&claim)?;
        // What follows another change within an instant is planned together with it: this is about one change.
        std::thread::sleep(QUIET);
        if reach(Duration::from_millis(20)).is_ok() {
            bail!("{POD} answers before its Endpoint is on the hub");
        }
        let start = Instant::now();
        member.publish_endpoint(&claim)?;
        until_ok(PATIENCE, || Ok(reach(Duration::from_millis(20))?))?;
        times.push(start.elapsed());
        drop(member);
        until_ok(PATIENCE, || match reach(Duration::from_millis(20)) {
            Ok(_) => bail!("{POD} still answers after its Endpoint is gone"),
            Err(_) => Ok(()),
        })?;
    }
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    Ok(format!("median {} ms, worst {} ms of {SAMPLES}", median.as_millis(), worst.as_millis()))
}

/// A gateway on the WAN that speaks the cable's language, with an address behind it.
async fn arrive(context: &Context<'_>) -> anyhow::Result<Host> {
    static VISITS: AtomicU32 = AtomicU32::new(1);
    let topology = context.topology();
    let visitor = Host::create(&format!("visitor-{}", VISITS.fetch_add(1, Ordering::Relaxed))).await?;
    plug(&visitor, UPLINK, context.host("wan")?, net(GATEWAY, WAN)).await?;
    for cluster in &topology.clusters {
        visitor.add_route(cluster.lan(), cluster.router_outside()).await?;
    }
    visitor.add_address("lo", Ipv4Net::from(POD).into()).await?;
    let scope = Scope::of(Owner("playground-visitor"), RouteProtocol(88), &[CABLE]);
    let plan = cable(topology);
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
fn cable(topology: &Topology) -> NodePlan {
    let name = IfName::constant(CABLE);
    let inner = |gateway: Ipv4Addr| CableVtep::of(IpAddr::V4(gateway));
    let kind = LinkKind::Vxlan(Vxlan { vni: 1000, port: 4500, local: None, dev: None });
    let mut plan = NodePlan::default();
    plan.links.insert(name.clone(), Link { kind, mtu: Some(Mtu(MTU - 50)), mac: None });
    plan.addresses.insert((name.clone(), inner(GATEWAY).on_link()));
    for cluster in &topology.clusters {
        let gateway = cluster.gateway().address;
        plan.fdb.insert(FdbEntry {
            dev: name.clone(),
            mac: MacAddress::ZERO,
            dst: IpAddr::V4(gateway),
            port: None,
        });
        for dst in [cluster.pods(), cluster.services()] {
            let route =
                Route { src: Some(IpAddr::V4(POD)), ..Route::via(name.clone(), inner(gateway).address()) };
            plan.routes.insert(RouteKey { table: TableId::MAIN, dst: IpNet::V4(dst), metric: 0 }, route);
        }
    }
    plan
}
