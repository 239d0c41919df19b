//! Foreign hands: every edit of ours is seen and undone, nothing of theirs is touched.

use subm_kernel::Kernel;
use subm_plan::{NodePlan, Step, diff};

use crate::ground::{
    converge, foreign, in_fresh_namespace, listing, name, observe, plan, printed, reach, scope,
};
use subm_plan::World;

const EDITS: &[&str] = &[
    "ip link del subm0",
    "ip link del subm-br",
    "ip link set subm0 down",
    "ip link set subm0 mtu 1300",
    "ip link set subm0 address 02:00:00:00:00:77",
    "ip link del subm0; ip link add subm0 type vxlan id 100 dstport 4800 local 127.0.0.1 learning; \
     ip link set subm0 alias submariner:test",
    "ip link del subm0; ip link add subm0 type bridge; ip link set subm0 alias submariner:test",
    "ip link del subm1; ip link add subm1 type vxlan id 101 dstport 4800 local ::1 nolearning; \
     ip link set subm1 alias submariner:test",
    "ip link del subm-far",
    "ip link del subm-veth; ip link add subm-veth type veth peer name other; ip link set subm-veth alias submariner:test",
    "ip link set subm-far down",
    "ip link set subm-far arp on",
    "ip link set subm-veth arp on",
    "ip link set subm-veth mtu 1300",
    "ip link set subm-far mtu 1300",
    "ip link del subm1; ip link add subm1 type vxlan id 101 dstport 4800 local ::1 nolearning udp6zerocsumtx \
     udp6zerocsumrx; ip link set subm1 alias submariner:test",
    "ip link set subm1 down",
    "ip address del fe80::ff:fe00:1/64 dev subm1",
    "ip -6 address flush dev subm1",
    "bridge fdb del 00:00:00:00:00:00 dev subm1 dst fd00:1::2",
    "bridge fdb append 00:00:00:00:00:00 dev subm1 dst fd00:1::9 self permanent",
    "ip -6 neighbour flush dev subm1 nud permanent",
    "ip -6 route replace fd00:3::/48 via fd00:100:200::2 dev subm1 onlink table 100 metric 100 proto 90 mtu 1400",
    "ip -6 route flush table 100",
    "echo 1 > /proc/sys/net/ipv6/conf/subm1/accept_ra",
    "ip address del 240.0.0.1/8 dev subm0",
    "ip address add 240.0.0.9/8 dev subm0",
    "ip address flush dev subm0",
    "ip address del fd00:240::1/64 dev subm0",
    "ip address add fd00:77::1/64 dev subm1",
    "bridge fdb del 00:00:00:00:00:00 dev subm0 dst 10.0.0.2",
    "bridge fdb del 00:00:00:00:00:00 dev subm0 dst 10.0.0.3 port 4789",
    "bridge fdb append 00:00:00:00:00:00 dev subm0 dst 10.0.0.9 self permanent",
    "bridge fdb replace 02:00:00:00:00:02 dev subm0 dst 10.0.0.99 self permanent",
    "bridge fdb replace 02:00:00:00:00:02 dev subm0 dst 10.0.0.2 self dynamic",
    "bridge fdb add 02:00:00:00:00:55 dev subm1 dst fd00:1::9 self permanent",
    "ip neighbour del 240.0.0.2 dev subm0",
    "ip neighbour replace 240.0.0.2 dev subm0 lladdr 02:00:00:00:00:66 nud permanent",
    "ip neighbour replace 240.0.0.2 dev subm0 lladdr 02:00:00:00:00:02 nud stale",
    "ip neighbour add 240.0.0.77 dev subm0 lladdr 02:00:00:00:00:66 nud permanent",
    "ip -6 neighbour del fd00:240::2 dev subm0",
    "ip rule del preference 101",
    "ip rule del preference 100",
    "ip -6 rule del preference 101",
    "ip rule add preference 7 lookup 7 protocol 90",
    "ip route flush table 1001",
    "ip route flush table 100",
    "ip route del 10.4.0.0/16 metric 100",
    "ip route del unreachable 10.2.0.0/16 table 1001 metric 4026531840",
    "ip route replace 10.2.0.0/16 dev subm-br table 1001 metric 100",
    "ip route replace 10.2.0.0/16 dev subm-br table 1001 metric 100 proto 90",
    "ip route change 10.2.0.0/16 via 240.0.0.2 dev subm0 onlink src 240.0.0.1 table 1001 metric 100 proto 90 mtu 1350 advmss 900",
    "ip route append 10.2.0.0/16 dev subm-br table 1001 metric 100 proto 90",
    "ip route prepend 10.2.0.0/16 dev subm-br table 1001 metric 100 proto 90",
    "ip route add 10.88.0.0/16 dev subm0 table 55 proto 90",
    "ip -6 route flush table 101",
    "ip -6 route append fd00:2::/48 via fd00:240::9 dev subm0 onlink table 101 metric 100 proto 90",
    "ip -6 route add unreachable fd00:99::/64 proto 90",
    "echo 0 > /proc/sys/net/ipv4/ip_forward",
    "echo 1 > /proc/sys/net/ipv4/conf/subm0/rp_filter",
    "echo 1 > /proc/sys/net/ipv4/conf/subm0/send_redirects",
    "echo 0 > /proc/sys/net/ipv6/conf/subm1/forwarding",
    "echo 0 > /proc/sys/net/ipv6/conf/subm1/addr_gen_mode",
    "nft flush ruleset",
    "nft delete table inet submariner-test",
    "nft add rule inet submariner-test other accept",
    "nft insert rule inet submariner-test source accept",
    "nft flush chain inet submariner-test source",
    "nft add chain inet submariner-test extra",
    "nft add chain inet submariner-test extra '{ type filter hook input priority 0; }'",
    "nft chain inet submariner-test forward '{ policy accept; }'",
    "nft add set inet submariner-test extra '{ type ipv4_addr; }'",
    "nft add map inet submariner-test extra '{ type ipv4_addr : ipv4_addr; }'",
    "nft add counter inet submariner-test extra",
    "nft add element inet submariner-test remote4 '{ 10.99.0.0/16 }'",
    "nft add element inet submariner-test remote4 '{ 10.99.0.1-10.99.0.9 }'",
    "nft delete element inet submariner-test remote4 '{ 10.2.0.0/16 }'",
    "nft flush set inet submariner-test remote6",
    "nft delete element inet submariner-test cables '{ subm0 }'",
    "nft add table inet submariner-test '{ flags dormant; }'",
    "nft replace rule inet submariner-test other handle \
     $(nft -a list chain inet submariner-test other | sed -n 's/.*back.*handle //p') counter return comment '\"edited\"'",
    "nft replace rule inet submariner-test other handle \
     $(nft -a list chain inet submariner-test other | sed -n 's/.*back.*handle //p') return comment '\"back\"'",
    "nft replace rule inet submariner-test other handle \
     $(nft -a list chain inet submariner-test other | sed -n 's/.*back.*handle //p') \
     limit rate 1/second counter return comment '\"back\"'",
];

#[test]
fn every_edit_is_seen_and_undone() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        reach(&mut kernel, &plan());
        for edit in EDITS {
            foreign(edit);
            let steps = converge(&mut kernel, &plan());
            assert_ne!(steps, [], "not seen: {edit}");
            let state = observe(&mut kernel, &plan());
            let left = printed(&diff(&state, &plan()));
            assert_eq!(left, "", "one run does not undo: {edit}\n{}", printed(&steps));
            assert_eq!(state.own, plan(), "{edit}");
        }
    });
}

#[test]
fn only_elements_change_where_only_elements_were_edited() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        reach(&mut kernel, &plan());
        foreign("nft add element inet submariner-test remote4 '{ 10.99.0.0/16 }'");
        foreign("nft delete element inet submariner-test cables '{ subm0 }'");
        let steps = converge(&mut kernel, &plan());
        assert!(
            matches!(steps.as_slice(), [Step::ChangeElements(_, changes)] if changes.len() == 2),
            "{steps:#?}"
        );
        reach(&mut kernel, &plan());
    });
}

const THEIRS: &str = "
    ip link add theirs type bridge; ip link set theirs up; ip address add 172.30.0.1/24 dev theirs
    ip rule add preference 101 to 172.31.0.0/16 lookup 1001 protocol 3
    ip route add 172.29.0.0/16 dev theirs table 1001; ip route add 172.28.0.0/16 dev theirs
    ip -6 route add unreachable fd00:77::/64
    nft add table inet submariner-other; nft add chain inet submariner-other c; nft add rule inet submariner-other c drop
    nft add table ip submariner-test";

const SHOW: &str = "ip -o -d link show theirs | sed 's/_timer *[0-9.]*//g'; ip -o address show theirs; ip rule | grep 172; \
    ip route show table all | grep 172; ip -6 route | grep fd00:77; nft list table inet submariner-other; nft list table ip submariner-test";

#[test]
fn foreign_objects_are_never_touched() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        foreign(THEIRS);
        let before = listing(SHOW);
        reach(&mut kernel, &plan());
        assert_eq!(listing(SHOW), before);
        reach(&mut kernel, &NodePlan::default());
        assert_eq!(listing(SHOW), before);
    });
}

#[test]
fn foreign_link_under_our_name_is_reported_and_kept() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        foreign("ip link add subm0 type bridge; ip link set subm0 alias flannel");
        let state = observe(&mut kernel, &plan());
        assert_eq!(state.foreign_links, [name("subm0")].into());

        let steps = diff(&state, &plan());
        let applied = kernel.apply(&scope(), &steps);
        let refused = &applied.failures[0];
        assert!(refused.step.starts_with("ip link add subm0 type vxlan"), "{refused:?}");
        assert_eq!(
            refused.reason,
            "link subm0 belongs to whoever gave it the alias \"flannel\", not to test: remove or rename it"
        );
        // The rest of the plan is in force.
        assert!(listing("ip -d link show subm1").contains("vxlan id 101"));
        assert!(listing("ip -d link show subm0").contains("flannel"));
        assert!(listing("nft list tables").contains("submariner-test"));

        let applied = kernel.apply(&scope(), &[Step::DeleteLink(name("subm0"))]);
        assert_eq!(applied.failures.len(), 1);
        assert!(listing("ip link").contains("subm0"));
    });
}

#[test]
fn foreign_route_in_the_main_table_is_kept() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        foreign(
            "ip link add theirs type bridge; ip link set theirs up; ip route add 10.4.0.0/16 dev theirs metric 100 proto 186",
        );
        let steps = kernel.preview(&scope(), &plan()).unwrap();
        let applied = kernel.apply(&scope(), &steps);
        assert_eq!(applied.failures.len(), 1, "{applied:?}");
        assert!(applied.failures[0].reason.contains("protocol 186"), "{applied:?}");
        assert!(listing("ip route").contains("10.4.0.0/16 dev theirs"));
    });
}

#[test]
fn link_that_was_made_but_not_yet_named_is_adopted() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        reach(&mut kernel, &plan());
        // As if the process had died between making the link and giving it its alias.
        foreign("ip link set subm0 alias ''; ip link set subm0 down");
        reach(&mut kernel, &plan());
    });
}

#[test]
fn failed_step_says_what_the_kernel_said() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let mut wanted = NodePlan::default();
        let through = crate::ground::route("absent", None, None, None);
        wanted.routes.insert(crate::ground::key(7, "10.0.0.0/8", 1), through);
        let mtu = crate::ground::route("lo", Some("10.9.9.9"), Some("203.0.113.9"), None);
        wanted.routes.insert(crate::ground::key(7, "11.0.0.0/8", 1), mtu);
        let steps = kernel.preview(&scope(), &wanted).unwrap();
        let applied = kernel.apply(&scope(), &steps);
        let reasons: Vec<_> = applied.failures.iter().map(|failure| failure.reason.as_str()).collect();
        assert_eq!(reasons[0], "link absent is not there");
        assert!(reasons[1].contains("Invalid") && reasons[1].contains("22"), "{reasons:?}");
    });
}
