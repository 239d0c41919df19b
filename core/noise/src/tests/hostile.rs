//! Datagrams from somebody who wants harm.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;

use super::world::{DELAY, Datagram, Node, World, address, config, private};
use crate::{PeerStatus, Rejection};

const SECOND: Duration = Duration::from_secs(1);

fn status(world: &World, node: usize) -> PeerStatus {
    world.nodes[node].device.status()[&world.nodes[1 - node].key]
}

/// All that a connected pair has sent, some traffic and a renewal included.
fn capture(world: &mut World) -> Vec<Datagram> {
    for number in 0..40 {
        world.send(0, 1, number);
        world.send(1, 0, number);
        world.run(4 * SECOND);
    }
    world.sent.iter().map(|(_, datagram)| datagram.clone()).collect()
}

#[test]
fn a_replay_of_everything_changes_nothing() {
    let mut world = World::connected();
    let captured = capture(&mut world);
    let before = (status(&world, 0), status(&world, 1));
    let arrived = (world.arrived(0), world.arrived(1));
    let sent = world.sent.len();
    for datagram in captured {
        let to = usize::from(datagram.to == world.nodes[1].address);
        world.receive(to, datagram);
    }
    assert_eq!((status(&world, 0), status(&world, 1)), before);
    assert_eq!((world.arrived(0), world.arrived(1)), arrived);
    assert_eq!(world.sent.len(), sent, "a replay gets no answer");
    assert!(world.nodes[1].rejections.contains(&Rejection::Replayed));
    assert!(world.talks(0, 1));
}

#[test]
fn an_initiation_of_before_a_restart_is_stale_for_who_stayed() {
    let mut world = World::connected();
    let captured = world.sent[0].1.clone();
    world.restart(0, &[(1, config(1))]);
    world.run(SECOND);
    world.receive(1, captured);
    assert_eq!(world.nodes[1].rejections.last(), Some(&Rejection::Replayed));
    assert!(world.talks(0, 1));
}

#[test]
fn a_cookie_proves_an_address_under_load_and_nobody_else_is_served() {
    let mut world = World::strangers(2);
    world.configure(1, &[(0, config(0))]);
    world.run(5 * 60 * SECOND);
    let began = world.sent.len();
    flood(&mut world, 400);
    assert!(world.nodes[1].rejections.ends_with(&[Rejection::Cookie; 9]), "{:?}", world.nodes[1].rejections);
    assert!(world.sent[began..].iter().any(|(_, sent)| sent.bytes.len() == 64));

    world.configure(0, &[(1, config(1))]);
    world.run(2 * SECOND);
    assert!(world.nodes[0].session_to(1).is_none(), "the first initiation only earned a cookie");
    let mut seconds = 0;
    while world.nodes[0].session_to(1).is_none() && seconds < 10 {
        flood(&mut world, 400);
        world.run(SECOND / 2);
        flood(&mut world, 400);
        world.run(SECOND / 2);
        seconds += 1;
    }
    assert!(world.nodes[0].session_to(1).is_some(), "the second one carries it and is answered");
    assert!(world.nodes[1].rejections.ends_with(&[Rejection::Cookie; 9]), "still under load");
    assert!(world.nodes[1].device.indexes() <= 2);
}

/// An initiation by somebody who knows the key of node 1 but is no peer.
fn attacker(world: &mut World) -> Node {
    let mut attacker = Node::new(8, private(8));
    let (now, random) = (world.time(), &mut world.random);
    let peers = [(world.nodes[1].key, config(1))].into();
    attacker.device.set_peers(&peers, now, &mut |bytes| random.fill(bytes));
    attacker
}

/// Initiations from addresses that the sender does not have.
fn flood(world: &mut World, count: u16) {
    let bytes = attacker(world).device.poll_transmit().unwrap().payload;
    for number in 0..count {
        let from = SocketAddr::new(IpAddr::from([203, 0, 113, number.to_le_bytes()[0]]), number);
        world.receive(1, Datagram { from, to: address(1), bytes: bytes.clone() });
    }
}

#[test]
fn one_source_that_proves_its_address_still_gets_only_its_rate() {
    let mut world = World::strangers(2);
    flood(&mut world, 400);
    // The attacker earns a cookie and signs its next initiation with it.
    let mut attacker = attacker(&mut world);
    let first = attacker.device.poll_transmit().unwrap().payload;
    world.receive(1, Datagram { from: address(8), to: address(1), bytes: first });
    let reply = world.sent.last().unwrap().1.bytes.clone();
    let random = &mut world.random;
    let mut now = crate::Now { moment: world.now, wall: std::time::UNIX_EPOCH };
    let taken = attacker.device.handle_handshake(&reply, address(1), now, &mut |bytes| random.fill(bytes));
    assert_eq!(taken, Ok(()));
    now.moment = now.moment + 6 * SECOND;
    attacker.device.handle_timeout(now, &mut |bytes| random.fill(bytes));
    let signed = attacker.device.poll_transmit().unwrap().payload;

    world.nodes[1].rejections.clear();
    for _ in 0..1_000 {
        let bytes = signed.clone();
        world.receive(1, Datagram { from: address(8), to: address(1), bytes });
        world.run(Duration::from_millis(1));
    }
    let heard = world.nodes[1].rejections.iter().filter(|one| **one == Rejection::UnknownPeer).count();
    assert!((20..=25).contains(&heard), "{heard} in a second");
    assert_eq!(
        world.nodes[1].rejections.iter().filter(|one| **one == Rejection::TooMany).count(),
        1_000 - heard
    );
    world.receive(1, Datagram { from: address(7), to: address(1), bytes: signed });
    assert_eq!(world.nodes[1].rejections.last(), Some(&Rejection::Cookie), "the cookie is of one address");
}

#[test]
fn a_peer_that_floods_is_answered_at_a_bounded_rate() {
    let mut world = World::connected();
    let mut taken = 0;
    for number in 0..200_u64 {
        // Node 0 begins anew each time, as a broken or hostile peer could.
        let mut twin = Node::new(0, private(0));
        let mut now = world.time();
        now.wall += Duration::from_secs(number);
        let random = &mut world.random;
        twin.device
            .set_peers(&[(world.nodes[1].key, config(1))].into(), now, &mut |bytes| random.fill(bytes));
        let bytes = twin.device.poll_transmit().unwrap().payload;
        let rejected = world.nodes[1].rejections.len();
        world.receive(1, Datagram { from: address(0), to: address(1), bytes });
        taken += usize::from(world.nodes[1].rejections.len() == rejected);
        world.run(Duration::from_millis(1));
    }
    assert!((5..=11).contains(&taken), "{taken} in 200 ms");
    assert!(world.nodes[1].device.indexes() <= 3);
}

#[derive(Debug, Clone)]
enum Attack {
    Noise(Vec<u8>),
    Typed(u8, Vec<u8>),
    Cut(prop::sample::Index, prop::sample::Index),
    Flip(prop::sample::Index, Vec<prop::sample::Index>),
    Splice(prop::sample::Index, prop::sample::Index, prop::sample::Index),
    Extend(prop::sample::Index, Vec<u8>),
}

fn attack() -> impl Strategy<Value = Attack> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    let index = any::<prop::sample::Index>;
    prop_oneof![
        bytes().prop_map(Attack::Noise),
        (1..=4_u8, bytes()).prop_map(|(kind, rest)| Attack::Typed(kind, rest)),
        (index(), index()).prop_map(|(which, at)| Attack::Cut(which, at)),
        (index(), prop::collection::vec(index(), 1..4)).prop_map(|(which, bits)| Attack::Flip(which, bits)),
        (index(), index(), index()).prop_map(|(head, tail, at)| Attack::Splice(head, tail, at)),
        (index(), prop::collection::vec(any::<u8>(), 1..64))
            .prop_map(|(which, more)| Attack::Extend(which, more)),
    ]
}

impl Attack {
    fn bytes(&self, captured: &[Datagram]) -> Vec<u8> {
        let get = |index: &prop::sample::Index| index.get(captured).bytes.clone();
        match self {
            Self::Noise(bytes) => bytes.clone(),
            Self::Typed(kind, rest) => [&[*kind, 0, 0, 0], rest.as_slice()].concat(),
            Self::Cut(which, at) => {
                let mut bytes = get(which);
                bytes.truncate(at.index(bytes.len()));
                bytes
            }
            Self::Flip(which, bits) => {
                let mut bytes = get(which);
                for bit in bits {
                    let bit = bit.index(bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                bytes
            }
            Self::Splice(head, tail, at) => {
                let (head, tail) = (get(head), get(tail));
                let at = at.index(head.len().min(tail.len()));
                [&head[..at], &tail[at..]].concat()
            }
            Self::Extend(which, more) => [get(which), more.clone()].concat(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_datagram_of_a_stranger_disturbs_a_session(
        attacks in prop::collection::vec((attack(), any::<bool>()), 1..120)
    ) {
        let mut world = World::connected();
        let captured = capture(&mut world);
        let before = (status(&world, 0), status(&world, 1));
        let (arrived, indexes) = ((world.arrived(0), world.arrived(1)), world.nodes[0].device.indexes());
        for (attack, at) in attacks {
            let at = usize::from(at);
            let datagram = Datagram { from: address(9), to: address(at), bytes: attack.bytes(&captured) };
            world.receive(at, datagram);
        }
        prop_assert_eq!((status(&world, 0), status(&world, 1)), before);
        prop_assert_eq!((world.arrived(0), world.arrived(1)), arrived);
        prop_assert_eq!(world.nodes[0].device.indexes(), indexes);
        world.run(DELAY);
        prop_assert!(world.talks(0, 1));
    }
}
