//! What a node's plan says, for the situations that nodes are in.

#![allow(clippy::allow_attributes, clippy::unwrap_used, reason = "a failed parse is a failed test")]

#[path = "support/fixture.rs"]
mod fixture;

use fixture::{cidrs, endpoint, gateway, link, node, worker};
use subm_plan::Route;
use subm_plan::nft::ChainName;
use subm_route::{Condition, Feature, NetworkPlugin, NodeView, Role, RoutePlan, plan};
use subm_types::{Epoch, Planned};

fn kernel(view: &NodeView) -> String {
    plan(view).value.node.to_string()
}

fn without_table(view: &NodeView) -> String {
    let mut node = plan(view).value.node;
    node.table = None;
    node.to_string()
}

fn chain(view: &NodeView, name: &str) -> Vec<String> {
    let table = plan(view).value.node.table.unwrap();
    let chain = table.chains.get(&ChainName(name.to_owned()));
    chain.map(|chain| chain.rules.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

fn condition(planned: &Planned<RoutePlan>, kind: &str) -> Condition {
    planned.value.conditions.iter().find(|condition| condition.kind == kind).unwrap().clone()
}

#[test]
fn a_worker_sends_remote_traffic_through_the_overlay_to_the_gateway() {
    insta::assert_snapshot!(kernel(&worker()), @r#"
    link vx-submariner vxlan id 100 dstport 4800 nolearning local 172.18.0.3 mtu 1450 address 02:00:f0:12:00:03 up
    address 240.18.0.3/8 dev vx-submariner
    sysctl net.ipv4.ip_forward = 1
    sysctl net.ipv4.conf.vx-submariner.rp_filter = 2
    sysctl net.ipv4.conf.vx-submariner.send_redirects = 0
    sysctl net.ipv4.conf.vx-submariner.forwarding = 1
    fdb 02:00:f0:12:00:02 dev vx-submariner dst 172.18.0.2 self permanent
    neighbour 240.18.0.2 dev vx-submariner lladdr 02:00:f0:12:00:02 PERMANENT
    rule 101: from all lookup 101
    route 10.2.0.0/16 via 240.18.0.2 dev vx-submariner onlink table 101 src 10.1.1.1 metric 100
    route unreachable 10.2.0.0/16 table 101 metric 4026531840
    route 100.2.0.0/16 via 240.18.0.2 dev vx-submariner onlink table 101 src 10.1.1.1 metric 100
    route unreachable 100.2.0.0/16 table 101 metric 4026531840
    flows from { 10.1.0.0/16, 100.1.0.0/16 } to { 10.2.0.0/16, 100.2.0.0/16 } keep source
    flows from { 10.2.0.0/16, 100.2.0.0/16 } to { 10.1.0.0/16, 100.1.0.0/16 } keep source
    table inet submariner-route-agent {
      set carriers { type ifname; elements = { "ipsec83", "submariner", "vx-submariner", "vxlan-tunnel", "vxlan-tunnel-6" } }
      set local-v4 { type ipv4_addr; flags interval; elements = { 10.1.0.0/16, 100.1.0.0/16 } }
      set local-v6 { type ipv6_addr; flags interval; }
      set remote-v4 { type ipv4_addr; flags interval; elements = { 10.2.0.0/16, 100.2.0.0/16 } }
      set remote-v6 { type ipv6_addr; flags interval; }
      chain identity {
        type nat hook postrouting priority 90; policy accept;
        ip saddr @local-v4 ip daddr @remote-v4 counter snat ip to ip saddr comment "our pods are seen as themselves"
        ip saddr @remote-v4 ip daddr @local-v4 counter snat ip to ip saddr comment "remote pods are seen as themselves"
        ip6 saddr @local-v6 ip6 daddr @remote-v6 counter snat ip6 to ip6 saddr comment "our pods are seen as themselves"
        ip6 saddr @remote-v6 ip6 daddr @local-v6 counter snat ip6 to ip6 saddr comment "remote pods are seen as themselves"
      }
      chain leak {
        type filter hook postrouting priority 150; policy accept;
        oifname "lo" counter accept comment "stays on this node"
        ip daddr @remote-v4 oifname != @carriers counter drop comment "never in clear"
        ip6 daddr @remote-v6 oifname != @carriers counter drop comment "never in clear"
      }
      chain mss {
        type filter hook postrouting priority -150; policy accept;
        tcp flags & (syn | rst) == syn oifname @carriers counter tcp option maxseg size set rt mtu comment "segments fit the tunnel"
      }
      chain node-snat {
        type nat hook postrouting priority 80; policy accept;
        ip saddr != @local-v4 ip daddr @remote-v4 oifname @carriers counter snat ip to 10.1.1.1 comment "the node speaks as its CNI interface"
      }
    }
    "#);
}

#[test]
fn the_gateway_node_leaves_the_way_out_to_the_cable_and_keeps_the_unreachable_routes() {
    insta::assert_snapshot!(without_table(&gateway()), @r#"
    link vx-submariner vxlan id 100 dstport 4800 nolearning local 172.18.0.2 mtu 1450 address 02:00:f0:12:00:02 up
    address 240.18.0.2/8 dev vx-submariner
    sysctl net.ipv4.ip_forward = 1
    sysctl net.ipv4.conf.vx-submariner.rp_filter = 2
    sysctl net.ipv4.conf.vx-submariner.send_redirects = 0
    sysctl net.ipv4.conf.vx-submariner.forwarding = 1
    fdb 02:00:f0:12:00:03 dev vx-submariner dst 172.18.0.3 self permanent
    neighbour 240.18.0.3 dev vx-submariner lladdr 02:00:f0:12:00:03 PERMANENT
    rule 101: from all lookup 101
    route unreachable 10.2.0.0/16 table 101 metric 4026531840
    route unreachable 100.2.0.0/16 table 101 metric 4026531840
    flows from { 10.1.0.0/16, 100.1.0.0/16 } to { 10.2.0.0/16, 100.2.0.0/16 } keep source
    flows from { 10.2.0.0/16, 100.2.0.0/16 } to { 10.1.0.0/16, 100.1.0.0/16 } keep source
    "#);
}

#[test]
fn without_a_gateway_remote_networks_are_unreachable() {
    let mut view = worker();
    view.endpoints.remove(0);
    insta::assert_snapshot!(without_table(&view), @r#"
    link vx-submariner vxlan id 100 dstport 4800 nolearning local 172.18.0.3 mtu 1450 address 02:00:f0:12:00:03 up
    address 240.18.0.3/8 dev vx-submariner
    sysctl net.ipv4.ip_forward = 1
    sysctl net.ipv4.conf.vx-submariner.rp_filter = 2
    sysctl net.ipv4.conf.vx-submariner.send_redirects = 0
    sysctl net.ipv4.conf.vx-submariner.forwarding = 1
    fdb 02:00:f0:12:00:02 dev vx-submariner dst 172.18.0.2 self permanent
    neighbour 240.18.0.2 dev vx-submariner lladdr 02:00:f0:12:00:02 PERMANENT
    rule 101: from all lookup 101
    route unreachable 10.2.0.0/16 table 101 metric 4026531840
    route unreachable 100.2.0.0/16 table 101 metric 4026531840
    flows from { 10.1.0.0/16, 100.1.0.0/16 } to { 10.2.0.0/16, 100.2.0.0/16 } keep source
    flows from { 10.2.0.0/16, 100.2.0.0/16 } to { 10.1.0.0/16, 100.1.0.0/16 } keep source
    "#);
    let planned = plan(&view);
    assert_eq!(planned.value.role, Role::NoGateway);
    assert_eq!(condition(&planned, "GatewayFound").reason, "NoEndpoint");
}

#[test]
fn without_the_cni_interface_node_snat_waits_and_the_rest_works() {
    let mut view = worker();
    view.facts.links.remove(&link("cni0"));
    let planned = plan(&view);
    let found = condition(&planned, "CNIInterfaceFound");
    assert!(!found.holds && found.message.contains("10.1.0.0/16"), "{found:?}");
    assert!(chain(&view, "node-snat").is_empty());
    assert_eq!(chain(&view, "identity").len(), 4);
    assert!(kernel(&view).contains("10.2.0.0/16 via 240.18.0.2 dev vx-submariner onlink table 101 metric"));
    assert_eq!(planned.value.targets[0].source, Some("240.18.0.3".parse().unwrap()));

    assert_eq!(chain(&worker(), "node-snat").len(), 1);
    assert_eq!(plan(&worker()).value.targets[0].source, Some("10.1.1.1".parse().unwrap()));
}

#[test]
fn a_strict_reverse_path_check_becomes_loose_where_remote_packets_arrive() {
    let loosened = |view: &NodeView| -> Vec<String> {
        let sysctls = plan(view).value.node.sysctls;
        let names = sysctls.keys().map(ToString::to_string);
        names.filter(|name| name.contains("rp_filter") && !name.contains("vx-submariner")).collect()
    };
    assert!(loosened(&worker()).is_empty());

    let mut all_strict = worker();
    all_strict.facts.rp_filter_all = Some(1);
    all_strict.facts.links.get_mut(&link("cni0")).unwrap().rp_filter = Some(2);
    assert_eq!(loosened(&all_strict), ["net.ipv4.conf.eth0.rp_filter"]);

    let mut strict_cable = gateway();
    let mut cable = strict_cable.facts.links[&link("eth0")].clone();
    cable.rp_filter = Some(1);
    cable.addresses = vec!["241.18.0.2/8".parse().unwrap()];
    strict_cable.facts.links.insert(link("vxlan-tunnel"), cable);
    assert_eq!(loosened(&strict_cable), ["net.ipv4.conf.vxlan-tunnel.rp_filter"]);
}

#[test]
fn a_parameter_that_we_took_over_stays_in_the_plan() {
    let mut view = worker();
    let key = subm_plan::SysctlKey::RpFilter(link("eth0"));
    view.facts.links.get_mut(&link("eth0")).unwrap().rp_filter = Some(2);
    view.taken_over.insert(key.clone());
    assert_eq!(plan(&view).value.node.sysctls.get(&key), Some(&2));
}

#[test]
fn a_remote_gateway_inside_a_remote_network_is_reached_past_the_cable() {
    let mut view = gateway();
    view.endpoints[1] = endpoint("west", "west-gateway", "10.2.0.5", "10.2.0.0/16");
    assert!(kernel(&view).contains("rule 99: from all to 10.2.0.5/32 iif lo lookup main"));
    insta::assert_snapshot!(chain(&view, "leak").join("\n"), @r#"
    oifname "lo" counter accept comment "stays on this node"
    ip daddr 10.2.0.5/32 udp dport 4500 counter accept comment "the cable's own packets"
    ip daddr 10.2.0.5/32 udp dport 4490 counter accept comment "NAT discovery"
    ip daddr @remote-v4 oifname != @carriers counter drop comment "never in clear"
    ip6 daddr @remote-v6 oifname != @carriers counter drop comment "never in clear"
    "#);

    view.node = worker().node;
    assert!(!kernel(&view).contains("rule 99"), "only the gateway sends such packets");
}

#[test]
fn a_gateway_that_says_it_is_at_an_address_of_another_cluster_opens_nothing() {
    let mut view = gateway();
    view.endpoints.push(endpoint("north", "north-gateway", "10.2.0.5", "10.3.0.0/16"));
    assert!(!kernel(&view).contains("rule 99"));
    assert_eq!(chain(&view, "leak").len(), 3, "{:?}", chain(&view, "leak"));
}

#[test]
fn an_endpoint_that_overlaps_our_networks_is_skipped_and_named() {
    let mut view = worker();
    view.endpoints.push(endpoint("north", "n", "172.20.0.2", "10.3.0.0/16 10.1.128.0/17"));
    let planned = plan(&view);
    assert_eq!(planned.value.node, plan(&worker()).value.node);
    insta::assert_snapshot!(planned.problems[0], @r#"Endpoint north-submariner-cable-north-172-20-0-2 field spec.subnets: 10.1.128.0/17 overlaps 10.1.0.0/16 of this cluster; give one of the clusters other CIDRs, or join both with Globalnet"#);
    assert_eq!(condition(&planned, "EndpointsAccepted").reason, "OverlappingCIDR");
}

#[test]
fn the_networks_of_a_cluster_without_an_endpoint_stay_closed() {
    let mut view = worker();
    view.endpoints.truncate(1);
    for (cluster, nets) in
        [("east", "10.1.0.0/16"), ("west", "10.2.0.0/16"), ("bad", "10.1.4.0/24 172.18.0.0/16 10.9.0.0/16")]
    {
        view.claims.insert(cluster.parse().unwrap(), cidrs(nets));
    }
    let routes = plan(&view).value.node.routes;
    let closed: Vec<_> = routes.iter().map(|(key, route)| (key.dst.to_string(), route.clone())).collect();
    assert_eq!(
        closed,
        [("10.2.0.0/16".to_owned(), Route::UNREACHABLE), ("10.9.0.0/16".to_owned(), Route::UNREACHABLE)]
    );
    assert!(kernel(&view).contains(
        "set remote-v4 { type ipv4_addr; flags interval; elements = { 10.2.0.0/16, 10.9.0.0/16 } }"
    ));
}

#[test]
fn a_claim_to_a_part_of_anothers_networks_closes_nothing() {
    let mut view = worker();
    let bare = plan(&view).value.node;
    view.claims.insert("evil".parse().unwrap(), cidrs("10.2.4.0/24 10.0.0.0/14 172.18.0.128/25"));
    assert_eq!(plan(&view).value.node, bare);
}

#[test]
fn networks_that_nobody_may_claim_are_refused() {
    for bad in ["0.0.0.0/0", "::/0", "240.0.0.0/16", "241.0.0.0/8", "172.18.0.0/24", "172.18.0.128/25", ""] {
        let mut view = worker();
        view.endpoints[1] = endpoint("west", "w", "172.19.0.2", bad);
        let planned = plan(&view);
        assert!(planned.value.node.routes.is_empty(), "{bad}");
        assert_eq!(planned.problems.len(), 1, "{bad}");
    }
}

#[test]
fn the_endpoint_with_the_highest_epoch_is_followed() {
    let mut view = worker();
    let mut taken_over = endpoint("east", "east-worker", "172.18.0.3", "10.1.0.0/16");
    taken_over.epoch = Some(Epoch(2));
    view.endpoints[0].epoch = Some(Epoch(1));
    view.endpoints[0].created = 999;
    view.endpoints.push(taken_over);
    assert_eq!(plan(&view).value.role, Role::Gateway);
}

#[test]
fn an_endpoint_of_ours_on_an_unknown_node_is_no_gateway() {
    let mut view = worker();
    view.nodes.remove(0);
    let planned = plan(&view);
    assert_eq!(planned.value.role, Role::NoGateway);
    assert_eq!(condition(&planned, "GatewayFound").reason, "UnknownGatewayNode");
}

#[test]
fn an_unknown_network_plugin_is_treated_like_generic() {
    let mut view = worker();
    view.plugin = NetworkPlugin::from("antrea");
    let planned = plan(&view);
    assert_eq!(planned.value.node, plan(&worker()).value.node);
    assert!(!condition(&planned, "NetworkPluginSupported").holds);
}

#[test]
fn what_the_kernel_lacks_is_left_out_and_said() {
    let mut view = worker();
    view.missing.insert(Feature::Nat, "needs Linux 5.2".to_owned());
    assert!(chain(&view, "identity").is_empty() && !chain(&view, "leak").is_empty());
    view.missing.insert(Feature::Vxlan, "needs CONFIG_VXLAN".to_owned());
    view.missing.insert(Feature::PacketFilter, "needs CONFIG_NF_TABLES_INET".to_owned());
    let planned = plan(&view);
    assert!(planned.value.node.table.is_none() && planned.value.node.links.is_empty());
    assert!(planned.value.node.to_string().contains("unreachable 10.2.0.0/16"));
    let kernel = condition(&planned, "KernelSupported");
    assert!(!kernel.holds && kernel.message.contains("CONFIG_VXLAN"), "{kernel:?}");
}

#[test]
fn both_families_have_their_own_routes_and_rules() {
    let mut view = worker();
    view.cluster_cidrs = cidrs("10.1.0.0/16 fd01::/48");
    view.endpoints[1] = endpoint("west", "w", "172.19.0.2", "10.2.0.0/16 fd02::/48");
    let text = without_table(&view);
    for line in [
        "address fd00:100:100::f012:3/96 dev vx-submariner",
        "rule 101: -6 from all lookup 101",
        "fd02::/48 via fd00:100:100::f012:2 dev vx-submariner onlink table 101 metric 100",
        "unreachable fd02::/48 table 101",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn the_gateway_probes_nothing_because_its_cables_are_probed() {
    assert!(plan(&gateway()).value.targets.is_empty());
    assert_eq!(plan(&worker()).value.targets[0].destination.to_string(), "10.2.0.1");
}

#[test]
fn nodes_without_an_address_have_no_place_in_the_forwarding_table() {
    let mut view = gateway();
    let mut silent = node("east-new", "172.18.0.9", 9);
    silent.internal_ips = subm_types::PerFamily::default();
    view.nodes.push(silent);
    assert_eq!(plan(&view).value.node.fdb.len(), 1);
}
