//! Where a peer is follows what is authentic, and nothing else.

use std::time::Duration;

use super::world::{DELAY, World, address, config, host};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_peer_that_moves_is_followed() {
    for new in ["198.51.100.7:1234", "[2001:db8::7]:4500"] {
        let mut world = World::connected();
        world.nodes[0].address = new.parse().unwrap();
        world.send(0, 1, 1);
        world.run(SECOND);
        assert_eq!(world.nodes[1].table.path_to(host(0)).unwrap().endpoint(), new.parse().ok());
        assert_eq!(world.nodes[1].device.status()[&world.nodes[0].key].endpoint, new.parse().ok());
        assert!(world.talks(0, 1));
    }
}

#[test]
fn what_is_not_authentic_moves_nobody() {
    let mut world = World::connected();
    world.send(0, 1, 1);
    world.run(SECOND);
    let captured: Vec<_> = world.sent.iter().map(|(_, datagram)| datagram.clone()).collect();
    for datagram in captured {
        for bit in [None, Some(8), Some(100), Some(250)] {
            let mut forged = datagram.clone();
            forged.from = address(9);
            if let Some(bit) = bit {
                forged.bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let to = usize::from(forged.to == world.nodes[1].address);
            world.receive(to, forged);
        }
    }
    world.run(SECOND);
    assert_eq!(world.nodes[1].table.path_to(host(0)).unwrap().endpoint(), Some(address(0)));
    assert_eq!(world.nodes[0].table.path_to(host(1)).unwrap().endpoint(), Some(address(1)));
    assert_eq!(world.arrived(1), [1]);
    assert!(world.talks(0, 1));
}

#[test]
fn an_initiation_from_elsewhere_moves_the_peer() {
    let mut world = World::connected();
    world.run(10 * SECOND);
    world.restart(0, &[]);
    world.nodes[0].address = address(5);
    world.configure(0, &[(1, config(1))]);
    world.run(3 * DELAY);
    assert!(world.talks(0, 1));
}

#[test]
fn a_configured_endpoint_counts_when_it_changes() {
    let mut world = World::connected();
    world.nodes[1].address = address(5);
    world.send(1, 0, 1);
    world.run(SECOND);
    assert_eq!(world.nodes[0].table.path_to(host(1)).unwrap().endpoint(), Some(address(5)));
    world.configure(0, &[(1, config(1))]);
    assert_eq!(
        world.nodes[0].table.path_to(host(1)).unwrap().endpoint(),
        Some(address(5)),
        "the same configuration again does not take the peer back"
    );
    let elsewhere = crate::PeerConfig { endpoint: Some(address(6)), ..config(1) };
    world.configure(0, &[(1, elsewhere)]);
    assert_eq!(world.nodes[0].table.path_to(host(1)).unwrap().endpoint(), Some(address(6)));
}

#[test]
fn a_source_that_is_not_the_peers_is_not_admitted() {
    let mut world = World::strangers(3);
    world.configure(0, &[(1, config(1)), (2, config(2))]);
    world.configure(1, &[(0, config(0))]);
    world.configure(2, &[(0, config(0))]);
    world.run(SECOND);
    let table = &world.nodes[0].table;
    let (one, two) = (table.path_to(host(1)).unwrap(), table.path_to(host(2)).unwrap());
    assert!(table.admits(one, host(1)) && table.admits(two, host(2)));
    assert!(!table.admits(one, host(2)) && !table.admits(one, host(0)) && !table.admits(one, host(7)));
}

#[test]
fn a_flood_of_strangers_does_not_keep_a_peer_from_being_heard() {
    let world = World::connected();
    let table = &world.nodes[1].table;
    let heard = (0..10_000).filter(|_| table.hears(address(9), world.now)).count();
    assert!(heard < 300, "{heard} at once");
    assert!(table.hears(address(0), world.now));
}
