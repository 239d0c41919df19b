//! What goes through a tunnel comes out unchanged.

use std::thread;

use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};

use crate::ground::{
    KINDS, Kind, Outer, Pair, ask, connect, echo_tcp, echo_udp, exchange, open_udp, payload,
};

/// Sizes around those at which something changes.
fn around(boundaries: &[usize]) -> Vec<usize> {
    boundaries.iter().flat_map(|at| at - 3..at + 4).collect()
}

fn every_size_passes(kind: Kind, outer: Outer, path: u32) {
    let pair = Pair::new(kind, outer, path);
    let mtu = usize::try_from(pair.mtu).unwrap();
    for ip in pair.inner() {
        let (network, tcp) = if ip.is_ipv4() { (20, 32) } else { (40, 32) };
        let udp = open_udp(&pair.near, echo_udp(&pair.far, ip));
        for size in [1, 2, 15, 16, 17].into_iter().chain(around(&[mtu - network - 8, 2 * mtu, 16_000])) {
            ask(&udp, &payload(size));
        }
        let segment = mtu - network - tcp;
        let mut stream = connect(&pair.near, echo_tcp(&pair.far, ip));
        for size in
            [1, 2, 16].into_iter().chain(around(&[segment, 2 * segment, 44 * segment, 65_536, 200_000]))
        {
            exchange(&mut stream, &payload(size));
        }
    }
}

fn on_every_path(kind: Kind, outer: Outer) {
    for path in [1280, 1500, 9000] {
        every_size_passes(kind, outer, path);
    }
}

#[test]
fn every_size_passes_over_ipv4_on_tun() {
    on_every_path(Kind::Tun, Outer::V4);
}

#[test]
fn every_size_passes_over_ipv6_on_tun() {
    on_every_path(Kind::Tun, Outer::V6);
}

#[test]
fn every_size_passes_over_ipv4_on_a_packet_socket() {
    on_every_path(Kind::Packet, Outer::V4);
}

#[test]
fn every_size_passes_over_ipv6_on_a_packet_socket() {
    on_every_path(Kind::Packet, Outer::V6);
}

#[test]
fn several_streams_pass_unchanged_in_both_directions() {
    for kind in KINDS {
        let pair = &Pair::new(kind, Outer::V4, 1500);
        thread::scope(|scope| {
            for ip in pair.inner() {
                let exchange =
                    move || exchange(&mut connect(&pair.near, echo_tcp(&pair.far, ip)), &payload(16 << 20));
                scope.spawn(exchange);
                scope.spawn(exchange);
            }
        });
    }
}

#[test]
fn datagrams_that_the_sender_does_not_cut_pass() {
    for kind in KINDS {
        let pair = Pair::new(kind, Outer::V4, 1500);
        for ip in pair.inner() {
            let socket = open_udp(&pair.near, echo_udp(&pair.far, ip));
            ask(&socket, &payload(100));
            setsockopt(&socket, UdpGsoSegment, &1000).unwrap();
            socket.send(&payload(12_345)).unwrap();
            let (mut back, mut buffer) = (Vec::new(), vec![0; 2000]);
            while back.len() < 12_345 {
                let length = socket.recv(&mut buffer).expect("all datagrams come back");
                assert_eq!(length, 1000.min(12_345 - back.len()), "cut where the sender said");
                back.extend_from_slice(&buffer[..length]);
            }
            assert!(back == payload(12_345), "in order and unchanged");
        }
    }
}

#[test]
fn a_path_that_got_narrower_still_passes_everything() {
    let pair = Pair::new(Kind::Tun, Outer::V4, 1500);
    let ip = pair.inner()[0];
    let mut stream = connect(&pair.near, echo_tcp(&pair.far, ip));
    exchange(&mut stream, &payload(100_000));
    for node in [&pair.near, &pair.far] {
        node.ip("link set wire mtu 1300");
    }
    exchange(&mut stream, &payload(300_000));
}

#[test]
fn a_wire_without_offload_carries_what_the_kernel_does_not_cut() {
    let pair = Pair::new(Kind::Tun, Outer::V4, 1500);
    for node in [&pair.near, &pair.far] {
        node.ip("link set wire gso_max_segs 1");
    }
    exchange(&mut connect(&pair.near, echo_tcp(&pair.far, pair.inner()[0])), &payload(2 << 20));
}
