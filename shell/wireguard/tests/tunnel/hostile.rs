//! What comes from outside and is not meant well changes nothing.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::ground::{
    Kind, Node, Outer, PORT, Pair, ask, config, connect, echo_tcp, echo_udp, exchange, furnish, open_udp,
    payload, private, public, start, until,
};

/// Stands between two ends and does something to every datagram.
fn intercept(
    node: &Node,
    towards: SocketAddr,
    mut pass: impl FnMut(&UdpSocket, &[u8]) + Send + 'static,
) -> SocketAddr {
    let (outside, inside) = node.enter(|| {
        let inside = UdpSocket::bind("10.9.0.2:0").unwrap();
        inside.connect(towards).unwrap();
        (UdpSocket::bind("10.9.0.2:0").unwrap(), inside)
    });
    let address = outside.local_addr().unwrap();
    let (back_out, back_in) = (outside.try_clone().unwrap(), inside.try_clone().unwrap());
    let client = Arc::new(std::sync::Mutex::new(None));
    let seen = Arc::clone(&client);
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = outside.recv_from(&mut buffer) {
            *seen.lock().unwrap() = Some(from);
            pass(&inside, &buffer[..length]);
        }
    });
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        loop {
            let Ok(length) = back_in.recv(&mut buffer) else { continue };
            let to = *client.lock().unwrap();
            let _sent = to.map(|to| back_out.send_to(&buffer[..length], to));
        }
    });
    address
}

/// Two ends, the first of which reaches the second through somebody.
fn through(pass: impl FnMut(&UdpSocket, &[u8]) + Send + 'static) -> Pair {
    let (near, far) = (Node::new(), Node::new());
    near.wire(&far, 1500);
    furnish(&near, Kind::Tun, 1, 1420);
    furnish(&far, Kind::Tun, 2, 1420);
    let middle = intercept(&far, Outer::V4.address(2), pass);
    let engines =
        [start(&near, Kind::Tun, &config(1, Some(middle))), start(&far, Kind::Tun, &config(2, None))];
    Pair { near, far, engines, mtu: 1420 }
}

#[test]
fn every_packet_is_delivered_once_however_often_it_comes() {
    let pair = through(|to, datagram| {
        for _ in 0..3 {
            let _sent = to.send(datagram);
        }
    });
    let ip = pair.inner()[0];
    ask(&open_udp(&pair.near, echo_udp(&pair.far, ip)), &payload(10));
    let sink = pair.far.enter(|| UdpSocket::bind((ip, 0)).unwrap());
    sink.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let source = open_udp(&pair.near, sink.local_addr().unwrap());
    let mut got = 0;
    for number in 0..200u32 {
        source.send(&number.to_be_bytes()).unwrap();
        let mut bytes = [0; 4];
        if sink.recv(&mut bytes).is_ok() {
            assert_eq!(u32::from_be_bytes(bytes), number, "no packet comes twice");
            got += 1;
        }
    }
    assert!(got > 150, "{got} of 200 packets");
}

#[test]
fn a_stream_passes_although_datagrams_are_lost_changed_and_cut() {
    let mut number = 0u32;
    let pair = through(move |to, datagram| {
        number += 1;
        let mut bytes = datagram.to_vec();
        match number % 50 {
            7 => return,
            13 => bytes.truncate(number as usize % bytes.len()),
            21 => bytes[number as usize % datagram.len()] ^= 1,
            _ => {}
        }
        let _sent = to.send(&bytes);
    });
    exchange(&mut connect(&pair.near, echo_tcp(&pair.far, pair.inner()[0])), &payload(300_000));
}

#[test]
fn a_stranger_gets_no_session() {
    let (near, far) = (Node::new(), Node::new());
    near.wire(&far, 1500);
    furnish(&near, Kind::Tun, 1, 1420);
    furnish(&far, Kind::Tun, 2, 1420);
    let mut strange = config(1, Some(Outer::V4.address(2)));
    strange.private_key = private(77);
    let stranger = start(&near, Kind::Tun, &strange);
    let asked = start(&far, Kind::Tun, &config(2, None));
    let socket = open_udp(&near, echo_udp(&far, "10.2.0.1".parse().unwrap()));
    socket.send(&payload(10)).unwrap();
    assert!(socket.recv(&mut [0; 10]).is_err(), "nothing comes back");
    assert!(!stranger.observe().unwrap().peers[&public(2)].has_session);
    assert_eq!(asked.observe().unwrap().peers[&public(1)].received, 0);
}

#[test]
fn an_address_that_a_peer_may_not_use_stays_outside() {
    let pair = Pair::new(Kind::Tun, Outer::V4, 1500);
    ask(&open_udp(&pair.near, echo_udp(&pair.far, pair.inner()[0])), &payload(10));
    pair.near.ip("addr add 10.77.0.1/32 dev submariner");
    let sink = pair.far.enter(|| UdpSocket::bind("10.2.0.1:0").unwrap());
    sink.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let forger = pair.near.enter(|| UdpSocket::bind("10.77.0.1:0").unwrap());
    forger.send_to(&payload(10), sink.local_addr().unwrap()).unwrap();
    assert!(sink.recv(&mut [0; 10]).is_err(), "it is not among the allowed addresses");
}

fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Sends rubbish of every kind as fast as it goes.
fn flood(
    node: &Node,
    to: SocketAddr,
    end: &Arc<AtomicBool>,
    sent: &Arc<AtomicU64>,
) -> thread::JoinHandle<()> {
    let socket = node.enter(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    let (end, sent) = (Arc::clone(end), Arc::clone(sent));
    thread::spawn(move || {
        let rubbish = payload(60_000);
        let lengths = [0, 1, 3, 31, 32, 64, 92, 148, 149, 1000, 1452, 9000, 60_000];
        let mut number = 0usize;
        while !end.load(Relaxed) {
            number += 1;
            let mut bytes = rubbish[number % 200..][..lengths[number % lengths.len()].min(59_000)].to_vec();
            if let [kind, one, two, three, ..] = bytes.as_mut_slice() {
                (*kind, *one, *two, *three) = ([0, 1, 2, 3, 4, 5][number % 6], 0, 0, 0);
            }
            if let Ok(length) = socket.send_to(&bytes, to) {
                sent.fetch_add(length as u64, Relaxed);
            }
        }
    })
}

#[test]
fn a_flood_of_rubbish_neither_stops_a_stream_nor_takes_memory() {
    let pair = Pair::new(Kind::Tun, Outer::V4, 1500);
    let mut stream = connect(&pair.near, echo_tcp(&pair.far, pair.inner()[0]));
    exchange(&mut stream, &payload(1 << 20));
    let (end, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let flooding = flood(&pair.near, SocketAddr::new("10.9.0.2".parse().unwrap(), PORT), &end, &sent);
    // Buffers take memory once they are used; together they are this large. What is kept of a flood is far more.
    let threads = thread::available_parallelism().unwrap().get() as u64;
    let buffers = 2 * 2 * threads * 2800;
    let before = anonymous();
    until("the flood is long enough", || {
        exchange(&mut stream, &payload(100_000));
        sent.load(Relaxed) > 4096 * buffers
    });
    let grown = anonymous().saturating_sub(before);
    end.store(true, Relaxed);
    flooding.join().unwrap();
    assert!(grown < buffers, "{grown} KiB more, of {} KiB that came", sent.load(Relaxed) >> 10);
    exchange(&mut stream, &payload(1 << 20));
}
