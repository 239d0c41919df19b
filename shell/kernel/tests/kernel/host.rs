//! The facts that planners get.

use subm_kernel::{Capability, Kernel};
use subm_plan::World;

use crate::ground::{foreign, in_fresh_namespace, ip, listing, name, net};

#[test]
fn facts_are_what_the_host_is() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let bare = kernel.facts().unwrap();
        assert_eq!((bare.default_route.v4, bare.preferred_source.v4), (None, None));

        foreign(
            "ip link set lo up; ip link add eth7 type bridge; ip link set eth7 mtu 1442 up alias uplink; \
             ip address add 192.0.2.5/24 dev eth7; ip address add 2001:db8::5/64 dev eth7 nodad; \
             ip link add other type bridge; ip link set other up; ip address add 198.51.100.5/24 dev other; \
             ip route add default via 198.51.100.1 metric 500; ip route add default via 192.0.2.1 metric 100; \
             ip -6 route add default via 2001:db8::1; \
             echo 2 > /proc/sys/net/ipv4/conf/eth7/rp_filter; echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter",
        );
        let facts = kernel.facts().unwrap();
        let link = &facts.links[&name("eth7")];
        assert_eq!((link.mtu.map(|mtu| mtu.0), link.up, link.kind.as_str()), (Some(1442), true, "bridge"));
        assert_eq!((link.alias.as_deref(), link.rp_filter), (Some("uplink"), Some(2)));
        assert!(
            link.addresses.contains(&net("192.0.2.5/24")) && link.addresses.contains(&net("2001:db8::5/64"))
        );
        assert_eq!(facts.default_route.v4, Some(name("eth7")));
        assert_eq!(facts.default_route.v6, Some(name("eth7")));
        assert_eq!(facts.preferred_source.v4, Some(ip("192.0.2.5")));
        assert_eq!(facts.preferred_source.v6, Some(ip("2001:db8::5")));
        assert_eq!(facts.rp_filter_all, Some(1));
    });
}

#[test]
fn addresses_that_come_and_go_by_themselves_are_no_facts() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        foreign(
            "ip link add eth7 type bridge; echo 0 > /proc/sys/net/ipv6/conf/eth7/accept_dad; \
             echo 2 > /proc/sys/net/ipv6/conf/eth7/use_tempaddr; ip link set eth7 up; \
             ip address add 2001:db8::5/64 dev eth7 mngtmpaddr; ip -6 route add default via 2001:db8::1",
        );
        let taken = listing("ip -6 route get 2001:db8:1::1; ip address show dev eth7 temporary");
        assert!(taken.contains("temporary") && !taken.contains("src 2001:db8::5 "), "{taken}");
        let facts = kernel.facts().unwrap();
        let addresses = &facts.links[&name("eth7")].addresses;
        assert_eq!(addresses.iter().filter(|net| net.prefix_len() == 64).count(), 2, "{addresses:?}");
        assert_eq!(facts.preferred_source.v6, Some(ip("2001:db8::5")));
        foreign("ip link add slow type veth peer name other; ip link set slow up; ip link set other up");
        foreign("echo 200 > /proc/sys/net/ipv6/conf/slow/dad_transmits; ip address add fd07::1/64 dev slow");
        assert!(!kernel.facts().unwrap().links[&name("slow")].addresses.contains(&net("fd07::1/64")));
    });
}

#[test]
fn what_router_advertisements_may_do_is_a_fact() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        foreign("ip link add eth7 type bridge; ip link set eth7 up");
        let facts = kernel.facts().unwrap();
        assert_eq!((facts.links[&name("eth7")].accept_ra, facts.ipv6_forwarding), (Some(1), Some(0)));
        foreign(
            "echo 2 > /proc/sys/net/ipv6/conf/eth7/accept_ra; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
        );
        let facts = kernel.facts().unwrap();
        assert_eq!((facts.links[&name("eth7")].accept_ra, facts.ipv6_forwarding), (Some(2), Some(1)));
    });
}

#[test]
fn facts_follow_what_happens() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        foreign(
            "ip link add eth7 type bridge; ip link set eth7 up; ip address add 192.0.2.5/24 dev eth7; \
                 ip route add default via 192.0.2.1",
        );
        assert_eq!(kernel.facts().unwrap().preferred_source.v4, Some(ip("192.0.2.5")));
        foreign("ip route change default via 192.0.2.1 src 192.0.2.5; ip link set eth7 down");
        assert_eq!(kernel.facts().unwrap().default_route.v4, None);
        foreign("echo 1 > /proc/sys/net/ipv4/conf/eth7/rp_filter; ip link set eth7 mtu 1300");
        let facts = kernel.facts().unwrap();
        assert_eq!(facts.links[&name("eth7")].rp_filter, Some(1));
        foreign("echo 2 > /proc/sys/net/ipv4/conf/eth7/rp_filter");
        assert_eq!(kernel.facts().unwrap().links[&name("eth7")].rp_filter, Some(2));
        foreign("ip link del eth7");
        assert!(!kernel.facts().unwrap().links.contains_key(&name("eth7")));
    });
}

#[test]
fn probe_tells_what_the_kernel_can_and_leaves_no_trace() {
    in_fresh_namespace(|| {
        let kernel = Kernel::open().unwrap();
        let before = listing("ip link; nft list ruleset");
        let found = kernel.probe();
        for needed in [
            Capability::Nftables,
            Capability::Nat,
            Capability::MssClamp,
            Capability::Vxlan,
            Capability::Bridge,
            Capability::Conntrack,
        ] {
            assert!(found.has(needed), "{:?}", found.missing().collect::<Vec<_>>());
        }
        assert_eq!(listing("ip link; nft list ruleset"), before);
    });
}
