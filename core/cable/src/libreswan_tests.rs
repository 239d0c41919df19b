use std::fmt::Write as _;

use insta::assert_snapshot;
use subm_plan::ipsec::PairEvidence;
use subm_plan::{HostFacts, LinkFacts};
use subm_types::{CidrSet, ClusterUid, Epoch, HostName, Mtu, PerFamily};

use super::*;
use crate::plan;

fn nets(text: &str) -> Vec<IpNet> {
    text.split_whitespace().map(|net| net.parse().unwrap()).collect()
}

fn ips(text: &str) -> PerFamily<IpAddr> {
    PerFamily::of(text.split_whitespace().map(|address| address.parse().unwrap()))
}

fn link(index: u32, addresses: &str) -> LinkFacts {
    LinkFacts { index, mtu: Some(Mtu(1500)), up: true, addresses: nets(addresses), ..LinkFacts::default() }
}

fn gateway(subnets: &str, private: &str) -> GatewayView {
    let (subnets, private_ips) = (nets(subnets), ips(private));
    let uplink: Vec<String> = private_ips.iter().map(|(_, address)| format!("{address}/24")).collect();
    let links = [("eth0", link(2, &uplink.join(" "))), ("cni0", link(3, "10.1.0.1/24 fd01::1/64"))];
    GatewayView {
        local: Local {
            cluster: "east".parse().unwrap(),
            uid: Some(ClusterUid("uid-east".to_owned())),
            networks: subnets.iter().copied().collect(),
            pod_networks: nets("10.1.0.0/16 fd01::/48").into_iter().collect(),
            private_ips,
            driver: Backend::Libreswan,
            udp_port: 4500,
            wireguard: None,
            wireguard_carrier: crate::WireguardCarrier::Best,
            ipsec: Some(IpsecLocal {
                cable_name: CableName("submariner-cable-east-172-18-0-2".to_owned()),
                subnets,
                proof: IpsecProof::Secret(IkeSecret::new(b"secret".to_vec())),
                encapsulated: false,
                prefers_server: false,
                server_since: None,
            }),
            in_clear: crate::InClear::Private,
        },
        endpoints: Vec::new(),
        claims: BTreeMap::new(),
        facts: HostFacts {
            links: links.map(|(name, link)| (name.parse().unwrap(), link)).into(),
            preferred_source: private_ips,
            ipv6_forwarding: Some(0),
            ..HostFacts::default()
        },
        ways: BTreeMap::new(),
    }
}

fn east() -> GatewayView {
    gateway("100.1.0.0/16 10.1.0.0/16", "172.18.0.2")
}

fn west() -> Endpoint {
    let subnets = nets("100.2.0.0/16 10.2.0.0/16");
    Endpoint {
        object: "west-submariner-cable-west-172-18-0-3".to_owned(),
        cluster: "west".parse().unwrap(),
        cable_name: CableName("submariner-cable-west-172-18-0-3".to_owned()),
        hostname: HostName("west-gateway".to_owned()),
        health_check_ips: ips("10.2.0.1"),
        subnets,
        private_ips: ips("172.18.0.3"),
        public_ips: PerFamily::default(),
        nat_enabled: false,
        backend: Backend::Libreswan,
        udp_port: 4500,
        nat_discovery_port: None,
        interface_name: None,
        public_key: None,
        preferred_server: Some(false),
        cluster_uid: Some(ClusterUid("uid-west".to_owned())),
        epoch: Some(Epoch(1)),
        created: 100,
    }
}

fn show(view: &GatewayView) -> String {
    let planned = plan(view);
    let mut out = planned
        .value
        .map_or_else(|| "nothing planned\n".to_owned(), |value| format!("{}{}", value.node, value.ipsec));
    for problem in &planned.problems {
        writeln!(out, "{}: {problem}", problem.reason).unwrap();
    }
    out
}

fn ike(view: &GatewayView) -> String {
    show(view).lines().filter(|line| line.starts_with("ike submariner")).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_pair_of_subnets_is_a_connection_and_routes_lead_into_the_link() {
    let view = GatewayView { endpoints: vec![west()], ..east() };
    assert_snapshot!(show(&view), @r"
    link ipsec83 xfrm if_id 83 mtu 1415 up
    sysctl net.ipv4.conf.ipsec83.rp_filter = 2
    sysctl net.ipv4.conf.ipsec83.forwarding = 1
    route 10.2.0.0/16 dev ipsec83 table 101 src 10.1.0.1 metric 50
    route 100.2.0.0/16 dev ipsec83 table 101 src 10.1.0.1 metric 50
    ike secret (hidden)
    ike submariner-cable-west-172-18-0-3-v4-0-0 peer psk if_id 83 host 172.18.0.2 port 4500 id 172.18.0.2 net 100.1.0.0/16 to host 172.18.0.3 port 4500 id 172.18.0.3 net 100.2.0.0/16
    ike submariner-cable-west-172-18-0-3-v4-0-1 peer psk if_id 83 host 172.18.0.2 port 4500 id 172.18.0.2 net 100.1.0.0/16 to host 172.18.0.3 port 4500 id 172.18.0.3 net 10.2.0.0/16
    ike submariner-cable-west-172-18-0-3-v4-1-0 peer psk if_id 83 host 172.18.0.2 port 4500 id 172.18.0.2 net 10.1.0.0/16 to host 172.18.0.3 port 4500 id 172.18.0.3 net 100.2.0.0/16
    ike submariner-cable-west-172-18-0-3-v4-1-1 peer psk if_id 83 host 172.18.0.2 port 4500 id 172.18.0.2 net 10.1.0.0/16 to host 172.18.0.3 port 4500 id 172.18.0.3 net 10.2.0.0/16
    ");
}

#[test]
fn behind_nat_ends_keep_their_names_and_wrap_what_they_send() {
    let north = Endpoint {
        nat_enabled: true,
        public_ips: ips("203.0.113.7"),
        udp_port: 4501,
        subnets: nets("10.2.0.0/16"),
        ..west()
    };
    let view = GatewayView { endpoints: vec![north], ..gateway("10.1.0.0/16", "172.18.0.2") };
    assert_snapshot!(ike(&view), @r"
    ike submariner-cable-west-172-18-0-3-v4-0-0 peer psk if_id 83 host 172.18.0.2 port 4500 id 172.18.0.2 net 10.1.0.0/16 to host 203.0.113.7 port 4501 id 172.18.0.3 net 10.2.0.0/16 encapsulated
    ");
}

#[test]
fn who_prefers_to_be_called_is() {
    let role = |ours: bool, theirs: Option<bool>| {
        let west = Endpoint { preferred_server: theirs, subnets: nets("10.2.0.0/16"), ..west() };
        let mut view = GatewayView { endpoints: vec![west], ..east() };
        view.local.ipsec.as_mut().unwrap().prefers_server = ours;
        ike(&view)
    };
    assert_eq!(role(true, None), role(false, None));
    assert_snapshot!(role(true, Some(false)), @r"
    ike submariner-cable-west-172-18-0-3-v4-0-0 server psk if_id 83 host 172.18.0.2 port 4500 id @172.18.0.2-0-0 net 100.1.0.0/16 to host %any id @172.18.0.3-0-0 net 10.2.0.0/16
    ike submariner-cable-west-172-18-0-3-v4-1-0 server psk if_id 83 host 172.18.0.2 port 4500 id @172.18.0.2-1-0 net 10.1.0.0/16 to host %any id @172.18.0.3-0-1 net 10.2.0.0/16
    ");
    assert_snapshot!(role(false, Some(true)), @r"
    ike submariner-cable-west-172-18-0-3-v4-0-0 client psk if_id 83 host 172.18.0.2 id @172.18.0.2-0-0 net 100.1.0.0/16 to host 172.18.0.3 port 4500 id @172.18.0.3-0-0 net 10.2.0.0/16
    ike submariner-cable-west-172-18-0-3-v4-1-0 client psk if_id 83 host 172.18.0.2 id @172.18.0.2-1-0 net 10.1.0.0/16 to host 172.18.0.3 port 4500 id @172.18.0.3-0-1 net 10.2.0.0/16
    ");
    // Of two the one with the greater name is the server, and "west" is greater than "east".
    assert_eq!(role(true, Some(true)), role(false, Some(true)));
}

#[test]
fn both_families_have_connections_of_their_own() {
    let west = Endpoint {
        subnets: nets("10.2.0.0/16 fd02::/48"),
        private_ips: ips("172.18.0.3 fc00:18::3"),
        ..west()
    };
    let view =
        GatewayView { endpoints: vec![west], ..gateway("10.1.0.0/16 fd01::/48", "172.18.0.2 fc00:18::2") };
    assert_snapshot!(ike(&view), @r"
    ike submariner-cable-west-172-18-0-3-v4-0-0 peer psk if_id 83 host 172.18.0.2 port 4500 id 172.18.0.2 net 10.1.0.0/16 to host 172.18.0.3 port 4500 id 172.18.0.3 net 10.2.0.0/16
    ike submariner-cable-west-172-18-0-3-v6-0-0 peer psk if_id 83 host fc00:18::2 port 4500 id fc00:18::2 net fd01::/48 to host fc00:18::3 port 4500 id fc00:18::3 net fd02::/48
    ");
}

#[test]
fn what_a_remote_publishes_is_refused_before_it_reaches_the_daemon() {
    let many = (0..40).map(|number| format!("10.2.{number}.0/24").parse().unwrap()).collect();
    let view = GatewayView { endpoints: vec![Endpoint { subnets: many, ..west() }], ..east() };
    assert!(show(&view).contains("TooManySubnets"), "{}", show(&view));
    let of_others =
        ["submariner-cable-north-172-18-0-3", "submariner-cable-west", "submariner-cable-west2-1"];
    let unreadable = ["--shutdown", "a\" b", "x;y", "\nconn z", "", "submariner-cable-west-\nconn z"];
    for bad in unreadable.into_iter().chain(of_others) {
        let west = Endpoint { cable_name: CableName(bad.to_owned()), ..west() };
        let view = GatewayView { endpoints: vec![west], ..east() };
        assert!(show(&view).contains("InvalidCableName") && ike(&view).is_empty(), "{bad:?}");
    }
    let secretless = GatewayView { local: Local { ipsec: None, ..east().local }, ..east() };
    assert!(show(&secretless).starts_with("nothing planned\nNoIpsecSecret"), "{}", show(&secretless));
}

#[test]
fn no_member_takes_the_connections_of_another() {
    let name = CableName("submariner-cable-west-1-172-18-0-4".to_owned());
    let first = Endpoint {
        object: "west-1-submariner-cable-west-1-172-18-0-4".to_owned(),
        cluster: "west-1".parse().unwrap(),
        cable_name: name.clone(),
        private_ips: ips("172.18.0.4"),
        health_check_ips: ips("10.4.0.1"),
        subnets: nets("10.4.0.0/16"),
        cluster_uid: Some(ClusterUid("uid-west-1".to_owned())),
        ..west()
    };
    // Also cluster "west" may begin so.
    let second = Endpoint { cable_name: name, subnets: nets("10.2.0.0/16"), created: 200, ..west() };
    let view = GatewayView { endpoints: vec![second, first.clone()], ..east() };
    assert_eq!(ike(&view), ike(&GatewayView { endpoints: vec![first], ..east() }));
    let planned = plan(&view);
    let reasons: Vec<_> = planned.problems.iter().map(|one| (one.reason, one.object.as_str())).collect();
    assert_eq!(reasons, [("InvalidCableName", "Endpoint west-submariner-cable-west-172-18-0-3")]);
    let value = planned.value.unwrap();
    let clusters = |ids: Vec<&CableId>| ids.iter().map(|id| id.cluster.to_string()).collect::<Vec<_>>();
    assert_eq!(clusters(value.tunnels.keys().collect()), ["west-1"]);
    assert_eq!(clusters(value.refused.keys().collect()), ["west"]);
    assert!(!value.node.routes.keys().any(|key| key.dst == nets("10.2.0.0/16")[0]), "{}", value.node);
}

#[test]
fn what_is_published_is_what_go_members_read() {
    let mut local = east().local;
    let said = |local: &Local| format!("{:?}", LibreswanCable.advertise(local));
    assert_eq!(said(&local), r#"{"preferred-server": "false", "udp-port": "4500"}"#);
    let ipsec = local.ipsec.as_mut().unwrap();
    (ipsec.prefers_server, ipsec.server_since) = (true, Some(1_700_000_000));
    let expected =
        r#"{"preferred-server": "true", "preferred-server-timestamp": "1700000000", "udp-port": "4500"}"#;
    assert_eq!(said(&local), expected);
}

#[test]
fn connected_is_said_only_when_every_pair_is_up() {
    let planned = plan(&GatewayView { endpoints: vec![west()], ..east() }).value.unwrap();
    let tunnel = planned.tunnels.values().next().unwrap();
    let evidence = |down: &[usize]| -> IpsecEvidence {
        let pair = |(place, pair): (usize, &TunnelPair)| {
            let up = !down.contains(&place);
            (pair.name.as_str().to_owned(), PairEvidence { up, ..PairEvidence::default() })
        };
        tunnel.pairs.iter().enumerate().map(pair).collect()
    };
    let say = |probed: Probed, down: &[usize]| {
        let status =
            LibreswanCable.refine(LibreswanCable.status(tunnel, probed, None), tunnel, &evidence(down));
        format!("{:?} {}", status.state, status.message)
    };
    assert_eq!(tunnel.pairs.len(), 4);
    assert_eq!(say(Probed::Answered, &[]), "Connected ");
    let one = "Connecting no security association for 1 of 4: 10.1.0.0/16 to 100.2.0.0/16";
    assert_eq!(say(Probed::Answered, &[2]), one);
    assert_eq!(say(Probed::No(crate::Unprobed::SwitchedOff), &[2]), one);
    assert_eq!(
        say(Probed::No(crate::Unprobed::SwitchedOff), &[]),
        "Connected not probed; all 4 pairs of security associations are up"
    );
    let networks: CidrSet = tunnel.networks.clone();
    assert!(networks.contains("10.2.0.1".parse().unwrap()));
}
