//! WireGuard devices that the kernel carries.

use subm_kernel::Kernel;
use subm_plan::{HostFacts, Link, LinkKind, NodePlan, Step, WireguardDevice, WireguardPeer, World};
use subm_types::{Mtu, PresharedKey, PrivateKey, PublicKey};

use crate::ground::{
    converge, foreign, in_fresh_namespace, key, listing, name, networks, observe, pair, printed, reach, route,
};

fn public(last: u8) -> PublicKey {
    subm_noise::public_key(&PrivateKey::new([last; 32]))
}

/// A device of the kernel with two peers that nobody is.
fn plan() -> NodePlan {
    let dev = name("subm-wg");
    let peer = |last: u8, allowed: &str| WireguardPeer {
        preshared_key: Some(PresharedKey::new([last; 32])),
        endpoint: format!("127.0.0.{last}:51820").parse().unwrap(),
        allowed: networks(allowed),
        keepalive: 10,
    };
    let device = WireguardDevice {
        private_key: PrivateKey::new([1; 32]),
        listen_port: 51820,
        peers: [(public(2), peer(2, "10.2.0.0/16 fd00:2::/48")), (public(3), peer(3, "10.3.0.0/16"))].into(),
    };
    let mut plan = NodePlan::default();
    plan.links.insert(dev.clone(), Link { kind: LinkKind::Wireguard, mtu: Some(Mtu(1400)), mac: None });
    plan.routes.insert(key(100, "10.2.0.0/16", 100), route("subm-wg", None, None, None));
    plan.routes.insert(key(100, "fd00:2::/48", 100), route("subm-wg", None, None, None));
    plan.wireguard.insert(dev, device);
    plan
}

#[test]
fn device_is_what_the_plan_says_and_stays_when_the_process_ends() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let HostFacts { wireguard, .. } = kernel.facts().unwrap();
        assert!(wireguard);
        reach(&mut kernel, &plan());
        assert_eq!(kernel.evidence().len(), 2);
        drop(kernel);
        let mut another = Kernel::open().unwrap();
        assert_eq!(converge(&mut another, &plan()), []);
        assert_eq!(another.evidence().keys().copied().collect::<Vec<_>>(), {
            let mut keys = vec![public(2), public(3)];
            keys.sort();
            keys
        });
        reach(&mut another, &NodePlan::default());
        assert_eq!(listing("ip -o link show subm-wg 2>/dev/null"), "");
        assert!(another.evidence().is_empty());
    });
}

#[test]
fn networks_move_between_peers_and_keys_change() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        reach(&mut kernel, &plan());
        let mut other = plan();
        let device = other.wireguard.get_mut(&name("subm-wg")).unwrap();
        (device.listen_port, device.private_key) = (51821, PrivateKey::new([9; 32]));
        let moved = device.peers.remove(&public(2)).unwrap();
        device.peers.get_mut(&public(3)).unwrap().allowed = moved.allowed;
        device.peers.get_mut(&public(3)).unwrap().preshared_key = None;
        reach(&mut kernel, &other);
        reach(&mut kernel, &plan());
    });
}

#[test]
fn peer_that_moves_is_followed_at_once() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        reach(&mut kernel, &plan());
        let mut moved = plan();
        let device = moved.wireguard.get_mut(&name("subm-wg")).unwrap();
        device.peers.get_mut(&public(2)).unwrap().endpoint = "[fd00:99::1]:4501".parse().unwrap();
        let steps = converge(&mut kernel, &moved);
        assert!(matches!(steps.as_slice(), [Step::SetPeer(..)]), "{steps:#?}");
        assert!(listing("wg show subm-wg endpoints").contains("[fd00:99::1]:4501"));
        assert_eq!(converge(&mut kernel, &moved), []);
    });
}

#[test]
fn process_and_kernel_take_over_from_each_other() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let mut by_process = plan();
        by_process.links.insert(name("subm-wg"), pair(1400));
        for _ in 0..2 {
            reach(&mut kernel, &by_process);
            assert!(listing("ip -d link show subm-wg").contains("veth"));
            reach(&mut kernel, &plan());
            assert!(listing("ip -d link show subm-wg").contains("wireguard"));
            assert_eq!(listing("ip -o link show subm-far 2>/dev/null"), "");
        }
    });
}

/// What others do with `wg`; $TWO is the key of a peer.
const EDITS: &[&str] = &[
    "wg set subm-wg peer $TWO remove",
    "wg set subm-wg peer $(wg genkey | wg pubkey) allowed-ips 10.2.0.0/16",
    "wg set subm-wg peer $(wg genkey | wg pubkey) allowed-ips 10.7.0.0/16",
    "wg set subm-wg peer $TWO allowed-ips 10.9.0.0/16",
    "wg set subm-wg peer $TWO allowed-ips ''",
    "wg set subm-wg peer $TWO preshared-key /dev/null",
    "wg genpsk > /tmp/psk; wg set subm-wg peer $TWO preshared-key /tmp/psk; rm /tmp/psk",
    "wg set subm-wg peer $TWO endpoint 127.0.0.9:9",
    "wg set subm-wg peer $TWO persistent-keepalive 0",
    "wg set subm-wg listen-port 1234",
    "wg set subm-wg fwmark 7",
    "wg genkey > /tmp/key; wg set subm-wg private-key /tmp/key; rm /tmp/key",
    "wg set subm-wg private-key /dev/null",
    "ip link del subm-wg",
    "ip link del subm-wg; ip link add subm-wg type wireguard; ip link set subm-wg alias submariner:test",
    "ip link set subm-wg down",
    "ip link set subm-wg mtu 1300",
];

#[test]
fn every_edit_is_seen_and_undone() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        reach(&mut kernel, &plan());
        for edit in EDITS {
            foreign(&format!("TWO={}; {edit}", public(2)));
            let steps = converge(&mut kernel, &plan());
            assert_ne!(steps, [], "not seen: {edit}");
            let state = observe(&mut kernel, &plan());
            assert_eq!(state.own, plan(), "{edit}\n{}", printed(&steps));
            assert_eq!(listing("wg show subm-wg fwmark").trim(), "off", "{edit}");
        }
    });
}

#[test]
fn no_key_is_in_what_is_printed() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        reach(&mut kernel, &plan());
        let state = observe(&mut kernel, &plan());
        let told = format!("{} {state:?} {:?}", state.own, kernel.evidence());
        let secrets = listing("wg show subm-wg private-key; wg show subm-wg preshared-keys | cut -f2");
        assert_eq!(secrets.lines().count(), 3, "{secrets}");
        for secret in secrets.lines() {
            assert!(!told.contains(secret), "a secret is told");
        }
    });
}
