//! Engines start, change, end and come back.

use std::fs;
use std::net::UdpSocket;

use subm_wireguard::{DeviceFailure, Engine, EngineError, Tun, create_tun};

use crate::ground::{
    KINDS, Kind, Node, Outer, PORT, Pair, ask, config, connect, device, echo_tcp, echo_udp, exchange,
    furnish, link, open_udp, payload, public, start, until,
};

#[test]
fn a_stream_survives_the_restart_of_either_end() {
    for kind in KINDS {
        let mut pair = Pair::new(kind, Outer::V4, 1500);
        let mut stream = connect(&pair.near, echo_tcp(&pair.far, pair.inner()[0]));
        exchange(&mut stream, &payload(100_000));
        for (end, own) in [(0, 1), (1, 2)] {
            let node = if end == 0 { pair.near.clone() } else { pair.far.clone() };
            let again = config(own, Some(Outer::V4.address(3 - own)));
            // The old engine goes first: a device has one user.
            let [near, far] = pair.engines;
            let other = if end == 0 {
                drop(near);
                far
            } else {
                drop(far);
                near
            };
            let restarted = start(&node, kind, &again);
            pair.engines = if end == 0 { [restarted, other] } else { [other, restarted] };
            exchange(&mut stream, &payload(100_000));
        }
    }
}

#[test]
fn changing_port_and_peers_keeps_a_stream() {
    let mut pair = Pair::new(Kind::Tun, Outer::V4, 1500);
    let mut stream = connect(&pair.near, echo_tcp(&pair.far, pair.inner()[0]));
    exchange(&mut stream, &payload(10_000));
    let mut moved = config(1, Some(Outer::V4.address(2)));
    moved.listen_port = 4600;
    let near = pair.near.clone();
    let engine = &mut pair.engines[0];
    assert!(near.enter(|| engine.set(&moved).unwrap()).is_empty());
    assert_eq!(engine.observe().unwrap().listen_port, 4600);
    exchange(&mut stream, &payload(10_000));
    let seen = || pair.engines[1].observe().unwrap().peers[&public(1)].endpoint;
    assert_eq!(seen().unwrap().port(), 4600, "the other end follows");
}

#[test]
fn an_engine_tells_what_it_sees() {
    let pair = Pair::new(Kind::Tun, Outer::V6, 1500);
    ask(&open_udp(&pair.near, echo_udp(&pair.far, pair.inner()[0])), &payload(1000));
    let state = pair.engines[0].observe().unwrap();
    assert_eq!((state.public_key, state.listen_port), (public(1), PORT));
    let peer = state.peers[&public(2)];
    assert_eq!(peer.endpoint, Some(Outer::V6.address(2)));
    assert!(peer.has_session && peer.last_handshake.is_some());
    assert!(peer.sent > 1000 && peer.received > 1000, "{peer:?}");
}

#[test]
fn a_peer_without_an_address_is_answered_where_it_came_from_and_followed_when_it_moves() {
    let (near, far) = (Node::new(), Node::new());
    near.wire(&far, 1500);
    furnish(&near, Kind::Tun, 1, 1420);
    furnish(&far, Kind::Tun, 2, 1420);
    let _near = start(&near, Kind::Tun, &config(1, Some(Outer::V4.address(2))));
    let answering = start(&far, Kind::Tun, &config(2, None));
    let udp = open_udp(&near, echo_udp(&far, "10.2.0.1".parse().unwrap()));
    ask(&udp, &payload(500));
    near.ip("addr del 10.9.0.1/24 dev wire");
    near.ip("addr add 10.9.0.77/24 dev wire");
    ask(&udp, &payload(500));
    until("the peer is followed", || {
        let endpoint = answering.observe().unwrap().peers[&public(1)].endpoint;
        endpoint.is_some_and(|endpoint| endpoint.ip().to_string() == "10.9.0.77")
    });
}

#[test]
fn a_taken_port_is_named() {
    let node = Node::new();
    node.enter(|| create_tun(&link()).unwrap());
    let _taken = node.enter(|| UdpSocket::bind(("0.0.0.0", PORT)).unwrap());
    let refused = node.enter(|| Engine::start(device(Kind::Tun), &config(1, None)).err().unwrap());
    assert!(matches!(refused, EngineError::PortInUse { port: PORT, .. }), "{refused}");
}

#[test]
fn a_device_has_one_user_and_outlives_it() {
    let node = Node::new();
    node.enter(|| create_tun(&link()).unwrap());
    let first = node.enter(|| Tun::attach(&link()).unwrap());
    let second = node.enter(|| Tun::attach(&link()).unwrap_err());
    assert!(matches!(second.failure, DeviceFailure::Busy), "{second}");
    drop(first);
    node.ip("link show submariner");
    node.enter(|| Tun::attach(&link()).map(drop).unwrap());
}

#[test]
fn a_name_that_another_link_has_is_refused() {
    let node = Node::new();
    node.ip("link add submariner type bridge");
    let refused = node.enter(|| Tun::attach(&link()).unwrap_err());
    assert!(matches!(refused.failure, DeviceFailure::OtherKind), "{refused}");
}

#[test]
fn a_link_that_was_removed_is_told() {
    for kind in KINDS {
        let node = Node::new();
        furnish(&node, kind, 1, 1420);
        let engine = start(&node, kind, &config(1, None));
        assert!(engine.observe().is_ok());
        node.ip("link set submariner down");
        node.ip("link set submariner up");
        assert!(engine.observe().is_ok(), "down is not gone");
        node.ip("link del submariner");
        until("the engine notices", || matches!(engine.observe(), Err(EngineError::DeviceLost { .. })));
    }
}

#[test]
fn an_idle_engine_takes_little_memory() {
    fn anonymous() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
    let node = Node::new();
    furnish(&node, Kind::Tun, 1, 1420);
    let before = anonymous();
    let _engine = start(&node, Kind::Tun, &config(1, None));
    let taken = anonymous() - before;
    assert!(taken < 2048, "{taken} KiB");
}
