//! Plans of the WireGuard cable, printed as iproute2 and wg print them.

use std::fmt::Write as _;
use std::time::Duration;

use insta::assert_snapshot;
use ipnet::IpNet;
use subm_plan::{HostFacts, LinkFacts};
use subm_types::{CableName, ClusterUid, Epoch, HostName, PerFamily};

use super::*;
use crate::{driver, plan};

fn nets(text: &str) -> CidrSet {
    text.split_whitespace().map(|net| net.parse::<IpNet>().unwrap()).collect()
}

fn ips(text: &str) -> PerFamily<IpAddr> {
    PerFamily::of(text.split_whitespace().map(|address| address.parse().unwrap()))
}

fn key(byte: u8) -> PublicKey {
    PublicKey([byte; 32])
}

fn link(index: u32, mtu: u32, addresses: &str) -> LinkFacts {
    let addresses = addresses.split_whitespace().map(|net| net.parse().unwrap()).collect();
    LinkFacts { index, mtu: Some(Mtu(mtu)), up: true, addresses, ..LinkFacts::default() }
}

/// A gateway with these addresses outside, these of pods and these networks.
fn gateway(uplink: &str, cni: &str, networks: &str) -> GatewayView {
    let keys = WireguardKeys {
        private: PrivateKey::new([100; 32]),
        public: key(100),
        preshared: PresharedKey::new([9; 32]),
    };
    let links = [("eth0", link(2, 1500, uplink)), ("cni0", link(3, 1500, cni))];
    let private_ips: Vec<IpAddr> =
        uplink.split_whitespace().map(|net| net.parse::<IpNet>().unwrap().addr()).collect();
    GatewayView {
        local: Local {
            cluster: "east".parse().unwrap(),
            uid: Some(ClusterUid("uid-east".to_owned())),
            networks: nets(networks),
            pod_networks: nets(networks),
            private_ips: PerFamily::of(private_ips),
            driver: Backend::Wireguard,
            udp_port: 4500,
            wireguard: Some(keys),
            ipsec: None,
            in_clear: crate::InClear::Private,
            wireguard_carrier: crate::WireguardCarrier::Best,
        },
        endpoints: Vec::new(),
        claims: BTreeMap::new(),
        facts: HostFacts {
            links: links.map(|(name, link)| (name.parse().unwrap(), link)).into(),
            tun: true,
            ..HostFacts::default()
        },
        ways: BTreeMap::new(),
    }
}

fn east() -> GatewayView {
    gateway("172.18.0.2/16", "10.1.0.1/24", "10.1.0.0/16 100.1.0.0/16")
}

fn endpoint(cluster: &str, private: &str, subnets: &str, public_key: Option<PublicKey>) -> Endpoint {
    let cable_name = format!("submariner-cable-{cluster}");
    let subnets: Vec<IpNet> = subnets.split_whitespace().map(|net| net.parse().unwrap()).collect();
    Endpoint {
        object: format!("{cluster}-{cable_name}"),
        cluster: cluster.parse().unwrap(),
        cable_name: CableName(cable_name),
        hostname: HostName(format!("{cluster}-gateway")),
        health_check_ips: PerFamily::of(subnets.iter().filter_map(|net| net.hosts().nth(1))),
        subnets,
        private_ips: ips(private),
        public_ips: PerFamily::default(),
        nat_enabled: false,
        backend: Backend::Wireguard,
        udp_port: 4500,
        nat_discovery_port: None,
        interface_name: Some(link_name()),
        public_key,
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
        writeln!(out, "tunnel {} {} to {using_ip} nat {using_nat} probe {probe:?}", id.cluster, id.family)
            .unwrap();
    }
    out + &said(&planned.problems)
}

fn said(problems: &[Problem]) -> String {
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("{}: {problem}\n", problem.reason)).collect();
    lines.concat()
}

#[test]
fn two_remote_clusters_are_peers_with_routes_into_the_device() {
    let north = Endpoint {
        udp_port: 4501,
        nat_enabled: true,
        public_ips: ips("203.0.113.7"),
        ..endpoint("north", "192.168.3.4", "10.3.0.0/16", Some(key(3)))
    };
    let west = endpoint("west", "172.18.0.3", "100.2.0.0/16 10.2.0.0/16", Some(key(2)));
    assert_snapshot!(show(&GatewayView { endpoints: vec![west, north], ..east() }), @r"
    link submariner tun vnet_hdr persist mtu 1420 up
    sysctl net.ipv4.conf.submariner.rp_filter = 2
    sysctl net.ipv4.conf.submariner.forwarding = 1
    wireguard submariner listen-port 4500
    peer AgICAgIC endpoint 172.18.0.3:4500 allowed 10.2.0.0/16, 100.2.0.0/16 preshared keepalive 10
    peer AwMDAwMD endpoint 203.0.113.7:4501 allowed 10.3.0.0/16 preshared keepalive 10
    route 10.2.0.0/16 dev submariner table 101 src 10.1.0.1 metric 50
    route 10.3.0.0/16 dev submariner table 101 src 10.1.0.1 metric 50
    route 100.2.0.0/16 dev submariner table 101 src 10.1.0.1 metric 50
    tunnel north v4 to 203.0.113.7 nat true probe Some((10.3.0.2, Some(10.1.0.1)))
    tunnel west v4 to 172.18.0.3 nat false probe Some((100.2.0.2, Some(10.1.0.1)))
    ");
}

#[test]
fn both_families_go_inside_one_peer_whatever_is_outside_and_each_is_probed() {
    let both = "172.18.0.2/16 fd18::2/64";
    let view = |uplink| gateway(uplink, "10.1.0.1/24 fd01::1/64", "10.1.0.0/16 fd01::/48");
    let west = |private| vec![endpoint("west", private, "10.2.0.0/16 fd02::/48", Some(key(2)))];
    assert_snapshot!(show(&GatewayView { endpoints: west("fd19::3"), ..view(both) }), @r"
    link submariner tun vnet_hdr persist mtu 1420 up
    sysctl net.ipv4.conf.submariner.rp_filter = 2
    sysctl net.ipv4.conf.submariner.forwarding = 1
    sysctl net.ipv6.conf.submariner.forwarding = 1
    sysctl net.ipv6.conf.submariner.addr_gen_mode = 1
    wireguard submariner listen-port 4500
    peer AgICAgIC endpoint [fd19::3]:4500 allowed 10.2.0.0/16, fd02::/48 preshared keepalive 10
    route 10.2.0.0/16 dev submariner table 101 src 10.1.0.1 metric 50
    route fd02::/48 dev submariner table 101 src fd01::1 metric 50
    tunnel west v4 to fd19::3 nat false probe Some((10.2.0.2, Some(10.1.0.1)))
    tunnel west v6 to fd19::3 nat false probe Some((fd02::1, Some(fd01::1)))
    ");
    for (uplink, private, outer) in [
        (both, "172.18.0.3 fd18::3", "172.18.0.3"),
        (both, "172.18.0.3", "172.18.0.3"),
        ("fd18::2/64", "172.18.0.3 fd18::3", "fd18::3"),
    ] {
        let planned = plan(&GatewayView { endpoints: west(private), ..view(uplink) });
        let used: Vec<String> =
            planned.value.unwrap().tunnels.values().map(|tunnel| tunnel.using_ip.to_string()).collect();
        assert_eq!(used, [outer; 2]);
    }
    assert!(
        show(&GatewayView { endpoints: west("172.18.0.3"), ..view("fd18::2/64") }).contains(
            "NoCommonFamily: Endpoint west-submariner-cable-west field spec.privateIPs: it has no address of a family in which this gateway node has one; give both"
        )
    );
}

#[test]
fn only_families_that_both_clusters_have_go_inside_and_the_rest_is_told() {
    let both = "10.1.0.0/16 fd01::/48";
    let east = gateway("172.18.0.2/16 fd18::2/64", "10.1.0.1/24 fd01::1/64", both);
    let endpoints = vec![
        endpoint("north", "172.18.0.4", "fd03::/48", Some(key(3))),
        endpoint("west", "172.18.0.3 fd18::3", "10.2.0.0/16", Some(key(2))),
    ];
    let of_both = show(&GatewayView { endpoints, ..east });
    let told: Vec<&str> = of_both
        .lines()
        .filter(|line| ["peer", "tunnel", "Uncarried"].iter().any(|start| line.starts_with(start)))
        .collect();
    assert_snapshot!(told.join("\n"), @r"
    peer AgICAgIC endpoint 172.18.0.3:4500 allowed 10.2.0.0/16 preshared keepalive 10
    peer AwMDAwMD endpoint 172.18.0.4:4500 allowed fd03::/48 preshared keepalive 10
    tunnel north v6 to 172.18.0.4 nat false probe Some((fd03::1, Some(fd01::1)))
    tunnel west v4 to 172.18.0.3 nat false probe Some((10.2.0.2, Some(10.1.0.1)))
    UncarriedFamily: Endpoint north-submariner-cable-north field spec.subnets: cluster north has no IPv4 networks, so it and 10.1.0.0/16 of this cluster cannot reach each other; use the IPv6 networks
    UncarriedFamily: Endpoint west-submariner-cable-west field spec.subnets: cluster west has no IPv6 networks, so it and fd01::/48 of this cluster cannot reach each other; use the IPv4 networks
    ");
    let only = gateway("172.18.0.2/16", "10.1.0.1/24", "10.1.0.0/16");
    let endpoints = vec![endpoint("north", "172.18.0.4", "fd03::/48", Some(key(3)))];
    let nothing = show(&GatewayView { endpoints, ..only });
    assert!(nothing.contains("NoCommonFamily: Endpoint north-submariner-cable-north"), "{nothing}");
    assert!(!nothing.contains("peer "), "{nothing}");
}

#[test]
fn the_device_is_as_large_as_the_smallest_uplink_lets_it_be() {
    let mtu = |uplink: u32, networks| {
        let mut view = gateway("172.18.0.2/16", "10.1.0.1/24", networks);
        view.facts.links.get_mut(&IfName::constant("eth0")).unwrap().mtu = Some(Mtu(uplink));
        plan(&view).value.unwrap().node.links[&link_name()].mtu.unwrap().0
    };
    assert_eq!([1280, 1500, 9000].map(|uplink| mtu(uplink, "10.1.0.0/16")), [1200, 1420, 8920]);
    assert_eq!([1280, 1500].map(|uplink| mtu(uplink, "10.1.0.0/16 fd01::/48")), [1280, 1420]);
}

#[test]
fn without_tun_devices_there_is_a_pair() {
    let mut view = east();
    view.facts.tun = false;
    let all = show(&view);
    assert_eq!(all.lines().next(), Some("link submariner veth peer name submariner-wg noarp mtu 1420 up"));
}

#[test]
fn a_gateway_inside_a_remote_network_is_reached_outside_the_cable() {
    let endpoints = vec![endpoint("west", "10.2.0.9", "10.2.0.0/16", Some(key(2)))];
    let all = show(&GatewayView { endpoints, ..east() });
    let rules: Vec<&str> = all.lines().filter(|line| line.starts_with("rule")).collect();
    assert_eq!(rules, ["rule 99: from all to 10.2.0.9/32 iif lo lookup main"]);
}

#[test]
fn keys_that_are_missing_ours_or_anothers_are_named_and_skipped() {
    let endpoints = vec![
        endpoint("west", "172.18.0.3", "10.2.0.0/16", Some(key(2))),
        Endpoint { created: 101, ..endpoint("copycat", "172.18.0.4", "10.3.0.0/16", Some(key(2))) },
        endpoint("mirror", "172.18.0.5", "10.4.0.0/16", Some(key(100))),
        endpoint("silent", "172.18.0.6", "10.5.0.0/16", None),
        Endpoint { backend: Backend::Vxlan, ..endpoint("clear", "172.18.0.7", "10.6.0.0/16", None) },
    ];
    let planned = plan(&GatewayView { endpoints, ..east() });
    let value = planned.value.unwrap();
    let peers: Vec<PublicKey> = value.node.wireguard[&link_name()].peers.keys().copied().collect();
    assert_eq!(peers, [key(2)]);
    assert_snapshot!(said(&planned.problems), @r#"
    DuplicatePublicKey: Endpoint copycat-submariner-cable-copycat field spec.backend_config.publicKey: AgICAgIC is the key of cluster west; delete the Secret with the key of one of the gateways and restart it, so that it makes a new one
    DuplicatePublicKey: Endpoint mirror-submariner-cable-mirror field spec.backend_config.publicKey: ZGRkZGRk is the key of this gateway; delete the Secret with the key of one of the gateways and restart it, so that it makes a new one
    MissingPublicKey: Endpoint silent-submariner-cable-silent field spec.backend_config.publicKey: a wireguard cable needs the public key of the other end, and there is none; restart that cluster's gateway, which publishes it
    OtherCableDriver: Endpoint clear-submariner-cable-clear field spec.backend: cluster clear uses the cable driver "vxlan", this cluster "wireguard"; join both clusters with the same cable driver
    "#);
}

#[test]
fn without_keys_nothing_is_planned_and_what_stands_stays() {
    let mut view = east();
    view.local.wireguard = None;
    assert_snapshot!(show(&view), @r"
    nothing planned
    NoWireguardKey: gateway node field wireguard: the key of this gateway or the preshared key is not known yet; see the condition WireguardKeyReady; the gateway goes on by itself
    ");
}

#[test]
fn peers_learn_port_key_and_link_and_nothing_else() {
    let published: Vec<String> = WireguardCable
        .advertise(&east().local)
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let public = format!("publicKey={}", key(100));
    assert_eq!(published, ["interface-name=submariner", public.as_str(), "udp-port=4500"]);
}

#[test]
fn probes_decide_and_without_them_handshakes_do() {
    let planned = plan(&GatewayView {
        endpoints: vec![endpoint("west", "172.18.0.3", "10.2.0.0/16", Some(key(2)))],
        ..east()
    });
    let value = planned.value.unwrap();
    let tunnel = value.tunnels.values().next().unwrap();
    let cable = driver(&Backend::Wireguard).unwrap();
    let say = |probed, handshake: Option<u64>| {
        let handshake = handshake.map(Duration::from_secs);
        let evidence = PeerEvidence { handshake, received: 1, sent: 1, endpoint: None };
        let Status { state, message } = cable.status(tunnel, probed, Some(evidence));
        format!("{state:?} {message}")
    };
    assert_eq!(say(Probed::Answered, None), "Connected ");
    let silent = Probed::Silent {
        address: IpAddr::from([10, 2, 0, 1]),
        span: Duration::from_secs(1),
        allowed: Duration::from_secs(6),
    };
    assert!(say(silent, Some(3)).starts_with("Error no answer"));
    assert_eq!(say(Probed::No(Unprobed::SwitchedOff), None), "Connecting not probed; no handshake yet");
    assert_eq!(
        say(Probed::No(Unprobed::SwitchedOff), Some(3)),
        "Connected not probed; last handshake 3 s ago"
    );
    assert_eq!(say(Probed::No(Unprobed::SwitchedOff), Some(181)), "Error not probed; no handshake for 181 s");
    assert_eq!(
        cable.status(tunnel, Probed::No(Unprobed::SwitchedOff), None),
        unprobed(Unprobed::SwitchedOff)
    );
}
