//! How long plans of a large clusterset take, and their comparison with what a kernel has.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ipnet::{IpNet, Ipv4Net};
use subm_cable::{Claim, GatewayView, Local};
use subm_plan::{HostFacts, LinkFacts, NodePlan, NodeState, diff};
use subm_route::{NetworkPlugin, Node, NodeName, NodeView};
use subm_types::{
    Backend, CableName, CidrSet, ClusterUid, Endpoint, Epoch, HostName, IfName, Mtu, PerFamily,
};

use crate::record::{Bound, Record};
use crate::samples::Samples;
use crate::{Bench, Programs};

pub(crate) const BENCH: Bench = Bench {
    name: "plan",
    about: "a node's plan and its differences, of 100 clusters with 50 networks each",
    run,
};

const CLUSTERS: u8 = 100;
const NETWORKS: u8 = 50;
const RUNS: usize = 30;
const LIMIT: f64 = 10.0;

fn run(_: &Programs) -> Result<Vec<Record>> {
    let (gateway, node) = (gateway()?, node()?);
    let cables = subm_cable::plan(&gateway);
    ensure!(cables.problems.is_empty(), "the gateway's plan has problems: {}", cables.problems[0]);
    let cables = cables.value.context("the gateway plans nothing")?.node;
    let routes = subm_route::plan(&node);
    ensure!(routes.problems.is_empty(), "the route agent's plan has problems: {}", routes.problems[0]);
    let routes = routes.value.node;
    let wanted = usize::from(CLUSTERS) * usize::from(NETWORKS);
    ensure!(
        cables.routes.len() >= wanted && routes.routes.len() >= wanted,
        "networks are missing in the plans"
    );
    let mut records = times("gateway", &cables, || subm_cable::plan(&gateway).value.map(|plan| plan.node))?;
    records.extend(times("route-agent", &routes, || Some(subm_route::plan(&node).value.node))?);
    Ok(records)
}

/// Plans and compares with an empty kernel, and with one that has everything.
fn times(who: &str, planned: &NodePlan, plan: impl Fn() -> Option<NodePlan>) -> Result<Vec<Record>> {
    let mut own = planned.clone();
    own.flows.clear();
    let states = [("start", NodeState::default()), ("unchanged", NodeState { own, ..NodeState::default() })];
    let mut records = Vec::new();
    for (when, state) in states {
        let sample = || -> Result<Duration> {
            let start = Instant::now();
            let plan = plan().context("nothing is planned")?;
            let steps = black_box(diff(&state, &plan));
            let took = start.elapsed();
            ensure!(steps.is_empty() == (when == "unchanged"), "{} steps, {when}", steps.len());
            Ok(took)
        };
        let samples = (0..RUNS).map(|_| sample()).collect::<Result<Vec<_>>>()?;
        let samples = Samples::of_milliseconds(samples).context("no samples")?;
        let target = format!("< {LIMIT} ms, median of {RUNS}");
        let name = format!("plan/{who}/{when}");
        records.push(Record::new(name, samples.median(), "ms").asks(Bound::AtMost(LIMIT), target));
    }
    Ok(records)
}

/// The networks of a cluster: disjoint, and no two that could be one.
fn networks(cluster: u8) -> impl Iterator<Item = IpNet> {
    (0..NETWORKS)
        .map(move |index| Ipv4Net::new_assert(Ipv4Addr::new(20 + cluster, 2 * index, 0, 0), 16).into())
}

fn endpoints() -> Result<Vec<Endpoint>> {
    (1..=CLUSTERS)
        .map(|number| endpoint(&format!("cluster-{number}"), number, networks(number).collect()))
        .collect()
}

fn endpoint(cluster: &str, number: u8, subnets: Vec<IpNet>) -> Result<Endpoint> {
    let cable_name = format!("submariner-cable-{cluster}-192-0-2-{number}");
    Ok(Endpoint {
        object: format!("{cluster}-{cable_name}"),
        cluster: cluster.parse()?,
        cable_name: CableName(cable_name),
        hostname: HostName(format!("{cluster}-gateway")),
        health_check_ips: PerFamily::of(subnets.first().and_then(|net| net.hosts().next())),
        subnets,
        private_ips: PerFamily::of([IpAddr::from([192, 0, 2, number])]),
        public_ips: PerFamily::default(),
        nat_enabled: false,
        backend: Backend::Vxlan,
        udp_port: 4500,
        nat_discovery_port: None,
        interface_name: None,
        public_key: None,
        preferred_server: None,
        cluster_uid: Some(ClusterUid(format!("uid-{cluster}"))),
        epoch: Some(Epoch(1)),
        created: 100,
    })
}

fn nets(text: &str) -> Result<CidrSet> {
    text.split_whitespace().map(|net| Ok(net.parse::<IpNet>()?)).collect()
}

fn facts(address: &str, cni: &str) -> Result<HostFacts> {
    let link = |index, net: &str| -> Result<LinkFacts> {
        let addresses = vec![net.parse()?];
        Ok(LinkFacts { index, mtu: Some(Mtu(1500)), up: true, addresses, ..LinkFacts::default() })
    };
    let (uplink, bridge) = (IfName::constant("eth0"), IfName::constant("cni0"));
    let net: IpNet = address.parse()?;
    Ok(HostFacts {
        links: BTreeMap::from([(uplink.clone(), link(2, address)?), (bridge, link(3, cni)?)]),
        default_route: PerFamily { v4: Some(uplink), v6: None },
        tun: true,
        wireguard: false,
        rp_filter_all: Some(1),
        preferred_source: PerFamily::of([net.addr()]),
        ipv6_forwarding: Some(0),
    })
}

fn gateway() -> Result<GatewayView> {
    let endpoints = endpoints()?;
    let claim = |endpoint: &Endpoint| {
        let networks = endpoint.subnets.iter().copied().collect();
        (endpoint.cluster.clone(), Claim { uid: endpoint.cluster_uid.clone(), networks })
    };
    let facts = facts("172.18.0.2/16", "10.1.0.1/24")?;
    Ok(GatewayView {
        local: Local {
            cluster: "east".parse()?,
            uid: Some(ClusterUid("uid-east".to_owned())),
            networks: nets("10.1.0.0/16 100.1.0.0/16")?,
            pod_networks: nets("10.1.0.0/16")?,
            private_ips: facts.preferred_source,
            driver: Backend::Vxlan,
            udp_port: 4500,
            wireguard: None,
            ipsec: None,
            in_clear: subm_cable::InClear::Private,
            wireguard_carrier: subm_cable::WireguardCarrier::Best,
        },
        claims: endpoints.iter().map(claim).collect(),
        endpoints,
        facts,
        ways: BTreeMap::new(),
    })
}

fn node() -> Result<NodeView> {
    let mut endpoints = endpoints()?;
    let claims =
        endpoints.iter().map(|one| (one.cluster.clone(), one.subnets.iter().copied().collect())).collect();
    let own = vec!["10.1.0.0/16".parse()?, "100.1.0.0/16".parse()?];
    let mut local = endpoint("east", 250, own)?;
    local.hostname = HostName("east-1".to_owned());
    endpoints.push(local);
    let node = |number: u8| Node {
        name: NodeName(format!("east-{number}")),
        hostname: HostName(format!("east-{number}")),
        internal_ips: PerFamily { v4: Some(IpAddr::from([172, 18, 0, number])), v6: None },
        created: i64::from(number),
    };
    let facts = facts("172.18.0.2/16", "10.1.1.1/24")?;
    Ok(NodeView {
        node: NodeName("east-2".to_owned()),
        cluster: "east".parse()?,
        cluster_cidrs: nets("10.1.0.0/16")?,
        service_cidrs: nets("100.1.0.0/16")?,
        plugin: NetworkPlugin::from("generic"),
        nodes: (1..=50).map(node).collect(),
        endpoints,
        claims,
        unreadable: Vec::new(),
        facts,
        missing: BTreeMap::new(),
        taken_over: BTreeSet::new(),
    })
}
