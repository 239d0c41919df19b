//! The lab, on a kernel: hosts, wires, traffic between them, and eyes on the wires.

#![expect(clippy::unwrap_used, reason = "a test ends where its ground is missing")]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use subm_lab::traffic::{self, PingRun, StreamRun, UdpFlow, UdpRun};
use subm_lab::{ECHO_PORT, EchoServer, Ground, Host, Search, Suspect, Veth, Watch, payload_pattern};

const LEFT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const RIGHT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const LEFT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
const RIGHT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
/// The two hosts, by family.
const PAIRS: [(IpAddr, IpAddr); 2] =
    [(IpAddr::V4(LEFT), IpAddr::V4(RIGHT)), (IpAddr::V6(LEFT6), IpAddr::V6(RIGHT6))];
const ANSWER: Duration = Duration::from_secs(5);

/// Two hosts with a router between them, and echo servers on both.
struct Three {
    left: Host,
    router: Host,
    right: Host,
    _echo: EchoServer,
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

async fn three() -> Three {
    let [left, router, right] = ["left", "router", "right"].map(Host::create);
    let (left, router, right) = (left.await.unwrap(), router.await.unwrap(), right.await.unwrap());
    let v4 = [("192.0.2.1/24", "192.0.2.254/24"), ("198.51.100.1/24", "198.51.100.254/24")];
    let v6 = [("2001:db8:1::1/64", "2001:db8:1::ff/64"), ("2001:db8:2::1/64", "2001:db8:2::ff/64")];
    for (side, (host, port)) in [(&left, "to-left"), (&right, "to-right")].into_iter().enumerate() {
        Veth { here: (host, "eth0"), there: (&router, port), mtu: 1500 }.lay().await.unwrap();
        for ((own, gateway), all) in [(v4[side], "0.0.0.0/0"), (v6[side], "::/0")] {
            host.add_address("eth0", net(own)).await.unwrap();
            router.add_address(port, net(gateway)).await.unwrap();
            host.add_route(net(all), net(gateway).addr()).await.unwrap();
        }
    }
    router.forward_packets().unwrap();
    let echo = EchoServer::start().unwrap();
    echo.serve(&left).unwrap();
    echo.serve(&right).unwrap();
    Three { left, router, right, _echo: echo }
}

/// Runs a test on a ground of its own.
fn on_ground(body: impl AsyncFnOnce(Three) + Send + 'static) {
    let run = || {
        Ground::of_thread().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { body(three().await).await });
    };
    std::thread::spawn(run).join().unwrap();
}

fn echo(address: impl Into<IpAddr>) -> SocketAddr {
    (address.into(), ECHO_PORT).into()
}

#[test]
fn answers_tell_whom_the_server_saw_and_come_back_whole() {
    on_ground(async |three| {
        for (left, right) in PAIRS {
            for bytes in [0, 1, 1452, 1472, 9000, 60_000] {
                let udp = traffic::udp(&three.left, echo(right), bytes, ANSWER).unwrap();
                assert_eq!((udp.seen_as.ip(), udp.source_kept()), (left, true));
                let tcp = traffic::tcp(&three.left, echo(right), bytes * 50, ANSWER).unwrap();
                assert_eq!((tcp.seen_as, tcp.source_kept()), (tcp.own, true));
                assert!(traffic::ping(&three.left, right, bytes, ANSWER).unwrap() < ANSWER);
            }
        }
    });
}

#[test]
fn what_is_sent_one_way_arrives_whole_or_is_told_as_not() {
    on_ground(async |three| {
        for (left, right) in PAIRS {
            for bytes in [0, 1, 65_536, 10_000_001] {
                let sent = traffic::transfer(&three.left, echo(right), bytes, ANSWER).unwrap();
                assert_eq!((sent.seen_as.ip(), sent.source_kept()), (left, true));
            }
        }
        // Somebody who sums up something else.
        let liar = three.right.enter(|| std::net::TcpListener::bind((RIGHT, 9))).unwrap().unwrap();
        let lie = std::thread::spawn(move || {
            let (mut stream, client) = liar.accept().unwrap();
            stream.write_all(format!("{client}\n").as_bytes()).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
            stream.write_all(b"100 00\n").unwrap();
        });
        let error = traffic::transfer(&three.left, (RIGHT, 9).into(), 100, ANSWER).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.starts_with("sent 100 ") && cause.ends_with("arrived 100 00"), "{cause}");
        lie.join().unwrap();
    });
}

#[test]
fn datagrams_go_on_while_nobody_answers() {
    on_ground(async |three| {
        let run = UdpRun::start(&three.left, echo(RIGHT), (1000, Duration::from_millis(2))).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        three.router.sysctl("net/ipv4/ip_forward", "0").unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let report = run.stop().unwrap();
        assert!(report.sent > report.received && report.received > 0, "{report:?}");
    });
}

#[test]
fn one_flow_keeps_its_port() {
    on_ground(async |three| {
        let flow = UdpFlow::open(&three.left, echo(RIGHT)).unwrap();
        let first = flow.ask(10, ANSWER).unwrap();
        assert_eq!(flow.ask(20, ANSWER).unwrap().seen_as, first.seen_as);
        assert_ne!(traffic::udp(&three.left, echo(RIGHT), 10, ANSWER).unwrap().seen_as, first.seen_as);
    });
}

#[test]
fn silence_is_an_error_that_names_host_and_target() {
    on_ground(async |three| {
        three.router.sysctl("net/ipv4/ip_forward", "0").unwrap();
        let soon = Duration::from_millis(100);
        let error = traffic::udp(&three.left, echo(RIGHT), 10, soon).unwrap_err();
        assert_eq!(error.to_string(), "left: udp to 198.51.100.1:8080 with 10 bytes");
        assert!(traffic::ping(&three.left, RIGHT, 10, soon).is_err());
        assert!(traffic::tcp(&three.left, echo(RIGHT), 10, soon).is_err());
    });
}

#[test]
fn lost_packets_and_stalls_are_counted() {
    on_ground(async |three| {
        let ping = PingRun::start(&three.left, RIGHT, Duration::from_millis(5)).unwrap();
        let stream = StreamRun::start(&three.left, echo(RIGHT)).unwrap();
        while stream.bytes() < 100_000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        three.router.sysctl("net/ipv4/ip_forward", "0").unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        three.router.forward_packets().unwrap();
        let before = stream.bytes();
        while stream.bytes() < before + 100_000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let pings = ping.stop().unwrap();
        assert!(pings.sent > pings.received && pings.received > 0, "{pings:?}");
        assert_eq!(pings.lost.len(), usize::try_from(pings.sent - pings.received).unwrap());
        let stream = stream.stop().unwrap();
        assert_eq!(stream.broken, None);
        assert!(stream.longest_stall >= Duration::from_millis(300), "{stream:?}");
    });
}

#[test]
fn a_series_without_loss_says_so_and_ends() {
    on_ground(async |three| {
        let ping = PingRun::start(&three.left, RIGHT, Duration::from_millis(1)).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let report = ping.stop().unwrap();
        assert!(report.sent > 100, "{report:?}");
        assert_eq!((report.sent - report.received, report.lost.len()), (0, 0));
    });
}

#[test]
fn a_watch_sees_suspects_on_its_link_in_both_directions_and_nothing_else() {
    on_ground(async |three| {
        for (left, right) in PAIRS {
            watched(&three, left, right).await;
        }
    });
}

/// Suspects with their addresses, and how often each was seen, among traffic of both families.
async fn watched(three: &Three, left: IpAddr, right: IpAddr) {
    let (one, all) = (IpNet::from(right), IpNet::new(left, 16).unwrap().trunc());
    let to = [Suspect { src: None, dst: Some(one) }];
    let other = [Suspect { src: Some(one), dst: Some(one) }, Suspect { src: Some(all), dst: Some(one) }];
    let leaving = Watch::start(&three.left, "eth0", &to).await.unwrap();
    let arriving = Watch::start(&three.router, "to-left", &to).await.unwrap();
    let elsewhere = Watch::start(&three.router, "to-right", &other).await.unwrap();
    let idle = Watch::start(&three.left, "lo", &to).await.unwrap();
    for _ in 0..3 {
        for (_, right) in PAIRS {
            traffic::ping(&three.left, right, 10, ANSWER).unwrap();
        }
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let icmp = if left.is_ipv4() { 1 } else { 58 };
    for watch in [leaving, arriving, elsewhere] {
        let seen = watch.stop().unwrap();
        let all: Vec<_> =
            seen.iter().map(|(seen, count)| (seen.src, seen.dst, seen.protocol, *count)).collect();
        assert_eq!(all, [(left, right, icmp, 3)]);
    }
    assert!(idle.stop().unwrap().is_empty());
}

#[test]
fn a_search_finds_a_payload_wherever_it_is_in_a_packet_and_says_what_it_missed() {
    on_ground(async |three| {
        for (left, right) in PAIRS {
            let search = Search::start(&three.router, "to-left", &payload_pattern()).await.unwrap();
            let other = Search::start(&three.router, "to-left", b"what nobody sends").await.unwrap();
            for bytes in [8, 48, 1200] {
                traffic::udp(&three.left, echo(right), bytes, ANSWER).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            let (report, other) = (search.stop().unwrap(), other.stop().unwrap());
            let found: Vec<_> =
                report.found.iter().map(|(seen, count)| (seen.src, seen.dst, *count)).collect();
            let mut both = [(left, right, 2), (right, left, 2)];
            both.sort_unstable();
            assert_eq!(found, both);
            assert!(report.packets >= 6 && report.missed == 0, "{report:?}");
            assert!(other.packets >= 6 && other.found.is_empty(), "{other:?}");
        }
    });
}

#[test]
fn a_watch_under_traffic_sees_no_innocent_from_before_its_filter() {
    on_ground(async |three| {
        let stream = StreamRun::start(&three.left, echo(RIGHT)).unwrap();
        let nobody = [Suspect { src: None, dst: Some(net("203.0.113.1/32")) }];
        for _ in 0..100 {
            let watch = Watch::start(&three.router, "to-left", &nobody).await.unwrap();
            assert!(watch.stop().unwrap().is_empty());
        }
        assert_eq!(stream.stop().unwrap().broken, None);
    });
}

#[test]
fn threads_and_sysctls_of_a_host_are_its_own() {
    on_ground(async |three| {
        assert_eq!(three.router.read_sysctl("net/ipv4/ip_forward").unwrap(), "1");
        assert_eq!(three.left.read_sysctl("net/ipv4/ip_forward").unwrap(), "0");
        let bind = move || std::net::UdpSocket::bind((LEFT, 0)).is_ok();
        assert!(three.left.enter(bind).unwrap());
        assert!(!three.right.enter(bind).unwrap());
        assert!(three.left.spawn("a", bind).unwrap().join().unwrap().unwrap());
    });
}

#[test]
fn a_removed_host_makes_room_for_another_of_its_name() {
    on_ground(async |three| {
        assert!(Host::create("left").await.is_err());
        three.left.remove().unwrap();
        let fresh = Host::create("left").await.unwrap();
        assert!(fresh.addresses("eth0").await.is_err() || fresh.addresses("eth0").await.unwrap().is_empty());
    });
}
