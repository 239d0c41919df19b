//! Sessions come to be, are renewed and end.

use std::time::Duration;

use super::world::{DELAY, World, config, host};
use crate::message::{DATA_OVERHEAD, INITIATION, RESPONSE};
use crate::{Exhausted, Moment, PeerConfig, Refusal, Rejection};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_round_trip_makes_a_session_and_half_a_one_more_the_peers() {
    let mut world = World::pair();
    world.run(2 * DELAY);
    assert!(world.nodes[0].session_to(1).is_some());
    assert!(world.nodes[1].session_to(0).is_none(), "the peer has not yet shown that it has the keys");
    world.run(DELAY);
    assert!(world.nodes[1].session_to(0).is_some());
    let lengths: Vec<usize> = world.sent.iter().map(|(_, datagram)| datagram.bytes.len()).collect();
    assert_eq!(lengths, [INITIATION, RESPONSE, DATA_OVERHEAD]);
    assert!(world.talks(0, 1));
    assert!(world.nodes.iter().all(|node| node.rejections.is_empty() && node.refused == 0));
}

#[test]
fn packets_that_wait_for_the_session_arrive_in_order() {
    let mut world = World::pair();
    for number in 0..4 {
        world.send(0, 1, number);
    }
    assert_eq!(world.sent.len(), 1, "nothing but the initiation");
    world.run(SECOND);
    assert_eq!(world.arrived(1), [0, 1, 2, 3]);
}

#[test]
fn the_bell_rings_once_however_many_packets_wait() {
    let world = World::pair();
    let path = world.nodes[0].table.path_to(host(1)).unwrap();
    path.want_session();
    assert!(world.nodes[0].table.bell().take());
    path.want_session();
    assert!(!world.nodes[0].table.bell().take());
}

#[test]
fn traffic_never_notices_that_sessions_are_renewed() {
    let mut world = World::connected();
    for number in 0..20_000 {
        world.send(0, 1, number);
        world.send(1, 0, number);
        world.run(SECOND / 20);
    }
    world.run(SECOND);
    let all: Vec<u32> = (0..20_000).collect();
    assert_eq!(world.arrived(0), all);
    assert_eq!(world.arrived(1), all);
    let initiations = world.count(0, 1, Moment::default());
    assert!((8..=10).contains(&initiations), "{initiations} in 1,000 s: one every 120 s");
    assert_eq!(world.count(1, 1, Moment::default()), 0, "who answered does not renew");
}

#[test]
fn an_initiator_that_only_receives_renews_too() {
    let mut world = World::connected();
    for number in 0..400 {
        world.send(1, 0, number);
        world.run(SECOND);
    }
    assert_eq!(world.arrived(0), (0..400).collect::<Vec<_>>());
}

#[test]
fn both_may_begin_at_once() {
    let mut world = World::strangers(2);
    world.configure(0, &[(1, config(1))]);
    world.configure(1, &[(0, config(0))]);
    world.run(3 * DELAY);
    assert!(world.talks(0, 1));
    let all: Vec<u32> = (0..4_000).collect();
    for number in &all {
        world.send(0, 1, *number);
        world.send(1, 0, *number);
        world.run(SECOND / 10);
    }
    world.run(SECOND);
    for node in [0, 1] {
        assert_eq!(world.arrived(node)[1..], all, "to node {node}");
    }
}

#[test]
fn a_restart_costs_one_round_trip_and_a_half() {
    for restarted in [0, 1] {
        let mut world = World::strangers(2);
        world.configure(0, &[(1, config(1))]);
        world.configure(1, &[(0, config(0))]);
        world.run(30 * SECOND);
        world.restart(restarted, &[(1 - restarted, config(1 - restarted))]);
        world.run(3 * DELAY);
        assert!(world.talks(0, 1), "node {restarted} began anew");
    }
}

#[test]
fn a_restarted_peer_that_does_not_know_us_is_found_by_its_silence() {
    let mut world = World::connected();
    world.restart(1, &[(0, PeerConfig { endpoint: None, ..config(0) })]);
    world.send(0, 1, 7);
    world.run(14 * SECOND);
    assert!(world.nodes[1].session_to(0).is_none());
    world.run(2 * SECOND);
    assert!(world.talks(0, 1));
}

#[test]
fn a_session_ends_when_nobody_renews_it() {
    let mut world = World::connected();
    let (ours, theirs) =
        (world.nodes[0].session_to(1).unwrap().clone(), world.nodes[1].session_to(0).unwrap().clone());
    world.air = Box::new(|_, datagram| if datagram.bytes[0] == 4 { vec![DELAY] } else { vec![] });
    let mut late = vec![0; DATA_OVERHEAD];
    let counter = ours.reserve(1, world.now).unwrap().next().unwrap();
    ours.seal(counter, &mut late);
    for number in 0..178 {
        world.send(0, 1, number);
        world.run(SECOND);
    }
    assert_eq!(world.arrived(1).len(), 178, "the old session carries on while the handshake fails");
    world.run(2 * SECOND);
    world.send(0, 1, 999);
    world.run(SECOND);
    assert_eq!(world.arrived(1).len(), 178);
    assert_eq!(ours.reserve(1, world.now), Err(Exhausted));
    assert_eq!(theirs.open(1, &mut late, world.now), Err(Refusal::Expired));
    assert!(world.nodes.iter().all(|node| node.device.indexes() <= 1), "their indexes are free again");
}

#[test]
fn handshakes_stop_after_a_while_and_a_packet_begins_them_again() {
    let mut world = World::pair();
    world.air = Box::new(|_, _| vec![]);
    world.run(300 * SECOND);
    let tries = world.count(0, 1, Moment::default());
    assert!((17..=19).contains(&tries), "{tries} in 90 s: one every 5 s and a bit");
    assert_eq!(world.nodes[0].device.poll_timeout(), None);
    world.air = Box::new(|_, _| vec![DELAY]);
    world.send(0, 1, 1);
    world.run(SECOND);
    assert_eq!(world.arrived(1), [1]);
}

#[test]
fn another_preshared_key_on_one_side_makes_no_session() {
    let secret = |byte: u8| Some(crate::PresharedKey::new([byte; 32]));
    for (ours, theirs) in [(secret(1), secret(2)), (secret(1), None), (None, secret(1))] {
        let mut world = World::strangers(2);
        world.configure(1, &[(0, PeerConfig { preshared: theirs, ..config(0) })]);
        world.configure(0, &[(1, PeerConfig { preshared: ours, ..config(1) })]);
        world.run(20 * SECOND);
        assert!(world.nodes.iter().all(|node| node.rejections.contains(&Rejection::NotAuthentic)));
        assert!(world.nodes[0].session_to(1).is_none() && world.nodes[1].session_to(0).is_none());
        world.configure(0, &[(1, config(1))]);
        world.configure(1, &[(0, config(0))]);
        world.run(SECOND);
        assert!(world.talks(0, 1), "once both agree");
    }
}

#[test]
fn who_has_a_wrong_key_gets_nowhere() {
    let mut world = World::strangers(3);
    // Node 0 takes node 2's key for node 1's.
    world.configure(0, &[(2, PeerConfig { endpoint: Some(world.nodes[1].address), ..config(1) })]);
    world.configure(1, &[(2, config(2))]);
    world.run(SECOND);
    assert_eq!(world.nodes[1].rejections, [Rejection::NotForUs]);
    // Node 0 has node 1's key, but node 1 does not know node 0.
    world.configure(0, &[(1, config(1))]);
    world.run(SECOND);
    assert_eq!(world.nodes[1].rejections, [Rejection::NotForUs, Rejection::UnknownPeer]);
}
