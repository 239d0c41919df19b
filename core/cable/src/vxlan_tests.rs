//! Plans of the VXLAN cable, printed as iproute2 prints them.

use std::fmt::Write as _;

use insta::assert_snapshot;
use proptest::prelude::*;
use subm_plan::{HostFacts, LinkFacts};
use subm_types::{CableName, CidrSet, ClusterUid, Epoch, HostName, PerFamily};

use super::*;
use crate::plan;

fn nets(text: &str) -> CidrSet {
    text.split_whitespace().map(|net| net.parse::<IpNet>().unwrap()).collect()
}

fn ips(text: &str) -> PerFamily<IpAddr> {
    PerFamily::of(text.split_whitespace().map(|address| address.parse().unwrap()))
}

fn link(index: u32, mtu: u32, address: &str) -> LinkFacts {
    let addresses = vec![address.parse().unwrap()];
    LinkFacts { index, mtu: Some(Mtu(mtu)), up: true, addresses, ..LinkFacts::default() }
}

fn east() -> GatewayView {
    let links = [("eth0", link(2, 1500, "172.18.0.2/16")), ("cni0", link(3, 1500, "10.1.0.1/24"))];
    GatewayView {
        local: Local {
            cluster: "east".parse().unwrap(),
            uid: Some(ClusterUid("uid-east".to_owned())),
            networks: nets("10.1.0.0/16 100.1.0.0/16"),
            pod_networks: nets("10.1.0.0/16"),
            private_ips: ips("172.18.0.2"),
            driver: Backend::Vxlan,
            udp_port: 4500,
            wireguard: None,
            ipsec: None,
            in_clear: InClear::Private,
            wireguard_carrier: crate::WireguardCarrier::Best,
        },
        endpoints: Vec::new(),
        claims: BTreeMap::new(),
        facts: HostFacts {
            links: links.map(|(name, link)| (name.parse().unwrap(), link)).into(),
            default_route: PerFamily { v4: Some(IfName::constant("eth0")), v6: None },
            tun: true,
            wireguard: false,
            rp_filter_all: Some(1),
            preferred_source: ips("172.18.0.2"),
            ipv6_forwarding: Some(0),
        },
        ways: BTreeMap::new(),
    }
}

/// The same cluster with both families.
fn dual_east() -> GatewayView {
    let mut view = east();
    view.local.networks = nets("10.1.0.0/16 100.1.0.0/16 fd01::/48 fd01:100::/112");
    view.local.pod_networks = nets("10.1.0.0/16 fd01::/48");
    view.local.private_ips = ips("172.18.0.2 fc00:18::a:2");
    view.facts.preferred_source = ips("172.18.0.2 fc00:18::a:2");
    let mut add = |link: &str, net: &str| {
        let link = view.facts.links.get_mut(&link.parse().unwrap()).unwrap();
        link.addresses.push(net.parse().unwrap());
    };
    add("eth0", "fc00:18::a:2/64");
    add("cni0", "fd01:0:0:1::1/64");
    view
}

/// The same cluster with IPv6 alone, on nodes that have IPv4 as well.
fn v6_east() -> GatewayView {
    let mut view = dual_east();
    view.local.networks = view.local.networks.of(Family::V6);
    view
}

fn dual_endpoint(cluster: &str, private: &str, subnets: &str) -> Endpoint {
    let private = ips(private);
    let (_, first) = private.iter().next().unwrap();
    let mut endpoint = endpoint(cluster, &first.to_string(), subnets);
    let firsts = endpoint.subnets.iter().filter_map(|net| net.hosts().nth(1));
    endpoint.health_check_ips = PerFamily::of(firsts);
    Endpoint { private_ips: private, ..endpoint }
}

fn endpoint(cluster: &str, private: &str, subnets: &str) -> Endpoint {
    let cable_name = format!("submariner-cable-{cluster}-{}", private.replace(['.', ':'], "-"));
    let subnets: Vec<IpNet> = subnets.split_whitespace().map(|net| net.parse().unwrap()).collect();
    let first = subnets.first().and_then(|net| net.hosts().next());
    Endpoint {
        object: format!("{cluster}-{cable_name}"),
        cluster: cluster.parse().unwrap(),
        cable_name: CableName(cable_name),
        hostname: HostName(format!("{cluster}-gateway")),
        subnets,
        private_ips: ips(private),
        public_ips: PerFamily::default(),
        health_check_ips: PerFamily::of(first),
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
    }
}

fn show(view: &GatewayView) -> String {
    let planned = plan(view);
    let Some(value) = planned.value else { return format!("nothing planned\n{}", said(&planned.problems)) };
    let mut out = value.node.to_string();
    for (id, tunnel) in &value.tunnels {
        let Tunnel { using_ip, using_nat, probe, .. } = tunnel;
        let probe = probe.map(|probe| (probe.to, probe.from));
        writeln!(out, "tunnel {} {} to {using_ip} nat {using_nat} probe {probe:?}", id.path, id.family)
            .unwrap();
    }
    out + &said(&planned.problems)
}

fn said(problems: &[Problem]) -> String {
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("{}: {problem}\n", problem.reason)).collect();
    lines.concat()
}

fn problems_of(endpoints: impl IntoIterator<Item = Endpoint>) -> String {
    let view = GatewayView { endpoints: endpoints.into_iter().collect(), ..east() };
    let planned = plan(&view);
    let clusters: Vec<String> =
        planned.value.unwrap_or_default().tunnels.keys().map(|id| id.cluster.to_string()).collect();
    format!("cables to {clusters:?}\n{}", said(&planned.problems))
}

#[test]
fn a_gateway_without_peers_has_its_end_ready() {
    assert_snapshot!(show(&east()), @r"
    link vxlan-tunnel vxlan id 1000 dstport 4500 nolearning mtu 1450 address 02:63:ac:12:00:02 up
    address 241.18.0.2/8 dev vxlan-tunnel
    sysctl net.ipv4.conf.vxlan-tunnel.rp_filter = 2
    sysctl net.ipv4.conf.vxlan-tunnel.forwarding = 1
    ");
}

#[test]
fn two_remote_clusters_have_an_entry_and_routes_each() {
    let north = Endpoint {
        udp_port: 4501,
        nat_enabled: true,
        public_ips: ips("100.64.0.7"),
        ..endpoint("north", "192.168.3.4", "10.3.0.0/16")
    };
    let endpoints = vec![endpoint("west", "172.18.0.3", "100.2.0.0/16 10.2.0.0/16"), north];
    assert_snapshot!(show(&GatewayView { endpoints, ..east() }), @r"
    link vxlan-tunnel vxlan id 1000 dstport 4500 nolearning mtu 1450 address 02:63:ac:12:00:02 up
    address 241.18.0.2/8 dev vxlan-tunnel
    sysctl net.ipv4.conf.vxlan-tunnel.rp_filter = 2
    sysctl net.ipv4.conf.vxlan-tunnel.forwarding = 1
    fdb 00:00:00:00:00:00 dev vxlan-tunnel dst 100.64.0.7 port 4501 self permanent
    fdb 00:00:00:00:00:00 dev vxlan-tunnel dst 172.18.0.3 self permanent
    route 10.2.0.0/16 via 241.18.0.3 dev vxlan-tunnel onlink table 101 src 10.1.0.1 metric 50
    route 10.3.0.0/16 via 241.168.3.4 dev vxlan-tunnel onlink table 101 src 10.1.0.1 metric 50
    route 100.2.0.0/16 via 241.18.0.3 dev vxlan-tunnel onlink table 101 src 10.1.0.1 metric 50
    tunnel submariner-cable-north-192-168-3-4 v4 to 100.64.0.7 nat true probe Some((10.3.0.1, Some(10.1.0.1)))
    tunnel submariner-cable-west-172-18-0-3 v4 to 172.18.0.3 nat false probe Some((100.2.0.1, Some(10.1.0.1)))
    ");
}

#[test]
fn a_gateway_inside_a_remote_network_is_reached_outside_the_cable() {
    let endpoints = vec![endpoint("west", "10.2.0.9", "10.2.0.0/16")];
    let all = show(&GatewayView { endpoints, ..east() });
    let rules: Vec<&str> = all.lines().filter(|line| line.starts_with("rule")).collect();
    assert_snapshot!(rules.join("\n"), @r"
    rule 99: from all to 10.2.0.9/32 iif lo lookup main
    ");
}

#[test]
fn a_gateway_that_says_it_is_at_an_address_of_another_cluster_takes_nothing_from_that() {
    let west = endpoint("west", "172.18.0.3", "10.2.0.0/16");
    let stray = endpoint("north", "10.2.0.1", "10.3.0.0/16");
    let value = plan(&GatewayView { endpoints: vec![west, stray], ..east() }).value.unwrap();
    assert_eq!(value.node.rules.len(), 0, "{}", value.node);
}

#[test]
fn what_nat_discovery_found_is_used_instead_of_what_the_endpoint_says() {
    let west = Endpoint { public_ips: ips("100.64.0.9"), ..endpoint("west", "172.18.0.3", "10.2.0.0/16") };
    let (cluster, path) = (west.cluster.clone(), west.cable_name.clone());
    let way = |family, address: &str| {
        let id = CableId { cluster: cluster.clone(), family, path: path.clone() };
        BTreeMap::from([(id, Way { address: address.parse().unwrap(), nat: true })])
    };
    let planned = |ways| {
        let plan = plan(&GatewayView { endpoints: vec![west.clone()], ways, ..east() }).value.unwrap();
        let tunnel = plan.tunnels.values().next().unwrap().clone();
        let sent_to: Vec<IpAddr> = plan.node.fdb.iter().map(|entry| entry.dst).collect();
        (tunnel.using_ip.to_string(), tunnel.using_nat, sent_to)
    };
    let there = |address: &str| vec![address.parse::<IpAddr>().unwrap()];
    assert_eq!(planned(way(Family::V4, "100.64.0.9")), ("100.64.0.9".to_owned(), true, there("100.64.0.9")));
    assert_eq!(
        planned(way(Family::V6, "2001:db8::9")),
        ("172.18.0.3".to_owned(), false, there("172.18.0.3")),
        "found in another family"
    );
    assert_eq!(
        planned(way(Family::V4, "100.64.0.8")),
        ("172.18.0.3".to_owned(), false, there("172.18.0.3")),
        "an address that the end had before"
    );
}

#[test]
fn nothing_leads_in_clear_to_an_address_of_the_internet_unless_somebody_wants_that() {
    let north = Endpoint {
        nat_enabled: true,
        public_ips: ips("203.0.113.7"),
        ..endpoint("north", "192.168.3.4", "10.3.0.0/16")
    };
    let view = |in_clear| {
        let local = Local { in_clear, ..east().local };
        GatewayView { local, endpoints: vec![north.clone()], ..east() }
    };
    let closed = plan(&view(InClear::Private));
    let words = said(&closed.problems);
    assert!(
        words.starts_with("PublicAddressInClear: Endpoint north-") && words.contains("203.0.113.7"),
        "{words}"
    );
    assert!(words.contains("set SUBMARINER_ALLOWCLEARTOPUBLIC=true"), "{words}");
    let closed = closed.value.unwrap();
    assert!(closed.node.fdb.is_empty() && closed.node.routes.is_empty(), "{}", closed.node);
    assert_eq!((closed.tunnels.len(), closed.refused.len()), (0, 1), "it shows among the connections");
    let open = plan(&view(InClear::Anywhere));
    assert_eq!(open.problems, []);
    assert_eq!(open.value.unwrap().node.fdb.len(), 1);
}

#[test]
fn an_end_of_a_driver_that_we_lack_is_told_and_shown() {
    let amnezia = Endpoint {
        backend: Backend::Other("amneziawg".to_owned()),
        ..endpoint("west", "172.18.0.3", "10.2.0.0/16")
    };
    let planned = plan(&GatewayView { endpoints: vec![amnezia], ..east() });
    let words = said(&planned.problems);
    assert!(words.starts_with("UnsupportedCableDriver: Endpoint west-"), "{words}");
    assert!(words.contains(r#""amneziawg", which this version does not have"#), "{words}");
    let refused: Vec<String> =
        planned.value.unwrap().refused.keys().map(|id| id.cluster.to_string()).collect();
    assert_eq!(refused, ["west"]);
}

#[test]
fn the_endpoint_of_the_highest_epoch_is_followed() {
    let old = Endpoint { created: 900, ..endpoint("west", "172.18.0.3", "10.2.0.0/16") };
    let new = Endpoint { epoch: Some(Epoch(2)), ..endpoint("west", "172.18.0.4", "10.2.0.0/16") };
    let go = Endpoint { epoch: None, created: 999, ..endpoint("west", "172.18.0.5", "10.2.0.0/16") };
    let planned = plan(&GatewayView { endpoints: vec![old, new, go], ..east() });
    let paths: Vec<String> = planned.value.unwrap().tunnels.keys().map(|id| id.path.to_string()).collect();
    assert_eq!(paths, ["submariner-cable-west-172-18-0-4"]);
}

#[test]
fn an_endpoint_with_overlapping_networks_is_reported_and_skipped() {
    let west = endpoint("west", "172.18.0.3", "10.2.0.0/16");
    let ours = endpoint("north", "172.18.0.4", "10.3.0.0/16 10.0.0.0/15");
    let theirs = Endpoint { created: 101, ..endpoint("a-late-one", "172.18.0.5", "10.2.3.0/24") };
    assert_snapshot!(problems_of([theirs, ours, west]), @r#"
    cables to ["west"]
    OverlappingCIDR: Endpoint a-late-one-submariner-cable-a-late-one-172-18-0-5 field spec.subnets: 10.2.3.0/24 overlaps 10.2.0.0/16 of cluster west; give one of the clusters other CIDRs, or join both with Globalnet
    OverlappingCIDR: Endpoint north-submariner-cable-north-172-18-0-4 field spec.subnets: 10.0.0.0/15 overlaps 10.1.0.0/16 of this cluster; give one of the clusters other CIDRs, or join both with Globalnet
    "#);
}

#[test]
fn a_cluster_cannot_take_the_gateways_own_network() {
    let endpoints = ["172.18.0.2/32", "172.18.0.128/25"].map(|net| endpoint("west", "172.19.0.3", net));
    for endpoint in endpoints {
        let planned = plan(&GatewayView { endpoints: vec![endpoint], ..east() });
        assert!(planned.value.unwrap().tunnels.is_empty());
        assert_eq!(planned.problems[0].reason, "OverlappingCIDR");
    }
}

#[test]
fn colliding_tunnel_addresses_leave_the_older_cable() {
    let first = endpoint("west", "172.18.0.3", "10.2.0.0/16");
    let second = Endpoint { created: 101, ..endpoint("north", "10.18.0.3", "10.3.0.0/16") };
    let with_us = endpoint("south", "10.18.0.2", "10.4.0.0/16");
    assert_snapshot!(problems_of([second, with_us, first]), @r#"
    cables to ["west"]
    TunnelAddressConflict: Endpoint north-submariner-cable-north-10-18-0-3 field spec.private_ip: 10.18.0.3 gives the tunnel address 241.18.0.3, which cluster west has; give the gateway nodes addresses that differ in their last three bytes, or use another cable driver
    TunnelAddressConflict: Endpoint south-submariner-cable-south-10-18-0-2 field spec.private_ip: 10.18.0.2 gives the tunnel address 241.18.0.2, which this gateway has; give the gateway nodes addresses that differ in their last three bytes, or use another cable driver
    "#);
}

#[test]
fn peers_with_another_driver_or_family_are_named() {
    let wireguard = Endpoint { backend: Backend::Wireguard, ..endpoint("west", "172.18.0.3", "10.2.0.0/16") };
    let v6 = endpoint("north", "fd00::3", "fd01::/64");
    let both = dual_endpoint("south", "172.18.0.5 fd00::5", "10.4.0.0/16 fd02::/64");
    assert_snapshot!(problems_of([wireguard, v6, both]), @r#"
    cables to ["south"]
    NoCommonFamily: Endpoint north-submariner-cable-north-fd00--3 field spec.subnets: cluster north has fd01::/64 and this cluster 10.1.0.0/16, 100.1.0.0/16, which have no address family in common; give both clusters networks of one family
    OtherCableDriver: Endpoint west-submariner-cable-west-172-18-0-3 field spec.backend: cluster west uses the cable driver "wireguard", this cluster "vxlan"; join both clusters with the same cable driver
    UncarriedFamily: Endpoint south-submariner-cable-south-172-18-0-5 field spec.subnets: this cluster has no IPv6 networks, so fd02::/64 of cluster south cannot be reached; use the IPv4 networks
    "#);
}

#[test]
fn a_cluster_of_both_families_has_a_tunnel_of_each() {
    let west = dual_endpoint("west", "172.18.0.3 fc00:18::b:3", "10.2.0.0/16 fd02::/48");
    assert_snapshot!(show(&GatewayView { endpoints: vec![west], ..dual_east() }), @r"
    link vxlan-tunnel vxlan id 1000 dstport 4500 nolearning mtu 1450 address 02:63:ac:12:00:02 up
    link vxlan-tunnel-6 vxlan id 1000 dstport 4500 nolearning local fc00:18::a:2 mtu 1430 address 02:66:00:0a:00:02 up
    address 241.18.0.2/8 dev vxlan-tunnel
    address fd00:100:200::a:2/96 dev vxlan-tunnel-6
    address fe80::66:ff:fe0a:2/64 dev vxlan-tunnel-6
    sysctl net.ipv6.conf.vxlan-tunnel-6.accept_ra = 0
    sysctl net.ipv4.conf.vxlan-tunnel.rp_filter = 2
    sysctl net.ipv4.conf.vxlan-tunnel.forwarding = 1
    sysctl net.ipv6.conf.vxlan-tunnel-6.forwarding = 1
    fdb 00:00:00:00:00:00 dev vxlan-tunnel dst 172.18.0.3 self permanent
    fdb 00:00:00:00:00:00 dev vxlan-tunnel-6 dst fc00:18::b:3 self permanent
    route 10.2.0.0/16 via 241.18.0.3 dev vxlan-tunnel onlink table 101 src 10.1.0.1 metric 50
    route fd02::/48 via fd00:100:200::b:3 dev vxlan-tunnel-6 onlink table 101 src fd01:0:0:1::1 metric 50
    tunnel submariner-cable-west-172-18-0-3 v4 to 172.18.0.3 nat false probe Some((10.2.0.2, Some(10.1.0.1)))
    tunnel submariner-cable-west-172-18-0-3 v6 to fc00:18::b:3 nat false probe Some((fd02::1, Some(fd01:0:0:1::1)))
    ");
}

#[test]
fn a_cluster_of_ipv6_alone_has_no_ipv4_cable_whatever_its_nodes_have() {
    let west = Endpoint { udp_port: 4501, ..endpoint("west", "fd02::9", "fd02::/48") };
    assert_snapshot!(show(&GatewayView { endpoints: vec![west], ..v6_east() }), @r"
    link vxlan-tunnel-6 vxlan id 1000 dstport 4500 nolearning local fc00:18::a:2 mtu 1430 address 02:66:00:0a:00:02 up
    address fd00:100:200::a:2/96 dev vxlan-tunnel-6
    address fe80::66:ff:fe0a:2/64 dev vxlan-tunnel-6
    sysctl net.ipv6.conf.vxlan-tunnel-6.accept_ra = 0
    sysctl net.ipv6.conf.vxlan-tunnel-6.forwarding = 1
    fdb 00:00:00:00:00:00 dev vxlan-tunnel-6 dst fd02::9 port 4501 self permanent
    rule 99: -6 from all to fd02::9/128 iif lo lookup main
    route fd02::/48 via fd00:100:200::9 dev vxlan-tunnel-6 onlink table 101 src fd01:0:0:1::1 metric 50
    tunnel submariner-cable-west-fd02--9 v6 to fd02::9 nat false probe Some((fd02::, Some(fd01:0:0:1::1)))
    ");
}

#[test]
fn clusters_of_different_families_carry_what_they_have_in_common_and_say_the_rest() {
    let four = endpoint("west", "172.18.0.3", "10.2.0.0/16");
    let six = endpoint("north", "fc00:18::b:4", "fd03::/48");
    let unaddressed = endpoint("south", "172.18.0.5", "10.4.0.0/16 fd04::/48");
    let endpoints = || vec![four.clone(), six.clone(), unaddressed.clone()];
    let said_in = |view: GatewayView| {
        let planned = plan(&GatewayView { endpoints: endpoints(), ..view });
        let tunnels = planned.value.unwrap_or_default().tunnels;
        let ids: Vec<String> = tunnels.keys().map(|id| format!("{} {}", id.cluster, id.family)).collect();
        format!("{ids:?}\n{}", said(&planned.problems))
    };
    assert_snapshot!(said_in(dual_east()), @r#"
    ["north v6", "south v4", "west v4"]
    MissingIP: Endpoint south-submariner-cable-south-172-18-0-5 field spec.privateIPs: it has no IPv6 address, so fd04::/48 cannot be reached; give that gateway node an IPv6 address
    UncarriedFamily: Endpoint north-submariner-cable-north-fc00-18--b-4 field spec.subnets: cluster north has no IPv4 networks, so it and 10.1.0.0/16, 100.1.0.0/16 of this cluster cannot reach each other; use the IPv6 networks
    UncarriedFamily: Endpoint west-submariner-cable-west-172-18-0-3 field spec.subnets: cluster west has no IPv6 networks, so it and fd01::/48, fd01:100::/112 of this cluster cannot reach each other; use the IPv4 networks
    "#);
    assert_snapshot!(said_in(v6_east()), @r#"
    ["north v6"]
    MissingIP: Endpoint south-submariner-cable-south-172-18-0-5 field spec.privateIPs: it has no IPv6 address, so fd04::/48 cannot be reached; give that gateway node an IPv6 address
    NoCommonFamily: Endpoint west-submariner-cable-west-172-18-0-3 field spec.subnets: cluster west has 10.2.0.0/16 and this cluster fd01::/48, fd01:100::/112, which have no address family in common; give both clusters networks of one family
    UncarriedFamily: Endpoint south-submariner-cable-south-172-18-0-5 field spec.subnets: this cluster has no IPv4 networks, so 10.4.0.0/16 of cluster south cannot be reached; use the IPv6 networks
    "#);
}

#[test]
fn a_family_without_an_uplink_is_named_and_the_other_works() {
    let west = dual_endpoint("west", "172.18.0.3 fc00:18::b:3", "10.2.0.0/16 fd02::/48");
    let mut view = GatewayView { endpoints: vec![west], ..dual_east() };
    view.local.private_ips.v6 = None;
    let planned = plan(&view);
    assert_eq!(planned.value.unwrap().tunnels.keys().map(|id| id.family).collect::<Vec<_>>(), [Family::V4]);
    assert_snapshot!(said(&planned.problems), @r"
    FamilyWithoutUplink: gateway node field default route: the node has no IPv6 address by a default route, so fd01::/48, fd01:100::/112 cannot be reached; give the node an IPv6 address and an IPv6 default route
    ");
}

#[test]
fn an_uplink_too_small_for_ipv6_is_named_and_tcp_passes() {
    let west = dual_endpoint("west", "172.18.0.3 fc00:18::b:3", "10.2.0.0/16 fd02::/48");
    let mut view = GatewayView { endpoints: vec![west], ..dual_east() };
    view.facts.links.get_mut(&IfName::constant("eth0")).unwrap().mtu = Some(Mtu(1280));
    let shown = show(&view);
    let lines: Vec<&str> =
        shown.lines().filter(|line| line.contains("mtu") || line.contains("MTU")).collect();
    assert_snapshot!(lines.join("\n"), @r"
    link vxlan-tunnel vxlan id 1000 dstport 4500 nolearning mtu 1230 address 02:63:ac:12:00:02 up
    link vxlan-tunnel-6 vxlan id 1000 dstport 4500 nolearning local fc00:18::a:2 mtu 1280 address 02:66:00:0a:00:02 up
    route fd02::/48 via fd00:100:200::b:3 dev vxlan-tunnel-6 onlink table 101 src fd01:0:0:1::1 metric 50 mtu 1210
    SmallUplinkMTU: gateway node field MTU of eth0: a vxlan cable over IPv6 has room for 1210 bytes here: TCP keeps to that, larger datagrams are lost; raise the MTU to 1350 at least, or use another cable driver
    ");
}

#[test]
fn an_address_of_this_host_is_nobody_elses_in_any_family() {
    let mut view = east();
    view.facts.preferred_source = ips("172.18.0.2 fc00:18::a:2");
    view.endpoints = vec![dual_endpoint("west", "172.18.0.3 fc00:9::3", "10.2.0.0/16 fc00:18::/32")];
    let planned = plan(&view);
    assert!(planned.value.unwrap().tunnels.is_empty());
    assert_eq!(planned.problems[0].reason, "OverlappingCIDR");
}

#[test]
fn what_is_missing_here_leaves_the_kernel_as_it_is() {
    let mut unknown = east();
    unknown.local.driver = Backend::from("carrier-pigeon");
    let mut offline = east();
    offline.local.private_ips = PerFamily::default();
    assert_snapshot!(show(&unknown) + &show(&offline), @r#"
    nothing planned
    UnknownCableDriver: Submariner field spec.cableDriver: this version has no cable driver "carrier-pigeon"; set one of: vxlan, wireguard, libreswan
    nothing planned
    NoUplinkAddress: gateway node field default route: the node has no default route with a source address of a family that this cluster has networks of, so peers could not reach it; give the node an address and a default route; the gateway goes on by itself
    "#);
}

#[test]
fn a_probe_address_outside_the_networks_is_not_probed() {
    let stray =
        Endpoint { health_check_ips: ips("8.8.8.8"), ..endpoint("west", "172.18.0.3", "10.2.0.0/16") };
    let planned = plan(&GatewayView { endpoints: vec![stray], ..east() });
    assert!(planned.value.unwrap().tunnels.values().all(|tunnel| tunnel.probe.is_none()));
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    let cluster = prop::sample::select(vec!["west", "north", "south", "east"]);
    (cluster, 1_u8..6, 0_u8..6, 0_u8..3, 0_i64..3, prop::option::of(0_u64..3), 0_u8..4).prop_map(
        |(cluster, host, net, width, created, epoch, families)| {
            let (four, six) =
                (format!("10.{net}.0.0/{}", 14 + width * 2), format!("fd0{net}::/{}", 16 + width * 8));
            let (private, private6) = (format!("172.{width}.0.{host}"), format!("fc00:{width}::{host}"));
            let (addresses, subnets) = match families {
                0 => (private6.clone(), six),
                1 => (format!("{private} {private6}"), format!("{four} {six}")),
                2 => (private.clone(), format!("{four} {six}")),
                _ => (private.clone(), four),
            };
            let uid = Some(ClusterUid(format!("uid-{}", host % 2)));
            let epoch = epoch.map(Epoch);
            Endpoint { created, epoch, cluster_uid: uid, ..dual_endpoint(cluster, &addresses, &subnets) }
        },
    )
}

fn any_view() -> impl Strategy<Value = GatewayView> {
    prop::sample::select(vec![east(), dual_east(), v6_east()])
}

proptest! {
    #[test]
    fn the_order_of_endpoints_does_not_matter(
        endpoints in prop::collection::vec(any_endpoint(), 0..8).prop_shuffle(),
        view in any_view(),
        seed in any::<prop::sample::Index>(),
    ) {
        let mut turned = endpoints.clone();
        if !turned.is_empty() {
            turned.rotate_left(seed.index(endpoints.len()));
            turned.reverse();
        }
        let distinct: BTreeSet<String> = endpoints.iter().map(|one| one.object.clone()).collect();
        prop_assume!(distinct.len() == endpoints.len());
        let one = plan(&GatewayView { endpoints, ..view.clone() });
        let other = plan(&GatewayView { endpoints: turned, ..view });
        prop_assert_eq!(one, other);
    }

    #[test]
    fn the_plan_stays_within_the_scope_and_never_takes_our_own_networks(
        endpoints in prop::collection::vec(any_endpoint(), 0..8),
        view in any_view(),
    ) {
        let view = GatewayView { endpoints, ..view };
        let value = plan(&view).value.unwrap();
        let scope = subm_plan::Scope::gateway();
        prop_assert!(value.node.links.keys().all(|name| scope.links.contains(name)));
        prop_assert!(value.node.routes.keys().all(|key| key.table == TABLE_REMOTE));
        prop_assert!(value.node.table.is_none());
        for key in value.node.routes.keys() {
            prop_assert_eq!(view.local.networks.overlap(&key.dst), None);
        }
        for (id, tunnel) in &value.tunnels {
            let of_family = |net: IpNet| Family::of_net(&net) == id.family;
            prop_assert!(tunnel.networks.iter().all(of_family) && Family::of(tunnel.using_ip) == id.family);
            prop_assert!(tunnel.probe.is_none_or(|probe| Family::of(probe.to) == id.family));
        }
        let sets: Vec<CidrSet> = value.tunnels.values().map(|tunnel| tunnel.networks.clone()).collect();
        for (index, set) in sets.iter().enumerate() {
            prop_assert!(sets.iter().skip(index + 1).all(|other| set.overlap_with(other).is_none()));
        }
    }
}
