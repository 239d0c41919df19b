//! A small cluster for the tests of the planner.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "each test binary uses its part"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use subm_plan::{HostFacts, LinkFacts};
use subm_route::{NetworkPlugin, Node, NodeName, NodeView};
use subm_types::endpoint::DEFAULT_UDP_PORT;
use subm_types::{Backend, CableName, CidrSet, Endpoint, HostName, IfName, Mtu, PerFamily};

pub fn cidrs(text: &str) -> CidrSet {
    text.split_whitespace().map(|net| net.parse().unwrap()).collect()
}

pub fn link(name: &str) -> IfName {
    name.parse().unwrap()
}

pub fn node(name: &str, address: &str, created: i64) -> Node {
    Node {
        name: NodeName(name.to_owned()),
        hostname: HostName(name.to_owned()),
        internal_ips: PerFamily::of([address.parse().unwrap()]),
        created,
    }
}

pub fn endpoint(cluster: &str, hostname: &str, address: &str, subnets: &str) -> Endpoint {
    let address: IpAddr = address.parse().unwrap();
    let name = format!("submariner-cable-{cluster}-{}", address.to_string().replace(['.', ':'], "-"));
    let subnets: Vec<_> = subnets.split_whitespace().map(|net| net.parse().unwrap()).collect();
    let first: Option<ipnet::IpNet> = subnets.first().copied();
    Endpoint {
        object: format!("{cluster}-{name}"),
        cluster: cluster.parse().unwrap(),
        cable_name: CableName(name),
        hostname: HostName(hostname.to_owned()),
        health_check_ips: PerFamily::of(first.and_then(|net| net.hosts().next())),
        subnets,
        private_ips: PerFamily::of([address]),
        public_ips: PerFamily::default(),
        nat_enabled: false,
        backend: Backend::Vxlan,
        udp_port: DEFAULT_UDP_PORT,
        nat_discovery_port: Some(4490),
        interface_name: None,
        public_key: None,
        preferred_server: None,
        cluster_uid: None,
        epoch: None,
        created: 100,
    }
}

pub fn host(address: &str, cni: &str) -> HostFacts {
    let interface = |index, net: &str| LinkFacts {
        index,
        mtu: Some(Mtu(1500)),
        up: true,
        addresses: vec![net.parse().unwrap()],
        rp_filter: Some(0),
        ..LinkFacts::default()
    };
    HostFacts {
        links: BTreeMap::from([(link("eth0"), interface(2, address)), (link("cni0"), interface(3, cni))]),
        default_route: PerFamily { v4: Some(link("eth0")), v6: None },
        tun: true,
        wireguard: false,
        rp_filter_all: Some(0),
        preferred_source: PerFamily::default(),
        ipv6_forwarding: Some(0),
    }
}

/// Cluster east, of a gateway and a worker, that knows cluster west; as the worker sees it.
pub fn worker() -> NodeView {
    NodeView {
        node: NodeName("east-worker".to_owned()),
        cluster: "east".parse().unwrap(),
        cluster_cidrs: cidrs("10.1.0.0/16"),
        service_cidrs: cidrs("100.1.0.0/16"),
        plugin: NetworkPlugin::from("kindnet"),
        nodes: vec![node("east-gateway", "172.18.0.2", 1), node("east-worker", "172.18.0.3", 2)],
        endpoints: vec![
            endpoint("east", "east-gateway", "172.18.0.2", "10.1.0.0/16 100.1.0.0/16"),
            endpoint("west", "west-gateway", "172.19.0.2", "10.2.0.0/16 100.2.0.0/16"),
        ],
        claims: BTreeMap::new(),
        unreadable: Vec::new(),
        facts: host("172.18.0.3/24", "10.1.1.1/24"),
        missing: BTreeMap::new(),
        taken_over: BTreeSet::new(),
    }
}

/// The same cluster as its gateway sees it.
pub fn gateway() -> NodeView {
    NodeView {
        node: NodeName("east-gateway".to_owned()),
        facts: host("172.18.0.2/24", "10.1.0.1/24"),
        ..worker()
    }
}
