//! Bad wires, NATs and firewalls, on a kernel: what a packet looks like behind them.

#![expect(clippy::unwrap_used, reason = "a test ends where its ground is missing")]

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use ipnet::IpNet;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;
use subm_lab::traffic::{self, PingRun};
use subm_lab::{ECHO_PORT, EchoServer, Ground, Guarded, Host, Impairment, SourcePort, Transport, Veth};

const ANSWER: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_millis(200);
/// The host inside, the outer addresses of the boxes, a server outside, and another: the inner side of the outer box.
const INSIDE: &str = "10.0.1.1";
const NEAR: &str = "10.0.2.1";
const FAR: &str = "10.0.3.1";
const SERVER: &str = "10.0.3.2";
const OTHER: &str = "10.0.2.2";

/// A host, two boxes in a row, and a server: `fd00:0:N::` beside `10.0.N.`.
struct Row {
    inside: Host,
    near: Host,
    far: Host,
    server: Host,
    _echo: EchoServer,
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn v6(text: &str) -> IpAddr {
    ip(&text.replace("10.0.", "fd00:0:").replacen('.', "::", 1))
}

fn echo(address: IpAddr) -> SocketAddr {
    (address, ECHO_PORT).into()
}

async fn row() -> Row {
    let mut hosts = Vec::new();
    for name in ["inside", "near", "far", "server"] {
        hosts.push(Host::create(name).await.unwrap());
    }
    let wires = [(0, 1, "10.0.1.1", "10.0.1.2"), (1, 2, NEAR, "10.0.2.2"), (2, 3, FAR, SERVER)];
    for (here, there, own, other) in wires {
        let ((here, near), (there, far)) = ((&hosts[here], own), (&hosts[there], other));
        Veth { here: (here, "out0"), there: (there, "in0"), mtu: 1500 }.lay().await.unwrap();
        for (host, link, address) in [(here, "out0", near), (there, "in0", far)] {
            host.add_address(link, IpNet::new(ip(address), 24).unwrap()).await.unwrap();
            host.add_address(link, IpNet::new(v6(address), 64).unwrap()).await.unwrap();
        }
        here.add_route("0.0.0.0/0".parse().unwrap(), ip(other)).await.unwrap();
        here.add_route("::/0".parse().unwrap(), v6(other)).await.unwrap();
    }
    let [inside, near, far, server] = hosts.try_into().unwrap();
    // Only IPv6 finds its way back by itself: behind a NAT nobody is known by the own address.
    server.add_route("fd00::/16".parse().unwrap(), v6(FAR)).await.unwrap();
    far.add_route("fd00:0:1::/64".parse().unwrap(), v6(NEAR)).await.unwrap();
    let echo = EchoServer::start().unwrap();
    for host in [&inside, &far, &server] {
        echo.serve(host).unwrap();
    }
    for host in [&near, &far] {
        host.forward_packets().unwrap();
    }
    Row { inside, near, far, server, _echo: echo }
}

fn on_ground(body: impl AsyncFnOnce(Row) + Send + 'static) {
    let run = || {
        Ground::of_thread().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { body(row().await).await });
    };
    std::thread::spawn(run).join().unwrap();
}

/// Whom a server sees behind each of some questions from one port, and that port.
fn seen_from_one_port(host: &Host, servers: &[SocketAddr]) -> (u16, Vec<SocketAddr>) {
    let ask = || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(ANSWER)).unwrap();
        let mut seen = Vec::new();
        for server in servers {
            socket.send_to(b"who", server).unwrap();
            let mut answer = [0; 100];
            let (length, from) = socket.recv_from(&mut answer).unwrap();
            assert_eq!(from, *server);
            let text = std::str::from_utf8(&answer[..length]).unwrap();
            seen.push(text.lines().next().unwrap().parse().unwrap());
        }
        (socket.local_addr().unwrap().port(), seen)
    };
    host.enter(ask).unwrap()
}

const BOTH: [&str; 2] = [SERVER, OTHER];

#[test]
fn a_port_preserving_nat_changes_the_address_and_nothing_else() {
    on_ground(async |row| {
        row.near.masquerade("out0", SourcePort::Kept).await.unwrap();
        let servers = BOTH.map(|server| echo(ip(server)));
        // The server knows the box's network by its default route only.
        row.server.add_route("10.0.2.0/24".parse().unwrap(), ip(FAR)).await.unwrap();
        for _ in 0..5 {
            let (own, seen) = seen_from_one_port(&row.inside, &servers);
            assert_eq!(seen, [SocketAddr::new(ip(NEAR), own); 2]);
        }
        let tcp = traffic::tcp(&row.inside, servers[0], 100_000, ANSWER).unwrap();
        assert_eq!((tcp.seen_as.ip(), tcp.seen_as.port()), (ip(NEAR), tcp.own.port()));
        assert!(traffic::udp(&row.server, echo(ip(INSIDE)), 10, SILENCE).is_err(), "came in unasked");
        // IPv6 is not translated.
        let seen = traffic::udp(&row.inside, echo(v6(SERVER)), 10, ANSWER).unwrap();
        assert!(seen.source_kept() && seen.seen_as.ip() == v6(INSIDE), "{seen:?}");
    });
}

#[test]
fn a_fully_random_nat_gives_each_destination_another_port() {
    on_ground(async |row| {
        row.near.masquerade("out0", SourcePort::Random).await.unwrap();
        row.server.add_route("10.0.2.0/24".parse().unwrap(), ip(FAR)).await.unwrap();
        let servers = BOTH.map(|server| echo(ip(server)));
        let (mut ports, mut kept, mut same) = (BTreeSet::new(), 0, 0);
        for _ in 0..10 {
            let (own, seen) = seen_from_one_port(&row.inside, &servers);
            assert!(seen.iter().all(|seen| seen.ip() == ip(NEAR)));
            kept += seen.iter().filter(|seen| seen.port() == own).count();
            same += usize::from(seen[0].port() == seen[1].port());
            ports.extend(seen.iter().map(SocketAddr::port));
        }
        // By chance one of many may be.
        assert!(kept <= 1 && same <= 1 && ports.len() >= 18, "{kept} kept, {same} alike, of {}", ports.len());
        // A flow keeps what was drawn for it.
        let (_, seen) = seen_from_one_port(&row.inside, &[servers[0]; 5]);
        assert!(seen.iter().all(|again| *again == seen[0]), "{seen:?}");
    });
}

#[test]
fn a_forwarded_port_leads_in_and_no_other_does() {
    on_ground(async |row| {
        row.near.masquerade("out0", SourcePort::Kept).await.unwrap();
        row.near.forward_port("out0", (Transport::Udp, 4500), echo(ip(INSIDE))).await.unwrap();
        row.near.forward_port("out0", (Transport::Tcp, 80), echo(ip(INSIDE))).await.unwrap();
        row.server.add_route("10.0.2.0/24".parse().unwrap(), ip(FAR)).await.unwrap();
        let seen = traffic::udp(&row.server, (ip(NEAR), 4500).into(), 1000, ANSWER).unwrap();
        assert!(seen.source_kept(), "{seen:?}");
        let seen = traffic::tcp(&row.server, (ip(NEAR), 80).into(), 100_000, ANSWER).unwrap();
        assert!(seen.source_kept(), "{seen:?}");
        for closed in [(ip(NEAR), 4501), (ip(NEAR), ECHO_PORT), (ip(NEAR), 80)] {
            assert!(traffic::udp(&row.server, closed.into(), 10, SILENCE).is_err(), "{closed:?}");
        }
    });
}

#[test]
fn two_nats_in_a_row_show_the_outer_one_and_forward_through_both() {
    on_ground(async |row| {
        row.near.masquerade("out0", SourcePort::Random).await.unwrap();
        row.far.masquerade("out0", SourcePort::Kept).await.unwrap();
        let (own, seen) = seen_from_one_port(&row.inside, &[echo(ip(SERVER))]);
        assert_eq!(seen[0].ip(), ip(FAR));
        // The outer box keeps the port that the inner one drew.
        assert_ne!(seen[0].port(), own);
        row.far.forward_port("out0", (Transport::Udp, 4500), (ip(NEAR), 4500).into()).await.unwrap();
        assert!(traffic::udp(&row.server, (ip(FAR), 4500).into(), 10, SILENCE).is_err());
        row.near.forward_port("out0", (Transport::Udp, 4500), echo(ip(INSIDE))).await.unwrap();
        let seen = traffic::udp(&row.server, (ip(FAR), 4500).into(), 1000, ANSWER).unwrap();
        assert!(seen.source_kept(), "{seen:?}");
    });
}

#[test]
fn a_firewall_lets_in_answers_only_and_of_its_family_only() {
    on_ground(async |row| {
        row.near.firewall("out0", Guarded::Ipv6).await.unwrap();
        for (family, server) in [("udp", v6(SERVER)), ("tcp", v6(SERVER))] {
            let seen = match family {
                "udp" => traffic::udp(&row.inside, echo(server), 1000, ANSWER),
                _ => traffic::tcp(&row.inside, echo(server), 100_000, ANSWER),
            };
            assert!(seen.unwrap().source_kept(), "{family}");
        }
        assert!(traffic::udp(&row.server, echo(v6(INSIDE)), 10, SILENCE).is_err());
        assert!(traffic::tcp(&row.server, echo(v6(INSIDE)), 10, SILENCE).is_err());
        assert!(traffic::ping(&row.server, v6(INSIDE), 10, SILENCE).is_err());
        // The other family comes in, where there is a way.
        row.server.add_route("10.0.1.0/24".parse().unwrap(), ip(FAR)).await.unwrap();
        row.far.add_route("10.0.1.0/24".parse().unwrap(), ip(NEAR)).await.unwrap();
        assert!(traffic::udp(&row.server, echo(ip(INSIDE)), 10, ANSWER).unwrap().source_kept());
    });
}

/// Two hosts on one wire that is bad.
async fn bad_wire(impairment: Impairment) -> (Host, Host, EchoServer) {
    let (left, right) = (Host::create("left").await.unwrap(), Host::create("right").await.unwrap());
    let wire = Veth { here: (&left, "bad0"), there: (&right, "bad0"), mtu: 1500 };
    wire.lay().await.unwrap();
    wire.impair(&impairment).await.unwrap();
    for (host, address) in [(&left, "10.0.9.1"), (&right, "10.0.9.2")] {
        host.add_address("bad0", IpNet::new(ip(address), 24).unwrap()).await.unwrap();
        host.add_address("bad0", IpNet::new(v6(address), 64).unwrap()).await.unwrap();
    }
    let echo = EchoServer::start().unwrap();
    echo.serve(&right).unwrap();
    (left, right, echo)
}

#[test]
fn a_lossy_wire_loses_that_share_each_way_in_both_families() {
    on_ground(async |_| {
        let bad = Impairment { lost_of_100_000: 10_000, bits_per_second: None };
        let (left, _right, _echo) = bad_wire(bad).await;
        for target in [ip("10.0.9.2"), v6("10.0.9.2")] {
            // Whoever is on the wire has to be found first, which may take another question.
            while traffic::ping(&left, target, 56, SILENCE).is_err() {}
            let pings = PingRun::start(&left, target, Duration::from_millis(1)).unwrap();
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let report = pings.stop().unwrap();
            let arrived = f64::from(report.received) / f64::from(report.sent);
            // 0.9 each way; a thousand draws are within 0.05 of it.
            assert!(report.sent > 700 && (0.75..0.87).contains(&arrived), "{arrived} of {}", report.sent);
            traffic::tcp(&left, echo(target), 200_000, Duration::from_secs(10)).unwrap();
        }
    });
}

/// Packets that arrived on the outer box by the wire between the boxes.
fn arrived(row: &Row) -> u64 {
    let text = row.far.enter(|| std::fs::read_to_string("/proc/thread-self/net/dev")).unwrap().unwrap();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("in0:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How many packets of the wire a megabyte of TCP and one call with 32 datagrams make.
fn packets_on_the_wire(row: &Row) -> (u64, u64) {
    const DATAGRAM: usize = 1000;
    let before = arrived(row);
    traffic::transfer(&row.inside, echo(ip(SERVER)), 1_000_000, ANSWER).unwrap();
    let between = arrived(row);
    let send = || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect((SERVER, 9)).unwrap();
        setsockopt(&socket, UdpGsoSegment, &i32::try_from(DATAGRAM).unwrap()).unwrap();
        assert_eq!(socket.send(&vec![0; 32 * DATAGRAM]).unwrap(), 32 * DATAGRAM);
    };
    row.inside.enter(send).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    (between - before, arrived(row) - between)
}

#[test]
fn what_a_bad_wire_loses_is_one_segment_or_datagram_also_of_those_that_are_sent_together() {
    on_ground(async |row| {
        row.far.add_route("10.0.1.0/24".parse().unwrap(), ip(NEAR)).await.unwrap();
        row.server.add_route("10.0.1.0/24".parse().unwrap(), ip(FAR)).await.unwrap();
        traffic::ping(&row.inside, ip(SERVER), 10, ANSWER).unwrap();
        let (segments, datagrams) = packets_on_the_wire(&row);
        assert!(segments < 500 && datagrams < 10, "a good wire carries {segments} and {datagrams}");
        let wire = Veth { here: (&row.near, "out0"), there: (&row.far, "in0"), mtu: 1500 };
        wire.impair(&Impairment { lost_of_100_000: 1, bits_per_second: None }).await.unwrap();
        let (segments, datagrams) = packets_on_the_wire(&row);
        assert!(segments >= 1_000_000 / 1460 && datagrams >= 31, "a bad one {segments} and {datagrams}");
    });
}

#[test]
fn a_slow_wire_lets_through_its_rate() {
    on_ground(async |_| {
        let slow = Impairment { lost_of_100_000: 0, bits_per_second: Some(20_000_000) };
        let (left, _right, _echo) = bad_wire(slow).await;
        let echoed = traffic::tcp(&left, echo(ip("10.0.9.2")), 2_500_000, Duration::from_secs(10)).unwrap();
        let took = echoed.took.as_secs_f64();
        assert!((0.95..2.5).contains(&took), "20 Mbit took {took} s at 20 Mbit/s");
    });
}
