//! The links that userspace reads and writes packets by.

use subm_kernel::Kernel;
use subm_plan::{HostFacts, Link, LinkKind, NodePlan, World};
use subm_types::Mtu;

use crate::ground::{converge, foreign, in_fresh_namespace, key, listing, name, reach, route, tun_devices};

fn tun() -> NodePlan {
    let mut plan = NodePlan::default();
    plan.links.insert(name("subm-tun"), Link { kind: LinkKind::Tun, mtu: Some(Mtu(1420)), mac: None });
    plan.routes.insert(key(100, "10.2.0.0/16", 100), route("subm-tun", None, None, None));
    plan.routes.insert(key(100, "fd00:2::/48", 100), route("subm-tun", None, None, None));
    plan
}

#[test]
fn tun_device_stays_with_its_routes_when_nobody_has_it_open() {
    in_fresh_namespace(|| {
        {
            let mut kernel = Kernel::open().unwrap();
            reach(&mut kernel, &tun());
        }
        assert!(listing("ip -d link show subm-tun").contains("persist on"));
        let mut another = Kernel::open().unwrap();
        assert_eq!(converge(&mut another, &tun()), []);
        assert!(listing("ip route show table 100").contains("10.2.0.0/16 dev subm-tun"));
        // KERNEL: what nobody reads is thrown away, it does not leave by another route.
        foreign(
            "ip link add uplink type bridge; ip link set uplink up; ip address add 10.9.0.1/24 dev uplink",
        );
        foreign("ip route add default via 10.9.0.2; ip rule add preference 100 lookup 100");
        assert!(listing("ip route get 10.2.0.1").contains("dev subm-tun"));
        reach(&mut another, &NodePlan::default());
        assert_eq!(listing("ip -o link show subm-tun 2>/dev/null"), "");
    });
}

#[test]
fn tun_device_of_another_make_is_made_anew() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        for options in ["mode tun multi_queue", "mode tap"] {
            foreign(&format!(
                "ip link del subm-tun 2>/dev/null; ip tuntap add subm-tun {options} && ip link set subm-tun alias submariner:test"
            ));
            assert!(!converge(&mut kernel, &tun()).is_empty(), "{options}");
            assert_eq!(converge(&mut kernel, &tun()), [], "{options}");
        }
    });
}

#[test]
fn host_tells_whether_tun_devices_can_be_opened() {
    in_fresh_namespace(|| {
        let HostFacts { tun, .. } = Kernel::open().unwrap().facts().unwrap();
        assert_eq!(tun, tun_devices());
    });
}
