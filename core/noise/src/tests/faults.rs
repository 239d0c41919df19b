//! The air loses, repeats, delays and changes what is sent.

use std::time::Duration;

use super::world::{DELAY, Datagram, World, config};
use crate::{Moment, PeerConfig};

const SECOND: Duration = Duration::from_secs(1);
/// Datagrams of a handshake and the first packets.
const FIRST: usize = 8;

/// Lets two nodes come together while the air has one fault, and says how long that took.
fn meet(mut fault: impl FnMut(usize, &mut Datagram) -> Vec<Duration> + 'static) -> (World, Moment) {
    let mut world = World::strangers(2);
    world.configure(1, &[(0, PeerConfig { endpoint: None, ..config(0) })]);
    world.air = Box::new(move |number, datagram| fault(number, datagram));
    world.configure(0, &[(1, config(1))]);
    let began = world.now;
    for number in 0..200 {
        world.send(0, 1, number);
        world.send(1, 0, number);
        world.run(SECOND / 10);
        if world.nodes.iter().all(|node| !node.delivered.is_empty()) {
            break;
        }
    }
    let took = Moment(world.now.since(began));
    world.air = Box::new(|_, _| vec![DELAY]);
    (world, took)
}

#[test]
fn each_lost_datagram_is_made_up_for() {
    for lost in 0..FIRST {
        let (mut world, took) = meet(move |number, _| if number == lost { vec![] } else { vec![DELAY] });
        assert!(took <= Moment(6 * SECOND), "datagram {lost} was lost: {took:?}");
        assert!(world.talks(0, 1));
    }
}

#[test]
fn each_repeated_datagram_is_taken_once() {
    for repeated in 0..FIRST {
        let (mut world, took) =
            meet(
                move |number, _| {
                    if number == repeated { vec![DELAY, 2 * DELAY, 9 * DELAY] } else { vec![DELAY] }
                },
            );
        assert!(took <= Moment(SECOND), "datagram {repeated} came three times: {took:?}");
        assert!(world.talks(0, 1));
        for node in [0, 1] {
            let mut arrived = world.arrived(node);
            arrived.sort_unstable();
            assert!(arrived.is_sorted_by(|a, b| a < b), "datagram {repeated}, node {node}: {arrived:?}");
        }
    }
}

#[test]
fn each_late_datagram_is_made_up_for() {
    for late in 0..FIRST {
        for delay in [3 * DELAY, 20 * DELAY, 6 * SECOND] {
            let (mut world, took) =
                meet(move |number, _| if number == late { vec![delay] } else { vec![DELAY] });
            assert!(took <= Moment(6 * SECOND), "datagram {late} was late: {took:?}");
            assert!(world.talks(0, 1));
            world.run(10 * SECOND);
            assert!(world.talks(0, 1), "datagram {late} came after {delay:?}");
        }
    }
}

#[test]
fn each_changed_datagram_is_as_if_lost() {
    for changed in 0..FIRST {
        for bit in [0, 40, 100, 255, 700] {
            let (mut world, took) = meet(move |number, datagram| {
                let bit = bit % (datagram.bytes.len() * 8);
                datagram.bytes[bit / 8] ^= u8::from(number == changed) << (bit % 8);
                vec![DELAY]
            });
            assert!(took <= Moment(6 * SECOND), "bit {bit} of datagram {changed}: {took:?}");
            assert!(world.talks(0, 1));
        }
    }
}

#[test]
fn two_sides_that_both_begin_survive_any_single_loss() {
    // Both initiations, responses and keepalives.
    for lost in 0..6 {
        let mut world = World::strangers(2);
        world.air = Box::new(move |number, _| if number == lost { vec![] } else { vec![DELAY] });
        world.configure(0, &[(1, config(1))]);
        world.configure(1, &[(0, config(0))]);
        world.run(6 * SECOND);
        assert!(world.talks(0, 1), "datagram {lost} was lost");
    }
}

#[test]
fn a_day_with_loss_stays_connected_and_small() {
    let mut world = World::strangers(2);
    let mut draw: u64 = 1;
    world.air = Box::new(move |_, _| {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (lost, late) = ((draw >> 33).is_multiple_of(20), Duration::from_millis((draw >> 40) % 50));
        if lost { vec![] } else { vec![DELAY + late] }
    });
    let keepalive = Some(10 * SECOND);
    world.configure(0, &[(1, PeerConfig { keepalive, ..config(1) })]);
    world.configure(1, &[(0, PeerConfig { keepalive, ..config(0) })]);
    let (mut sent, day) = (0, 24 * 60 * 60);
    for second in 0..day {
        world.run(SECOND);
        // Traffic comes and goes: ten minutes each way, then an hour without any.
        match second % 4_800 {
            0..600 => world.send(0, 1, sent),
            600..1_200 => world.send(1, 0, sent),
            _ => continue,
        }
        sent += 1;
    }
    let arrived: usize = world.nodes.iter().map(|node| node.delivered.len()).sum();
    assert!(arrived * 100 > sent as usize * 94, "{arrived} of {sent} with 5 % loss");
    let handshakes = world.count(0, 1, Moment::default()) + world.count(1, 1, Moment::default());
    assert!((700..1_600).contains(&handshakes), "{handshakes} initiations");
    assert!(world.nodes.iter().all(|node| node.device.indexes() <= 5));
}
