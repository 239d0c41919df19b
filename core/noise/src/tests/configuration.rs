//! What a change of configuration keeps and what it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::world::{DELAY, World, address, config, host, private};
use crate::{PeerConfig, PeerProblem, PresharedKey, PublicKey, Session};

const SECOND: Duration = Duration::from_secs(1);

fn session(world: &World) -> Arc<Session> {
    Arc::clone(world.nodes[0].session_to(1).unwrap())
}

#[test]
fn a_peer_keeps_its_session_when_anything_but_its_keys_changes() {
    let mut world = World::connected();
    let before = session(&world);
    let changed = PeerConfig {
        endpoint: Some(address(7)),
        allowed: ["10.1.0.0/17", "fd00::/64"].map(|net| net.parse().unwrap()).into_iter().collect(),
        keepalive: Some(10 * SECOND),
        ..config(1)
    };
    let sent = world.sent.len();
    world.configure(0, &[(1, changed)]);
    assert!(Arc::ptr_eq(&before, &session(&world)));
    assert_eq!(world.sent.len(), sent, "no handshake");
    let table = &world.nodes[0].table;
    assert!(table.path_to("10.1.200.1".parse().unwrap()).is_none());
    assert!(table.path_to("fd00::1".parse().unwrap()).is_some());
    assert_eq!(table.path_to(host(1)).unwrap().endpoint(), Some(address(7)));
}

#[test]
fn other_peers_do_not_notice_who_comes_and_goes() {
    let mut world = World::strangers(3);
    world.configure(1, &[(0, config(0))]);
    world.configure(2, &[(0, config(0))]);
    world.configure(0, &[(1, config(1))]);
    world.run(SECOND);
    let before = session(&world);
    world.configure(0, &[(1, config(1)), (2, config(2))]);
    world.run(SECOND);
    assert!(world.talks(0, 2));
    world.configure(0, &[(1, config(1))]);
    assert!(Arc::ptr_eq(&before, &session(&world)));
    assert!(world.nodes[0].table.path_to(host(2)).is_none());
    assert!(world.talks(0, 1));
    world.configure(0, &[]);
    assert_eq!(world.nodes[0].device.indexes(), 0, "nothing is left of peers that left");
    assert_eq!(world.nodes[0].device.poll_timeout(), None);
}

#[test]
fn another_preshared_key_makes_a_new_session_and_the_old_one_serves_until_then() {
    let mut world = World::connected();
    world.run(10 * SECOND);
    let before = session(&world);
    let secret = || Some(PresharedKey::new([5; 32]));
    world.configure(1, &[(0, PeerConfig { preshared: secret(), ..config(0) })]);
    assert!(world.talks(0, 1));
    world.run(SECOND);
    world.configure(0, &[(1, PeerConfig { preshared: secret(), ..config(1) })]);
    world.run(6 * SECOND);
    assert!(!Arc::ptr_eq(&before, &session(&world)));
    assert!(world.talks(0, 1));
}

#[test]
fn another_private_key_ends_all_sessions_and_begins_anew() {
    let mut world = World::connected();
    let (now, random) = (world.time(), &mut world.random);
    world.nodes[0].device.set_private_key(&private(0), now, &mut |bytes| random.fill(bytes));
    assert!(world.nodes[0].device.poll_table().is_none(), "the same key changes nothing");
    world.nodes[0].device.set_private_key(&private(4), now, &mut |bytes| random.fill(bytes));
    world.settle(0);
    assert!(world.nodes[0].session_to(1).is_none());
    world.nodes[0].key = world.nodes[0].device.public_key();
    world.configure(1, &[(0, config(0))]);
    world.run(6 * SECOND);
    assert!(world.talks(0, 1));
}

#[test]
fn a_peer_that_cannot_be_is_named_and_the_others_work() {
    let mut world = World::connected();
    let (own, weak, other) = (world.nodes[0].key, PublicKey([0; 32]), world.nodes[1].key);
    let all: BTreeMap<_, _> = [(own, config(0)), (weak, config(3)), (other, config(1))].into();
    let (now, random) = (world.time(), &mut world.random);
    let problems = world.nodes[0].device.set_peers(&all, now, &mut |bytes| random.fill(bytes));
    assert_eq!(problems.len(), 2);
    assert!(problems.contains(&PeerProblem::OwnKey(own)));
    assert!(problems.contains(&PeerProblem::WeakKey(weak)));
    assert!(world.talks(0, 1));
}

#[test]
fn a_network_of_two_peers_goes_to_one_of_them_and_is_named() {
    let mut world = World::strangers(3);
    let keys = [world.nodes[1].key, world.nodes[2].key];
    let (loser, winner) = (keys[0].min(keys[1]), keys[0].max(keys[1]));
    let all: BTreeMap<_, _> = keys.into_iter().map(|key| (key, config(1))).collect();
    let (now, random) = (world.time(), &mut world.random);
    let problems = world.nodes[0].device.set_peers(&all, now, &mut |bytes| random.fill(bytes));
    let network = "10.1.0.0/16".parse().unwrap();
    assert_eq!(problems, [PeerProblem::Contested { network, winner, loser }]);
    let table = world.nodes[0].device.poll_table().unwrap();
    assert_eq!(*table.path_to(host(1)).unwrap().key(), winner);
}

#[test]
fn an_endpoint_learnt_later_begins_the_handshake_that_a_packet_asked_for() {
    let mut world = World::strangers(2);
    world.configure(1, &[(0, PeerConfig { endpoint: None, ..config(0) })]);
    world.configure(0, &[(1, PeerConfig { endpoint: None, ..config(1) })]);
    world.send(0, 1, 1);
    world.run(60 * SECOND);
    assert!(world.sent.is_empty());
    world.configure(0, &[(1, config(1))]);
    world.run(4 * DELAY);
    assert_eq!(world.arrived(1), [1]);
}

#[test]
fn the_status_tells_what_happened() {
    let mut world = World::pair();
    let empty = world.nodes[1].device.status()[&world.nodes[0].key];
    assert!((empty.last_handshake, empty.endpoint, empty.has_session) == (None, None, false));
    let began = world.wall();
    world.run(SECOND);
    world.send(0, 1, 1);
    world.run(SECOND);
    let (one, other) = (
        world.nodes[0].device.status()[&world.nodes[1].key],
        world.nodes[1].device.status()[&world.nodes[0].key],
    );
    assert_eq!(one.last_handshake, Some(began + 2 * DELAY));
    assert_eq!(other.last_handshake, Some(began + 3 * DELAY));
    assert_eq!(other.endpoint, Some(address(0)));
    assert!(one.has_session && other.has_session);
    assert_eq!((one.sent, other.sent), (148 + 32 + 112 + 32, 92));
    assert_eq!((one.received, other.received), (other.sent, one.sent));
}
