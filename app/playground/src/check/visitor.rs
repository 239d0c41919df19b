//! A gateway on the WAN that speaks the cables' language, with an address behind it: no cluster of the playground.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use subm_kernel::Kernel;
use subm_lab::{Host, LabError};
use subm_plan::{
    FdbEntry, Link, LinkKind, NodePlan, Owner, Route, RouteKey, RouteProtocol, Scope, TableId, Veth, Vxlan,
    WireguardDevice, WireguardPeer, World, diff,
};
use subm_types::{
    CableVtep, Family, IfName, MacAddress, Mtu, PerFamily, PresharedKey, PrivateKey, PublicKey,
};

use super::context::{Context, of};
use crate::api::{BROKER_NAMESPACE, token};
use crate::daemon::preshared_key_file;
use crate::topology::{Cluster, addresses};
use crate::world::{CABLE_PORT, ETHERNET};

/// The visitor's place beside the hub.
const GATEWAY: u8 = 200;
/// Of its routes, in both families; the kernel takes 0 for another number in IPv6.
const METRIC: u32 = 1024;
const WIREGUARD: &str = "submariner";
const WIREGUARD_OVERHEAD: u32 = 80;

/// The visitor's pod and its network in a family.
pub(super) fn visit(family: Family) -> (IpAddr, IpNet) {
    match family {
        Family::V4 => (
            Ipv4Addr::new(10, 200, 0, 2).into(),
            Ipv4Net::new_assert(Ipv4Addr::new(10, 200, 0, 0), 16).into(),
        ),
        Family::V6 => (
            Ipv6Addr::new(0xfd00, 0x10, 0x200, 0, 0, 0, 0, 2).into(),
            Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x10, 0x200, 0, 0, 0, 0, 0), 48).into(),
        ),
    }
}

/// The visitor, as long as it is there.
pub(super) struct Visitor {
    host: Host,
    key: Option<PublicKey>,
    /// What it is told to leave by.
    stay: mpsc::Sender<()>,
    thread: JoinHandle<Result<anyhow::Result<()>, LabError>>,
}

impl Visitor {
    /// Lets one come that has a cable to every cluster with this family.
    pub(super) fn arrive(context: &Context<'_>, family: Family) -> anyhow::Result<Self> {
        static VISITS: AtomicU32 = AtomicU32::new(1);
        let name = format!("visitor-{}", VISITS.fetch_add(1, Ordering::Relaxed));
        let host = context.block_on(Host::create(&name))?;
        context.block_on(context.playground.world.visit_wan(&host, context.topology().guest(GATEWAY)))?;
        context.block_on(host.add_address("lo", visit(family).0.into()))?;
        let (plan, key) = match context.playground.settings.cable_driver.as_str() {
            "vxlan" => (vxlan(context, family)?, None),
            "wireguard" => wireguard(context, family).map(|(plan, key)| (plan, Some(key)))?,
            other => bail!("the visitor speaks no {other}"),
        };
        let ((arrived, come), (stay, stays)) = (mpsc::channel(), mpsc::channel());
        let live = move || {
            // What carries packets in this process ends with its kernel.
            let kernel = set(&plan)?;
            let _nobody_waits = arrived.send(());
            let _left = stays.recv();
            drop(kernel);
            Ok(())
        };
        let thread = host.spawn("visitor", live)?;
        let visitor = Self { host, key, stay, thread };
        if come.recv().is_err() {
            visitor.leave()?;
            bail!("the visitor did not come");
        }
        Ok(visitor)
    }

    /// Its addresses on the WAN.
    pub(super) fn addresses(context: &Context<'_>) -> PerFamily<IpAddr> {
        addresses(context.topology().guest(GATEWAY))
    }

    /// What others know it by, where its cable has keys.
    pub(super) fn public_key(&self) -> Option<PublicKey> {
        self.key
    }

    /// Lets it go.
    pub(super) fn leave(self) -> anyhow::Result<()> {
        let Self { host, stay, thread, .. } = self;
        drop(stay);
        let ended = thread.join().map_err(|_| anyhow!("the visitor panicked"))?;
        host.remove()?;
        ended?
    }
}

fn set(plan: &NodePlan) -> anyhow::Result<Kernel> {
    let links = ["vxlan-tunnel", "vxlan-tunnel-6", WIREGUARD];
    let scope = Scope::of(Owner("playground-visitor"), RouteProtocol(88), &links);
    let mut kernel = Kernel::open()?;
    let steps = diff(&kernel.observe(&scope, plan)?, plan);
    match kernel.apply(&scope, &steps).failures.first() {
        Some(failure) => bail!("{}: {}", failure.step, failure.reason),
        None => Ok(kernel),
    }
}

/// Upstream's VXLAN cable: VNI 1000 on port 4500, inner addresses that follow from the gateways' own.
fn vxlan(context: &Context<'_>, family: Family) -> anyhow::Result<NodePlan> {
    let (name, overhead) = match family {
        Family::V4 => (IfName::constant("vxlan-tunnel"), 50),
        Family::V6 => (IfName::constant("vxlan-tunnel-6"), 70),
    };
    let own = of(Visitor::addresses(context), family)?;
    let local = own.is_ipv6().then_some(own);
    let kind = LinkKind::Vxlan(Vxlan { vni: 1000, port: CABLE_PORT, local, dev: None });
    let mut plan = NodePlan::default();
    plan.links.insert(name.clone(), Link { kind, mtu: Some(Mtu(ETHERNET - overhead)), mac: None });
    plan.addresses.insert((name.clone(), CableVtep::of(own).on_link()));
    for cluster in context.topology().clusters.iter().filter(|cluster| cluster.families.has(family)) {
        let gateway = private(&published(context, cluster)?, family)
            .with_context(|| format!("the Endpoint of {} has no IP{family} address", cluster.name))?;
        let dst = cluster.public().unwrap_or(gateway);
        plan.fdb.insert(FdbEntry { dev: name.clone(), mac: MacAddress::ZERO, dst, port: None });
        let inner = CableVtep::of(gateway).address();
        add_routes(&mut plan, (cluster, family), &Route::via(name.clone(), inner))?;
    }
    Ok(plan)
}

/// Upstream's WireGuard cable, with a key of the visitor's own.
fn wireguard(context: &Context<'_>, family: Family) -> anyhow::Result<(NodePlan, PublicKey)> {
    let private_key = PrivateKey::new(Sha256::digest(token()?.as_bytes()).into());
    let public_key = subm_noise::public_key(&private_key);
    let preshared = fs::read(preshared_key_file()).context("the preshared key")?;
    // What is mounted is hashed as it stands in the environment: in base64.
    let preshared = PresharedKey::new(Sha256::digest(STANDARD.encode(preshared).as_bytes()).into());
    let name = IfName::constant(WIREGUARD);
    let kind = LinkKind::Veth(Veth { peer: IfName::constant("submariner-wg") });
    let mut plan = NodePlan::default();
    plan.links.insert(name.clone(), Link { kind, mtu: Some(Mtu(ETHERNET - WIREGUARD_OVERHEAD)), mac: None });
    let mut peers = BTreeMap::new();
    for cluster in context.topology().clusters.iter().filter(|cluster| cluster.families.has(family)) {
        let spec = published(context, cluster)?;
        let own = Visitor::addresses(context);
        let mut outside = Family::ALL.into_iter().filter(|family| own.get(*family).is_some());
        let gateway = outside.find_map(|family| private(&spec, family));
        let gateway = gateway.with_context(|| format!("the Endpoint of {} has no address", cluster.name))?;
        let key = spec["backend_config"]["publicKey"].as_str().and_then(|key| key.parse().ok());
        let peer = WireguardPeer {
            preshared_key: Some(preshared.clone()),
            endpoint: SocketAddr::new(cluster.public().unwrap_or(gateway), CABLE_PORT),
            allowed: [of(cluster.pods(), family)?, of(cluster.services(), family)?].into_iter().collect(),
            keepalive: 10,
        };
        peers.insert(key.with_context(|| format!("the Endpoint of {} has no key", cluster.name))?, peer);
        add_routes(&mut plan, (cluster, family), &Route::dev(name.clone()))?;
    }
    let device = WireguardDevice { private_key, listen_port: CABLE_PORT, peers };
    plan.wireguard.insert(name, device);
    Ok((plan, public_key))
}

fn add_routes(plan: &mut NodePlan, (cluster, family): (&Cluster, Family), way: &Route) -> anyhow::Result<()> {
    for dst in [of(cluster.pods(), family)?, of(cluster.services(), family)?] {
        let route = Route { src: Some(visit(family).0), ..way.clone() };
        plan.routes.insert(RouteKey { table: TableId::MAIN, dst, metric: METRIC }, route);
    }
    Ok(())
}

/// What a cluster's Endpoint on the hub says.
fn published(context: &Context<'_>, cluster: &Cluster) -> anyhow::Result<Value> {
    let hub = context.playground.apis.hub()?.objects();
    let endpoints = hub.list("endpoints.submariner.io", Some(BROKER_NAMESPACE));
    let own = endpoints.into_iter().find(|endpoint| endpoint["spec"]["cluster_id"] == *cluster.name);
    own.map(|endpoint| endpoint["spec"].clone())
        .with_context(|| format!("there is no Endpoint of {} on the hub", cluster.name))
}

/// The address of a gateway in a family.
fn private(spec: &Value, family: Family) -> Option<IpAddr> {
    let several = spec["privateIPs"].as_array().into_iter().flatten();
    let all = several.chain([&spec["private_ip"]]).filter_map(|ip| ip.as_str()?.parse::<IpAddr>().ok());
    all.into_iter().find(|address| Family::of(*address) == family)
}
