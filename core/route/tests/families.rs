//! What a node's plan says in clusters of IPv6 and of both families.

#![allow(clippy::allow_attributes, clippy::unwrap_used, reason = "a failed parse is a failed test")]

#[path = "support/fixture.rs"]
mod fixture;

use fixture::{cidrs, endpoint, gateway, link, worker};
use subm_plan::SysctlKey;
use subm_route::{NodeView, Role, plan};
use subm_types::{Family, IfName, Mtu, PerFamily};

/// What the kernel shall have beside the packet filter.
fn kernel(view: &NodeView) -> String {
    let mut node = plan(view).value.node;
    node.table = None;
    node.to_string()
}

fn chain(view: &NodeView, name: &str) -> String {
    let table = plan(view).value.node.table.unwrap();
    let found = table.chains.iter().find(|(chain, _)| chain.0 == name).unwrap();
    found.1.rules.iter().flat_map(|rule| [rule.to_string(), "\n".to_owned()]).collect()
}

/// The same cluster with both families.
fn dual(mut view: NodeView) -> NodeView {
    view.cluster_cidrs = cidrs("10.1.0.0/16 fd01::/48");
    view.service_cidrs = cidrs("100.1.0.0/16 fd01:100::/112");
    for (index, node) in (2..).zip(&mut view.nodes) {
        node.internal_ips.v6 = Some(format!("fc00:18::a:{index}").parse().unwrap());
    }
    let own = view.nodes.iter().find(|node| node.name == view.node).unwrap();
    let number = if own.name.0 == "east-gateway" { 2 } else { 3 };
    let mut add = |name: &str, net: String| {
        let addresses = &mut view.facts.links.get_mut(&link(name)).unwrap().addresses;
        addresses.push(net.parse().unwrap());
    };
    add("eth0", format!("fc00:18::a:{number}/64"));
    add("cni0", format!("fd01:0:0:{number}::1/64"));
    view.facts.default_route.v6 = Some(link("eth0"));
    let both = |cluster, host, addresses: &str, subnets| {
        let addresses = addresses.split_whitespace().map(|text| text.parse().unwrap());
        let private_ips = PerFamily::of(addresses);
        let mut end = endpoint(cluster, host, &private_ips.v4.unwrap().to_string(), subnets);
        end.private_ips = private_ips;
        end.health_check_ips = PerFamily::of(end.subnets.iter().filter_map(|net| net.hosts().nth(1)));
        end
    };
    view.endpoints = vec![
        both("east", "east-gateway", "172.18.0.2 fc00:18::a:2", "10.1.0.0/16 fd01::/48"),
        both("west", "west-gateway", "172.19.0.2 fc00:19::2", "10.2.0.0/16 fd02::/48"),
    ];
    view
}

/// The same cluster with IPv6 alone, on nodes that have IPv4 as well.
fn six(view: NodeView) -> NodeView {
    let mut view = dual(view);
    view.cluster_cidrs = view.cluster_cidrs.of(Family::V6);
    view.service_cidrs = view.service_cidrs.of(Family::V6);
    for endpoint in &mut view.endpoints {
        endpoint.subnets.retain(|net| Family::of_net(net) == Family::V6);
        endpoint.private_ips.v4 = None;
        endpoint.health_check_ips.v4 = None;
    }
    view
}

#[test]
fn a_worker_of_a_cluster_of_both_families_has_one_overlay_for_both() {
    insta::assert_snapshot!(kernel(&dual(worker())), @r"
    link vx-submariner vxlan id 100 dstport 4800 nolearning local 172.18.0.3 mtu 1415 address 02:00:f0:12:00:03 up
    address 240.18.0.3/8 dev vx-submariner
    address fd00:100:100::f012:3/96 dev vx-submariner
    sysctl net.ipv6.conf.vx-submariner.accept_ra = 0
    sysctl net.ipv4.ip_forward = 1
    sysctl net.ipv6.conf.all.forwarding = 1
    sysctl net.ipv4.conf.vx-submariner.rp_filter = 2
    sysctl net.ipv4.conf.vx-submariner.send_redirects = 0
    sysctl net.ipv4.conf.vx-submariner.forwarding = 1
    sysctl net.ipv6.conf.vx-submariner.forwarding = 1
    fdb 02:00:f0:12:00:02 dev vx-submariner dst 172.18.0.2 self permanent
    neighbour 240.18.0.2 dev vx-submariner lladdr 02:00:f0:12:00:02 PERMANENT
    neighbour fd00:100:100::f012:2 dev vx-submariner lladdr 02:00:f0:12:00:02 PERMANENT
    rule 101: from all lookup 101
    rule 101: -6 from all lookup 101
    route 10.2.0.0/16 via 240.18.0.2 dev vx-submariner onlink table 101 src 10.1.1.1 metric 100
    route unreachable 10.2.0.0/16 table 101 metric 4026531840
    route fd02::/48 via fd00:100:100::f012:2 dev vx-submariner onlink table 101 src fd01:0:0:3::1 metric 100
    route unreachable fd02::/48 table 101 metric 4026531840
    flows from { 10.1.0.0/16, 100.1.0.0/16 } to { 10.2.0.0/16 } keep source
    flows from { 10.2.0.0/16 } to { 10.1.0.0/16, 100.1.0.0/16 } keep source
    flows from { fd01::/48, fd01:100::/112 } to { fd02::/48 } keep source
    flows from { fd02::/48 } to { fd01::/48, fd01:100::/112 } keep source
    ");
}

#[test]
fn a_worker_of_a_cluster_of_ipv6_has_an_overlay_over_ipv6() {
    let view = six(worker());
    insta::assert_snapshot!(kernel(&view), @r"
    link vx-submariner vxlan id 100 dstport 4800 nolearning local fc00:18::a:3 mtu 1415 address 02:00:f0:12:00:03 up
    address fd00:100:100::f012:3/96 dev vx-submariner
    sysctl net.ipv6.conf.vx-submariner.accept_ra = 0
    sysctl net.ipv6.conf.all.forwarding = 1
    sysctl net.ipv4.conf.vx-submariner.rp_filter = 2
    sysctl net.ipv4.conf.vx-submariner.send_redirects = 0
    sysctl net.ipv6.conf.vx-submariner.forwarding = 1
    fdb 02:00:f0:12:00:02 dev vx-submariner dst fc00:18::a:2 self permanent
    neighbour fd00:100:100::f012:2 dev vx-submariner lladdr 02:00:f0:12:00:02 PERMANENT
    rule 101: -6 from all lookup 101
    route fd02::/48 via fd00:100:100::f012:2 dev vx-submariner onlink table 101 src fd01:0:0:3::1 metric 100
    route unreachable fd02::/48 table 101 metric 4026531840
    flows from { fd01::/48, fd01:100::/112 } to { fd02::/48 } keep source
    flows from { fd02::/48 } to { fd01::/48, fd01:100::/112 } keep source
    ");
    insta::assert_snapshot!(chain(&view, "node-snat") + &chain(&view, "leak"), @r#"
    ip6 saddr != @local-v6 ip6 daddr @remote-v6 oifname @carriers counter snat ip6 to fd01:0:0:3::1 comment "the node speaks as its CNI interface"
    oifname "lo" counter accept comment "stays on this node"
    ip daddr @remote-v4 oifname != @carriers counter drop comment "never in clear"
    ip6 daddr @remote-v6 oifname != @carriers counter drop comment "never in clear"
    "#);
}

#[test]
fn sources_are_kept_and_segments_cut_in_both_families() {
    let view = dual(worker());
    insta::assert_snapshot!(chain(&view, "identity") + &chain(&view, "node-snat") + &chain(&view, "mss"), @r#"
    ip saddr @local-v4 ip daddr @remote-v4 counter snat ip to ip saddr comment "our pods are seen as themselves"
    ip saddr @remote-v4 ip daddr @local-v4 counter snat ip to ip saddr comment "remote pods are seen as themselves"
    ip6 saddr @local-v6 ip6 daddr @remote-v6 counter snat ip6 to ip6 saddr comment "our pods are seen as themselves"
    ip6 saddr @remote-v6 ip6 daddr @local-v6 counter snat ip6 to ip6 saddr comment "remote pods are seen as themselves"
    ip saddr != @local-v4 ip daddr @remote-v4 oifname @carriers counter snat ip to 10.1.1.1 comment "the node speaks as its CNI interface"
    ip6 saddr != @local-v6 ip6 daddr @remote-v6 oifname @carriers counter snat ip6 to fd01:0:0:3::1 comment "the node speaks as its CNI interface"
    tcp flags & (syn | rst) == syn oifname @carriers counter tcp option maxseg size set rt mtu comment "segments fit the tunnel"
    "#);
}

#[test]
fn a_gateway_inside_a_remote_network_of_ipv6_is_reached_past_the_cable() {
    let mut view = six(gateway());
    view.endpoints[1].private_ips.v6 = Some("fd02::99".parse().unwrap());
    let rules: Vec<String> = plan(&view).value.node.rules.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(rules.join("\n") + "\n" + &chain(&view, "leak"), @r#"
    99: -6 from all to fd02::99/128 iif lo lookup main
    101: -6 from all lookup 101
    oifname "lo" counter accept comment "stays on this node"
    ip6 daddr fd02::99/128 udp dport 4500 counter accept comment "the cable's own packets"
    ip6 daddr fd02::99/128 udp dport 4490 counter accept comment "NAT discovery"
    ip daddr @remote-v4 oifname != @carriers counter drop comment "never in clear"
    ip6 daddr @remote-v6 oifname != @carriers counter drop comment "never in clear"
    "#);
}

#[test]
fn advertised_uplinks_stay_advertised_when_forwarding_begins() {
    let wanted = |view: &NodeView| {
        let sysctls = plan(view).value.node.sysctls;
        let uplink = |key: &&SysctlKey| matches!(key, SysctlKey::AcceptRa(link) if link.as_str() == "eth0");
        sysctls.keys().position(|key| uplink(&key)).map(|place| (place, sysctls.values().nth(place).copied()))
    };
    let mut view = six(worker());
    assert_eq!(wanted(&view), None, "nobody advertises there");
    view.facts.links.get_mut(&link("eth0")).unwrap().accept_ra = Some(1);
    assert_eq!(wanted(&view), Some((0, Some(2))), "before forwarding is switched on");
    view.facts.ipv6_forwarding = Some(1);
    assert_eq!(wanted(&view), None, "advertisements had no effect before");
    view.taken_over.insert(SysctlKey::AcceptRa(link("eth0")));
    assert_eq!(wanted(&view), Some((0, Some(2))), "what we changed stays");
    let mut four = worker();
    four.facts.links.get_mut(&link("eth0")).unwrap().accept_ra = Some(1);
    four.facts.default_route.v6 = Some(link("eth0"));
    assert_eq!(wanted(&four), None, "a cluster of IPv4 needs no IPv6 forwarding");
}

#[test]
fn what_a_node_cannot_have_it_is_not_told_to_have() {
    let mut view = worker();
    view.endpoints[1] = dual(worker()).endpoints.remove(1);
    assert!(kernel(&view).contains("unreachable fd02::/48"), "closed on nodes that have IPv6");
    view.facts.ipv6_forwarding = None;
    let text = kernel(&view);
    assert!(!text.contains("-6") && !text.contains("fd02"), "{text}");
    assert!(text.contains("10.2.0.0/16 via"), "{text}");
}

#[test]
fn only_what_the_cluster_has_is_probed() {
    let targets = |view: &NodeView| -> Vec<String> {
        plan(view)
            .value
            .targets
            .iter()
            .map(|target| format!("{} from {:?}", target.destination, target.source))
            .collect()
    };
    assert_eq!(targets(&dual(worker())).len(), 2);
    let mut four = worker();
    four.endpoints[1] = dual(worker()).endpoints.remove(1);
    assert_eq!(targets(&four), [r"10.2.0.2 from Some(10.1.1.1)"]);
    assert_eq!(targets(&six(worker())), [r"fd02::1 from Some(fd01:0:0:3::1)"]);
}

#[test]
fn every_node_comes_to_the_same_family_outside() {
    let mut view = dual(worker());
    let outer = |view: &NodeView| plan(view).value.node.fdb.iter().map(|entry| entry.dst).collect::<Vec<_>>();
    assert_eq!(outer(&view), ["172.18.0.2".parse::<std::net::IpAddr>().unwrap()]);
    view.nodes[0].internal_ips.v4 = None;
    assert!(outer(&view).is_empty(), "a node without IPv4 is left out, and moves nobody");
    let planned = plan(&view);
    let overlay = planned.value.conditions.iter().find(|one| one.kind == "OverlayPlanned").unwrap();
    assert!(overlay.holds && overlay.message.contains("east-gateway"), "{overlay:?}");
    assert_eq!(planned.value.role, Role::Worker { gateway: view.nodes[0].name.clone() });
    view.nodes[1].internal_ips.v4 = None;
    assert_eq!(outer(&view), ["fc00:18::a:2".parse::<std::net::IpAddr>().unwrap()], "where nobody has IPv4");
}

#[test]
fn a_small_uplink_leaves_the_overlay_ipv6() {
    let small = |mut view: NodeView| {
        view.facts.links.get_mut(&link("eth0")).unwrap().mtu = Some(Mtu(1280));
        let node = plan(&view).value.node;
        let link = node.links[&IfName::constant("vx-submariner")].mtu;
        let routes = node.routes.iter().filter(|(key, _)| key.metric == 100);
        (link.map(|mtu| mtu.0), routes.map(|(_, route)| route.mtu.map(|mtu| mtu.0)).collect::<Vec<_>>())
    };
    assert_eq!(small(worker()), (Some(1230), vec![None, None]));
    assert_eq!(small(dual(worker())), (Some(1280), vec![Some(1230), None]));
    assert_eq!(small(six(worker())), (Some(1280), vec![Some(1210)]));
}
