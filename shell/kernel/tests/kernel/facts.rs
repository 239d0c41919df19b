//! KERNEL: what our design rests on, so that a kernel which behaves otherwise is seen at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use subm_kernel::Kernel;
use subm_plan::nft::{Elements, ElementsChange, SetName};
use subm_plan::{NodePlan, Route, Step, World};
use subm_types::Family;

use crate::ground::{
    foreign, in_fresh_namespace, key, listing, load, name, net, networks, reach, route, rule, scope, vxlan,
};
use crate::places::{CLIENT, CLIENT6, Place, ROUTER, ROUTER6, Wire};

const MASQUERADE: &str =
    "table ip cni { chain post { type nat hook postrouting priority srcnat; masquerade; } }";

fn chain(table: &str, priority: i32, rule: &str) -> String {
    format!(
        "table inet {table} {{ chain post {{ type nat hook postrouting priority {priority}; {rule}; }} }}"
    )
}

#[test]
fn accept_in_earlier_nat_chain_does_not_stop_masquerade() {
    in_fresh_namespace(|| {
        let wire = Wire::new();
        load(MASQUERADE);
        load(&chain("earlier", 90, "ip daddr 10.2.0.0/16 accept"));
        assert_eq!(wire.seen_source(5001).as_deref(), Some(ROUTER));
    });
}

#[test]
fn identity_snat_in_earlier_nat_chain_stops_masquerade() {
    in_fresh_namespace(|| {
        let wire = Wire::new();
        load(MASQUERADE);
        load(&chain("earlier", 90, "ip daddr 10.2.0.0/16 snat ip to ip saddr"));
        assert_eq!(wire.seen_source(5001).as_deref(), Some(CLIENT));
    });
}

#[test]
fn first_nat_binding_wins_for_every_order_of_creation() {
    in_fresh_namespace(|| {
        let wire = Wire::new();
        let tables = [
            chain("egress", 70, "ip daddr 10.2.0.0/16 snat ip to 10.2.0.77"),
            chain("identity", 90, "ip daddr 10.2.0.0/16 snat ip to ip saddr"),
            MASQUERADE.to_owned(),
        ];
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for (port, order) in (5001..).zip(orders) {
            foreign("nft flush ruleset");
            for index in order {
                load(&tables[index]);
            }
            assert_eq!(wire.seen_source(port).as_deref(), Some("10.2.0.77"), "{order:?}");
        }
    });
}

#[test]
fn bindings_of_ipv6_are_as_those_of_ipv4() {
    in_fresh_namespace(|| {
        let wire = Wire::new();
        load("table ip6 cni { chain post { type nat hook postrouting priority srcnat; masquerade; } }");
        assert_eq!(wire.seen_source6(5001).as_deref(), Some(ROUTER6));
        load(&chain("accepts", 90, "ip6 daddr fd02::/64 accept"));
        assert_eq!(wire.seen_source6(5002).as_deref(), Some(ROUTER6));
        load(&chain("keeps", 95, "ip6 daddr fd02::/64 snat ip6 to ip6 saddr"));
        assert_eq!(wire.seen_source6(5003).as_deref(), Some(CLIENT6));
        load(&chain("first", 70, "ip6 daddr fd02::/64 snat ip6 to fd02::77"));
        assert_eq!(wire.seen_source6(5004).as_deref(), Some("fd02::77"));
    });
}

#[test]
fn forwarding_takes_advertised_routes_away_unless_the_link_follows_all_the_same() {
    in_fresh_namespace(|| {
        let router = Place::new();
        for link in ["keeps", "loses"] {
            let up = |link: &str| {
                foreign(&format!(
                    "echo 0 > /proc/sys/net/ipv6/conf/{link}/accept_dad; ip link set {link} up"
                ));
            };
            let far = format!("of-{link}");
            router.lay(link, &far);
            up(link);
            let name = far.clone();
            router.run(move || up(&name));
            while !listing("ip -6 route show default").contains(link) {
                let name = far.clone();
                router.run(move || advertise(&name));
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        foreign(
            "echo 2 > /proc/sys/net/ipv6/conf/keeps/accept_ra; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
        );
        let left = listing("ip -6 route show default");
        assert!(left.contains("dev keeps") && !left.contains("dev loses"), "{left}");
    });
}

/// Says to everybody on a link that this host is a router (RFC 4861 §4.2).
fn advertise(link: &str) {
    const ADVERTISEMENT: [u8; 16] = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)).unwrap();
    let index = nix::net::if_::if_nametoindex(link).unwrap();
    socket.set_multicast_hops_v6(255).unwrap();
    socket.set_multicast_if_v6(index).unwrap();
    let everybody: Ipv6Addr = "ff02::1".parse().unwrap();
    // A link that has just gone up has no address to send from for a moment.
    let _sent = socket.send_to(&ADVERTISEMENT, &SocketAddrV6::new(everybody, 0, 0, index).into());
}

#[test]
fn accept_in_earlier_filter_chain_does_not_override_a_later_drop() {
    in_fresh_namespace(|| {
        let wire = Wire::new();
        load(
            "table inet ours { chain f { type filter hook forward priority filter - 1; ip daddr 10.2.0.0/16 accept; } }",
        );
        assert_eq!(wire.seen_source(5001).as_deref(), Some(CLIENT));
        load("table inet theirs { chain f { type filter hook forward priority filter; policy drop; } }");
        assert_eq!(wire.seen_source(5002), None);
    });
}

#[test]
fn part_of_a_merged_range_cannot_be_deleted() {
    in_fresh_namespace(|| {
        load(
            "table inet submariner-test { set s { type ipv4_addr; flags interval; auto-merge; \
              elements = { 10.2.0.0/16, 10.3.0.0/16 } } }",
        );
        let change = ElementsChange {
            set: SetName("s".to_owned()),
            delete: Elements::Networks(Family::V4, networks("10.3.0.0/16")),
            add: Elements::Networks(Family::V4, networks("")),
        };
        let mut kernel = Kernel::open().unwrap();
        let applied = kernel.apply(&scope(), &[Step::ChangeElements(scope().table, vec![change])]);
        assert_eq!(applied.failures.len(), 1);
        assert!(listing("nft list ruleset").contains("10.2.0.0/15"));
    });
}

#[test]
fn unreachable_route_stands_in_while_the_better_one_is_gone() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let plan = NodePlan {
            links: BTreeMap::from([(name("subm0"), vxlan(100, "127.0.0.1"))]),
            addresses: BTreeSet::from([(name("subm0"), net("240.0.0.1/8"))]),
            rules: BTreeSet::from([rule(Family::V4, 101, 101)]),
            routes: BTreeMap::from([
                (key(101, "10.2.0.0/16", 100), route("subm0", Some("240.0.0.2"), None, None)),
                (key(101, "10.2.0.0/16", 0xF000_0000), Route::UNREACHABLE),
            ]),
            ..NodePlan::default()
        };
        foreign(
            "ip link set lo up; ip link add out type bridge; ip link set out up; ip address add 172.30.0.1/24 dev out; \
                 ip route add default via 172.30.0.9",
        );
        reach(&mut kernel, &plan);
        let connect = || UdpSocket::bind("0.0.0.0:0").unwrap().connect("10.2.0.9:1");
        connect().unwrap();
        foreign("ip link set subm0 down");
        assert_eq!(connect().unwrap_err().kind(), ErrorKind::HostUnreachable);
        foreign("ip link del subm0");
        assert_eq!(connect().unwrap_err().kind(), ErrorKind::HostUnreachable);
    });
}

#[test]
fn addresses_of_one_network_do_not_take_each_other_along() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let plan = |address: &str| NodePlan {
            links: BTreeMap::from([(name("subm0"), vxlan(100, "127.0.0.1"))]),
            addresses: BTreeSet::from([(name("subm0"), net(address))]),
            ..NodePlan::default()
        };
        reach(&mut kernel, &plan("240.0.0.1/8"));
        reach(&mut kernel, &plan("240.0.0.2/8"));
        assert!(listing("ip route").contains("240.0.0.0/8 dev subm0 proto kernel scope link src 240.0.0.2"));
    });
}
