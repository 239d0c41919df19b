use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use subm_types::{CidrSet, Family, IfName, MacAddress, Mtu, PresharedKey, PrivateKey, PublicKey};

use super::*;
use crate::nft::{AddressTest, At, Chain, ChainName, Hook, HookType, Policy, Set, SetName, Side};
use crate::nft::{Match, Rule as NftRule, Verdict, priority};
use crate::{Flow, Route, RouteKey, Rule, RuleSelector, Scope, SysctlKey, TableId, Vxlan, WireguardPeer};

fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn vxlan(vni: u32) -> Link {
    let kind = Vxlan { vni, port: 4800, local: Some(ip("10.0.0.1")), dev: None };
    Link { kind: LinkKind::Vxlan(kind), mtu: Some(Mtu(1450)), mac: Some(MacAddress([2, 0, 0, 0, 0, 1])) }
}

fn table(remote: &[&str]) -> Table {
    let networks: CidrSet = remote.iter().map(|text| net(text)).collect();
    let set = SetName("remote".to_owned());
    let to_remote = Match::Address(Side::Destination, AddressTest::In(Family::V4, set.clone()));
    let rule = NftRule::new([to_remote], Verdict::SnatToSelf(Family::V4), "keep the source");
    let hook = Hook {
        kind: HookType::Nat,
        at: At::Postrouting,
        priority: priority::IDENTITY,
        policy: Policy::Accept,
    };
    let mut table = Table::new(Scope::route_agent().table);
    table.sets.insert(set, Set::networks(Family::V4, &networks));
    let chain = Chain { hook: Some(hook), rules: vec![rule] };
    table.chains.insert(ChainName("identity".to_owned()), chain);
    table
}

fn key(dst: &str, metric: u32) -> RouteKey {
    RouteKey { table: TableId(101), dst: net(dst), metric }
}

fn plan() -> NodePlan {
    let dev = name("vx-submariner");
    let mac = MacAddress([2, 0, 0, 0, 0, 2]);
    NodePlan {
        links: BTreeMap::from([(dev.clone(), vxlan(100))]),
        addresses: BTreeSet::from([(dev.clone(), net("240.0.0.1/8"))]),
        sysctls: BTreeMap::from([(SysctlKey::RpFilter(dev.clone()), 2)]),
        wireguard: BTreeMap::new(),
        fdb: BTreeSet::from([FdbEntry { dev: dev.clone(), mac, dst: ip("10.0.0.2"), port: None }]),
        neighbours: BTreeSet::from([Neighbour { dev: dev.clone(), address: ip("240.0.0.2"), mac }]),
        rules: BTreeSet::from([Rule {
            family: Family::V4,
            priority: 101,
            selector: RuleSelector::default(),
            table: TableId(101),
        }]),
        routes: BTreeMap::from([
            (key("10.2.0.0/16", 100), Route::via(dev, ip("240.0.0.2"))),
            (key("10.2.0.0/16", 0xF000_0000), Route::UNREACHABLE),
        ]),
        table: Some(table(&["10.2.0.0/16"])),
        flows: BTreeSet::new(),
    }
}

/// A state in which everything of a plan is there.
fn reached(plan: &NodePlan) -> NodeState {
    let own = NodePlan { flows: BTreeSet::new(), ..plan.clone() };
    NodeState { own, ..NodeState::default() }
}

fn printed(state: &NodeState, plan: &NodePlan) -> String {
    diff(state, plan).iter().fold(String::new(), |text, step| text + &format!("{step}\n"))
}

#[test]
fn everything_is_made_from_the_ground_up() {
    insta::assert_snapshot!(printed(&NodeState::default(), &plan()), @r"
    ip link add vx-submariner type vxlan id 100 dstport 4800 nolearning local 10.0.0.1 mtu 1450 address 02:00:00:00:00:01 up
    ip address add 240.0.0.1/8 dev vx-submariner
    sysctl net.ipv4.conf.vx-submariner.rp_filter = 2
    bridge fdb append 02:00:00:00:00:02 dev vx-submariner dst 10.0.0.2 self permanent
    ip neighbour replace 240.0.0.2 dev vx-submariner lladdr 02:00:00:00:00:02 nud permanent
    ip rule add preference 101 from all lookup 101
    ip route replace 10.2.0.0/16 via 240.0.0.2 dev vx-submariner onlink table 101 metric 100
    ip route replace unreachable 10.2.0.0/16 table 101 metric 4026531840
    nft replace table inet submariner-route-agent # 1 sets, 1 chains, 1 rules
    ");
}

#[test]
fn everything_goes_from_the_top_down() {
    insta::assert_snapshot!(printed(&reached(&plan()), &NodePlan::default()), @r"
    ip route delete 10.2.0.0/16 via 240.0.0.2 dev vx-submariner onlink table 101 metric 100
    ip route delete unreachable 10.2.0.0/16 table 101 metric 4026531840
    ip rule delete preference 101 from all lookup 101
    ip link delete vx-submariner
    nft delete table inet submariner-route-agent
    ");
}

#[test]
fn second_diff_is_empty() {
    assert_eq!(diff(&reached(&plan()), &plan()), []);
}

#[test]
fn link_of_another_kind_takes_what_stands_on_it_along() {
    let mut wanted = plan();
    wanted.links.insert(name("vx-submariner"), vxlan(101));
    wanted.routes.remove(&key("10.2.0.0/16", 0xF000_0000));
    insta::assert_snapshot!(printed(&reached(&plan()), &wanted), @r"
    ip link add vx-submariner type vxlan id 101 dstport 4800 nolearning local 10.0.0.1 mtu 1450 address 02:00:00:00:00:01 up
    ip address add 240.0.0.1/8 dev vx-submariner
    sysctl net.ipv4.conf.vx-submariner.rp_filter = 2
    bridge fdb append 02:00:00:00:00:02 dev vx-submariner dst 10.0.0.2 self permanent
    ip neighbour replace 240.0.0.2 dev vx-submariner lladdr 02:00:00:00:00:02 nud permanent
    ip route replace 10.2.0.0/16 via 240.0.0.2 dev vx-submariner onlink table 101 metric 100
    ip route delete unreachable 10.2.0.0/16 table 101 metric 4026531840
    ");
}

#[test]
fn link_attributes_that_can_change_do_not_cost_the_link() {
    let mut state = reached(&plan());
    let dev = name("vx-submariner");
    state.own.links.get_mut(&dev).unwrap().mtu = Some(Mtu(1400));
    assert_eq!(printed(&state, &plan()), "ip link set vx-submariner mtu 1450 address 02:00:00:00:00:01 up\n");

    let down = NodeState { altered: BTreeSet::from([Alteration::Down(dev)]), ..reached(&plan()) };
    assert_eq!(printed(&down, &plan()), "ip link set vx-submariner mtu 1450 address 02:00:00:00:00:01 up\n");
}

#[test]
fn neighbours_go_with_the_hardware_address_of_their_link() {
    let mut state = reached(&plan());
    state.own.links.get_mut(&name("vx-submariner")).unwrap().mac = Some(MacAddress([2, 0, 0, 0, 0, 7]));
    insta::assert_snapshot!(printed(&state, &plan()), @r"
    ip link set vx-submariner mtu 1450 address 02:00:00:00:00:01 up
    ip neighbour replace 240.0.0.2 dev vx-submariner lladdr 02:00:00:00:00:02 nud permanent
    ");
}

#[test]
fn routes_and_neighbours_go_with_the_last_address_of_their_link() {
    let wanted = NodePlan { addresses: BTreeSet::new(), ..plan() };
    insta::assert_snapshot!(printed(&reached(&plan()), &wanted), @r"
    ip address delete 240.0.0.1/8 dev vx-submariner
    ip neighbour replace 240.0.0.2 dev vx-submariner lladdr 02:00:00:00:00:02 nud permanent
    ip route replace 10.2.0.0/16 via 240.0.0.2 dev vx-submariner onlink table 101 metric 100
    ");
}

#[test]
fn what_the_plan_leaves_to_the_kernel_is_as_it_should_be() {
    let mut wanted = plan();
    let link = wanted.links.get_mut(&name("vx-submariner")).unwrap();
    (link.mtu, link.mac) = (None, None);
    assert_eq!(diff(&reached(&plan()), &wanted), []);
}

#[test]
fn only_elements_change_where_only_elements_differ() {
    let wanted = NodePlan { table: Some(table(&["10.2.0.0/16", "10.4.0.0/16"])), ..plan() };
    let expected = "nft change elements of inet submariner-route-agent remote add { 10.4.0.0/16 }\n";
    assert_eq!(printed(&reached(&plan()), &wanted), expected);

    let wanted = NodePlan { table: Some(table(&["10.2.0.0/15"])), ..plan() };
    let expected = "nft change elements of inet submariner-route-agent \
                    remote delete { 10.2.0.0/16 } add { 10.2.0.0/15 }\n";
    assert_eq!(printed(&reached(&plan()), &wanted), expected);
}

#[test]
fn altered_table_is_replaced_even_if_all_that_can_be_read_is_right() {
    let state = NodeState { altered: BTreeSet::from([Alteration::Table]), ..reached(&plan()) };
    let expected = "nft replace table inet submariner-route-agent # 1 sets, 1 chains, 1 rules\n";
    assert_eq!(printed(&state, &plan()), expected);
}

#[test]
fn altered_route_is_taken_away_and_written_again() {
    let altered = Alteration::Route(key("10.2.0.0/16", 100));
    let state = NodeState { altered: BTreeSet::from([altered]), ..reached(&plan()) };
    insta::assert_snapshot!(printed(&state, &plan()), @r"
    ip route delete 10.2.0.0/16 via 240.0.0.2 dev vx-submariner onlink table 101 metric 100
    ip route replace 10.2.0.0/16 via 240.0.0.2 dev vx-submariner onlink table 101 metric 100
    ");
}

#[test]
fn neighbour_with_another_hardware_address_is_replaced_and_not_deleted() {
    let mut wanted = plan();
    let dev = name("vx-submariner");
    let mac = MacAddress([2, 0, 0, 0, 0, 9]);
    wanted.neighbours = BTreeSet::from([Neighbour { dev, address: ip("240.0.0.2"), mac }]);
    let expected =
        "ip neighbour replace 240.0.0.2 dev vx-submariner lladdr 02:00:00:00:00:09 nud permanent\n";
    assert_eq!(printed(&reached(&plan()), &wanted), expected);
}

#[test]
fn port_of_a_forwarding_entry_is_not_named_where_it_is_the_devices_own() {
    let mut wanted = plan();
    wanted.fdb = wanted.fdb.into_iter().map(|entry| FdbEntry { port: Some(4800), ..entry }).collect();
    assert_eq!(diff(&reached(&plan()), &wanted), []);
}

#[test]
fn wrong_flows_are_forgotten_once_the_table_is_right() {
    let flow = Flow {
        protocol: 6,
        src: ip("10.1.0.5"),
        dst: ip("10.2.0.5"),
        src_port: 40000,
        dst_port: 80,
        reply_src: ip("10.2.0.5"),
        reply_dst: ip("10.0.0.1"),
        zone: 0,
    };
    let mut state = reached(&plan());
    state.own.table = None;
    state.wrong_flows = BTreeSet::from([flow]);
    insta::assert_snapshot!(printed(&state, &plan()), @r"
    nft replace table inet submariner-route-agent # 1 sets, 1 chains, 1 rules
    conntrack delete proto 6 10.1.0.5:40000 > 10.2.0.5:80 as 10.0.0.1 > 10.2.0.5
    ");
}

#[test]
fn parameter_of_an_absent_link_waits_for_the_link() {
    let mut wanted = NodePlan::default();
    wanted.sysctls.insert(SysctlKey::RpFilter(name("eth0")), 2);
    assert_eq!(diff(&NodeState::default(), &wanted), []);

    let mut state = NodeState::default();
    state.own.sysctls.insert(SysctlKey::RpFilter(name("eth0")), 1);
    assert_eq!(printed(&state, &wanted), "sysctl net.ipv4.conf.eth0.rp_filter = 2\n");
}

fn public(byte: u8) -> PublicKey {
    PublicKey([byte; 32])
}

fn peer(last: u8, allowed: &str) -> WireguardPeer {
    WireguardPeer {
        preshared_key: Some(PresharedKey::new([9; 32])),
        endpoint: format!("203.0.113.{last}:4500").parse().unwrap(),
        allowed: allowed.split_whitespace().map(net).collect(),
        keepalive: 10,
    }
}

/// A plan with a WireGuard device and these peers.
fn wireguard(peers: &[(u8, &str)]) -> NodePlan {
    let dev = name("submariner");
    let peers = peers.iter().map(|(number, allowed)| (public(*number), peer(*number, allowed)));
    let device =
        WireguardDevice { private_key: PrivateKey::new([7; 32]), listen_port: 4500, peers: peers.collect() };
    NodePlan {
        links: BTreeMap::from([(dev.clone(), Link { kind: LinkKind::Tun, mtu: Some(Mtu(1420)), mac: None })]),
        wireguard: BTreeMap::from([(dev, device)]),
        ..NodePlan::default()
    }
}

fn steps(state: &NodeState, plan: &NodePlan) -> String {
    diff(state, plan).iter().fold(String::new(), |text, step| text + &format!("{step}\n"))
}

#[test]
fn a_wireguard_device_gets_its_key_before_its_peers_and_no_step_shows_a_secret() {
    let plan = wireguard(&[(1, "10.1.0.0/16 fd01::/64"), (2, "10.2.0.0/16")]);
    insta::assert_snapshot!(steps(&NodeState::default(), &plan), @r"
    ip link add submariner type tun vnet_hdr persist mtu 1420 up
    wg set submariner listen-port 4500 private-key (hidden)
    wg set submariner peer AQEBAQEB endpoint 203.0.113.1:4500 allowed 10.1.0.0/16, fd01::/64 preshared keepalive 10
    wg set submariner peer AgICAgIC endpoint 203.0.113.2:4500 allowed 10.2.0.0/16 preshared keepalive 10
    ");
    insta::assert_snapshot!(plan.to_string(), @r"
    link submariner tun vnet_hdr persist mtu 1420 up
    wireguard submariner listen-port 4500
    peer AQEBAQEB endpoint 203.0.113.1:4500 allowed 10.1.0.0/16, fd01::/64 preshared keepalive 10
    peer AgICAgIC endpoint 203.0.113.2:4500 allowed 10.2.0.0/16 preshared keepalive 10
    ");
    assert!(diff(&reached(&plan), &plan).is_empty());
    let bytes = format!("{plan:?}{:?}", diff(&NodeState::default(), &plan));
    assert!(!bytes.contains("7, 7, 7") && !bytes.contains("9, 9, 9"), "{bytes}");
}

#[test]
fn a_network_moves_to_its_new_peer_before_the_old_one_loses_it() {
    let before = wireguard(&[(1, "10.1.0.0/16 10.3.0.0/16"), (2, "10.2.0.0/16"), (4, "10.4.0.0/16")]);
    let after = wireguard(&[(1, "10.1.0.0/16"), (2, "10.2.0.0/16 10.3.0.0/16"), (5, "10.4.0.0/16")]);
    insta::assert_snapshot!(steps(&reached(&before), &after), @r"
    wg set submariner peer AgICAgIC endpoint 203.0.113.2:4500 allowed 10.2.0.0/15 preshared keepalive 10
    wg set submariner peer BQUFBQUF endpoint 203.0.113.5:4500 allowed 10.4.0.0/16 preshared keepalive 10
    wg set submariner peer AQEBAQEB endpoint 203.0.113.1:4500 allowed 10.1.0.0/16 preshared keepalive 10
    wg set submariner peer BAQEBAQE remove
    ");
}

#[test]
fn a_device_that_is_gone_or_whose_link_is_made_anew_is_set_up_whole() {
    let plan = wireguard(&[(1, "10.1.0.0/16")]);
    let mut dead = reached(&plan);
    dead.own.wireguard.clear();
    insta::assert_snapshot!(steps(&dead, &plan), @r"
    wg set submariner listen-port 4500 private-key (hidden)
    wg set submariner peer AQEBAQEB endpoint 203.0.113.1:4500 allowed 10.1.0.0/16 preshared keepalive 10
    ");
    let mut other = reached(&plan);
    other.own.links.get_mut(&name("submariner")).unwrap().kind = LinkKind::Bridge;
    assert_eq!(diff(&other, &plan).len(), 3);
    let mut left = plan.clone();
    left.wireguard.clear();
    insta::assert_snapshot!(steps(&reached(&plan), &left), @"wg set submariner down");
    insta::assert_snapshot!(steps(&reached(&plan), &NodePlan::default()), @"ip link delete submariner");
}
