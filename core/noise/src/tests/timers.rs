//! Keepalives, and what silence means.

use std::time::Duration;

use super::world::{DELAY, World, config};
use crate::message::DATA_OVERHEAD;
use crate::{Moment, PeerConfig};

const SECOND: Duration = Duration::from_secs(1);

/// When a node sent its empty packets, since a moment, in milliseconds.
fn keepalives(world: &World, node: usize, since: Moment) -> Vec<u128> {
    let empty = world.sent.iter().filter(|(at, datagram)| {
        *at >= since
            && datagram.from == world.nodes[node].address
            && datagram.bytes[0] == 4
            && datagram.bytes.len() == DATA_OVERHEAD
    });
    empty.map(|(at, _)| at.since(since).as_millis()).collect()
}

#[test]
fn a_peer_without_traffic_is_left_alone() {
    let mut world = World::connected();
    let sent = world.sent.len();
    world.run(3_600 * SECOND);
    assert_eq!(world.sent.len(), sent);
    assert_eq!(world.nodes[0].device.poll_timeout(), None, "nothing to wake up for");
}

#[test]
fn data_that_nobody_answers_is_acknowledged_after_ten_seconds() {
    let mut world = World::connected();
    let began = world.now;
    world.send(0, 1, 1);
    world.run(60 * SECOND);
    assert_eq!(keepalives(&world, 1, began), [10_010]);
    assert_eq!(keepalives(&world, 0, began), [] as [u128; 0], "an empty packet needs no answer");
    assert_eq!(world.count(0, 1, began), 0, "the answer has shown that the peer is there");
}

#[test]
fn data_that_is_answered_needs_no_keepalive() {
    let mut world = World::connected();
    let began = world.now;
    for number in 0..60 {
        world.send(0, 1, number);
        world.send(1, 0, number);
        world.run(SECOND);
    }
    assert_eq!(keepalives(&world, 0, began).len() + keepalives(&world, 1, began).len(), 0);
}

#[test]
fn one_way_traffic_is_acknowledged_every_ten_seconds() {
    let mut world = World::connected();
    let began = world.now;
    for number in 0..100 {
        world.send(0, 1, number);
        world.run(SECOND);
    }
    let sent = keepalives(&world, 1, began);
    assert_eq!(sent[..3], [10_010, 21_010, 32_010]);
    assert_eq!(world.count(0, 1, began), 0);
}

#[test]
fn silence_after_data_begins_a_handshake_after_fifteen_seconds() {
    let mut world = World::connected();
    let began = world.now;
    world.air = Box::new(|_, _| vec![]);
    world.send(0, 1, 1);
    world.run(SECOND * 149 / 10);
    assert_eq!(world.count(0, 1, began), 0);
    world.run(SECOND / 5);
    assert_eq!(world.count(0, 1, began), 1);
}

#[test]
fn a_persistent_keepalive_keeps_its_pace() {
    let mut world = World::strangers(2);
    world.configure(1, &[(0, PeerConfig { endpoint: None, ..config(0) })]);
    world.configure(0, &[(1, PeerConfig { keepalive: Some(7 * SECOND), ..config(1) })]);
    let began = world.now;
    world.run(100 * SECOND);
    let sent = keepalives(&world, 0, began);
    let expected: Vec<u128> = (0..15).map(|number| 20 + number * 7_000).collect();
    assert_eq!(sent, expected);
    assert!(keepalives(&world, 1, began).is_empty());
    world.run(3_600 * SECOND);
    assert!(world.talks(0, 1), "the session is renewed for the keepalives alone");
}

#[test]
fn a_persistent_keepalive_finds_a_peer_that_comes_hours_later() {
    let mut world = World::strangers(2);
    world.configure(0, &[(1, PeerConfig { keepalive: Some(10 * SECOND), ..config(1) })]);
    world.run(5 * 3_600 * SECOND);
    let began = world.now;
    world.configure(1, &[(0, PeerConfig { endpoint: None, ..config(0) })]);
    world.run(11 * SECOND);
    assert!(world.talks(0, 1));
    assert!(world.count(0, 1, began) <= 3);
}

#[test]
fn no_keepalive_means_none() {
    let mut world = World::strangers(2);
    world.configure(1, &[(0, config(0))]);
    world.configure(0, &[(1, PeerConfig { keepalive: Some(Duration::ZERO), ..config(1) })]);
    world.run(SECOND);
    let began = world.now;
    world.run(100 * SECOND);
    assert!(keepalives(&world, 0, began).is_empty());
}

#[test]
fn initiations_to_one_peer_keep_their_distance() {
    let mut world = World::pair();
    world.air = Box::new(|_, datagram| if datagram.bytes[0] == 1 { vec![DELAY] } else { vec![] });
    for number in 0..600 {
        world.send(0, 1, number);
        world.run(SECOND / 10);
    }
    let times: Vec<Moment> =
        world.sent.iter().filter(|(_, sent)| sent.bytes[0] == 1).map(|(at, _)| *at).collect();
    assert!(times.windows(2).all(|two| {
        let apart = two[1].since(two[0]);
        (5 * SECOND..=5 * SECOND + Duration::from_millis(334)).contains(&apart)
    }));
    assert!(times.len() > 10);
}
