//! The links that userspace reads and writes packets by.

use subm_kernel::Kernel;
use subm_plan::{HostFacts, Link, LinkKind, NodePlan, Step, WireguardDevice, WireguardPeer, World};
use subm_types::{Mtu, PresharedKey, PrivateKey};

use crate::ground::{
    converge, foreign, in_fresh_namespace, key, listing, name, networks, pair, reach, route, tun_devices,
};

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

/// A pair of links with WireGuard on it, and two peers that nobody is.
fn wireguard() -> NodePlan {
    let dev = name("subm-veth");
    let peer = |last: u8, allowed: &str| WireguardPeer {
        preshared_key: Some(PresharedKey::new([last; 32])),
        endpoint: format!("127.0.0.{last}:51820").parse().unwrap(),
        allowed: networks(allowed),
        keepalive: 10,
    };
    let public = |last: u8| subm_noise::public_key(&PrivateKey::new([last; 32]));
    let device = WireguardDevice {
        private_key: PrivateKey::new([1; 32]),
        listen_port: 51820,
        peers: [(public(2), peer(2, "10.2.0.0/16 fd00:2::/48")), (public(3), peer(3, "10.3.0.0/16"))].into(),
    };
    let mut plan = NodePlan::default();
    plan.links.insert(dev.clone(), pair(1420));
    plan.routes.insert(key(100, "10.2.0.0/16", 100), route("subm-veth", None, None, None));
    plan.wireguard.insert(dev, device);
    plan
}

#[test]
fn wireguard_is_what_the_plan_says_and_stays_so() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        reach(&mut kernel, &wireguard());
        assert_eq!(kernel.evidence().len(), 2);
        let mut other = wireguard();
        let device = other.wireguard.get_mut(&name("subm-veth")).unwrap();
        device.listen_port = 51821;
        let (first, second) = (*device.peers.keys().next().unwrap(), *device.peers.keys().last().unwrap());
        let moved = device.peers.remove(&first).unwrap();
        device.peers.get_mut(&second).unwrap().allowed = moved.allowed;
        reach(&mut kernel, &other);
        reach(&mut kernel, &wireguard());
        // The device goes with its link, and comes back with it.
        foreign("ip link del subm-far");
        assert!(!converge(&mut kernel, &wireguard()).is_empty());
        reach(&mut kernel, &wireguard());
        reach(&mut kernel, &NodePlan::default());
        assert!(kernel.evidence().is_empty());
    });
}

#[test]
fn wireguard_is_set_up_again_on_the_link_that_a_process_left() {
    in_fresh_namespace(|| {
        reach(&mut Kernel::open().unwrap(), &wireguard());
        let mut another = Kernel::open().unwrap();
        let steps = converge(&mut another, &wireguard());
        assert!(
            matches!(steps.as_slice(), [Step::SetWireguard(..), Step::SetPeer(..), Step::SetPeer(..)]),
            "{steps:#?}"
        );
        assert_eq!(converge(&mut another, &wireguard()), []);
    });
}
