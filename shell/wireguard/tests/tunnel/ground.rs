//! Namespaces, wires between them, tunnel ends on them, and traffic.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};
use subm_noise::{PresharedKey, PrivateKey, PublicKey};
use subm_types::IfName;
use subm_wireguard::{Config, Device, Engine, PacketSocket, PeerConfig, Tun, create_tun};

/// Loaded machines are slow, never this slow.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
pub(crate) const PORT: u16 = 4500;

/// A network namespace. It goes when nobody is in it or holds it.
#[derive(Clone)]
pub(crate) struct Node(Arc<File>);

impl Node {
    pub(crate) fn new() -> Self {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .expect("a network namespace of one's own needs root, or `unshare -Urn` around the tests");
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let node = Self(Arc::new(made.join().unwrap()));
        node.ip("link set lo up");
        node
    }

    /// Does something on a thread inside.
    pub(crate) fn enter<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&*self.0, CloneFlags::CLONE_NEWNET).unwrap();
                body()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub(crate) fn ip(&self, command: &str) {
        self.enter(|| {
            let done = Command::new("ip").args(command.split_whitespace()).output().unwrap();
            assert!(done.status.success(), "ip {command}: {}", String::from_utf8_lossy(&done.stderr));
        });
    }

    /// A path to the namespace for other programs.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Joins two nodes by a wire with the addresses `10.9.0.x` and `fd09::x`.
    pub(crate) fn wire(&self, other: &Self, mtu: u32) {
        self.ip(&format!(
            "link add wire mtu {mtu} type veth peer name wire mtu {mtu} netns {}",
            other.path()
        ));
        for (node, number) in [(self, 1), (other, 2)] {
            node.ip("link set wire up");
            node.ip(&format!("addr add 10.9.0.{number}/24 dev wire"));
            node.ip(&format!("addr add fd09::{number}/64 dev wire nodad"));
        }
    }
}

/// What a tunnel end stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tun,
    Packet,
}

pub(crate) const KINDS: [Kind; 2] = [Kind::Tun, Kind::Packet];

pub(crate) fn link() -> IfName {
    IfName::constant("submariner")
}

fn far() -> IfName {
    IfName::constant("submariner-far")
}

/// Makes the link with its addresses, number `own` of two.
pub(crate) fn furnish(node: &Node, kind: Kind, own: u8, mtu: u32) {
    match kind {
        Kind::Tun => node.enter(|| create_tun(&link()).unwrap()),
        Kind::Packet => {
            node.ip("link add submariner arp off type veth peer name submariner-far arp off");
            node.ip("link set submariner-far addrgenmode none");
            node.ip(&format!("link set submariner-far mtu {mtu} up"));
        }
    }
    let other = 3 - own;
    node.ip(&format!("link set submariner mtu {mtu} up"));
    node.ip(&format!("addr add 10.{own}.0.1/32 dev submariner"));
    node.ip(&format!("route add 10.{other}.0.0/16 dev submariner"));
    if mtu >= 1280 {
        node.ip(&format!("addr add fd0{own}::1/128 dev submariner nodad"));
        node.ip(&format!("route add fd0{other}::/64 dev submariner"));
    }
}

pub(crate) fn device(kind: Kind) -> Box<dyn Device> {
    match kind {
        Kind::Tun => Box::new(Tun::attach(&link()).unwrap()),
        Kind::Packet => Box::new(PacketSocket::attach(&link(), &far()).unwrap()),
    }
}

pub(crate) fn private(number: u8) -> PrivateKey {
    PrivateKey::new([number; 32])
}

pub(crate) fn public(number: u8) -> PublicKey {
    subm_noise::Device::new(&private(number)).public_key()
}

/// The end `own` with the other as its only peer.
pub(crate) fn config(own: u8, endpoint: Option<SocketAddr>) -> Config {
    let other = 3 - own;
    let peer = PeerConfig {
        preshared: Some(PresharedKey::new([9; 32])),
        endpoint,
        allowed: [format!("10.{other}.0.0/16"), format!("fd0{other}::/64")]
            .iter()
            .map(|net| net.parse().unwrap())
            .collect(),
        keepalive: Some(Duration::from_secs(10)),
    };
    Config { private_key: private(own), listen_port: PORT, peers: BTreeMap::from([(public(other), peer)]) }
}

pub(crate) fn start(node: &Node, kind: Kind, config: &Config) -> Engine {
    let (engine, problems) = node.enter(|| Engine::start(device(kind), config).unwrap());
    assert!(problems.is_empty(), "{problems:?}");
    engine
}

/// The family of the packets outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outer {
    V4,
    V6,
}

impl Outer {
    pub(crate) fn address(self, number: u8) -> SocketAddr {
        let ip = match self {
            Self::V4 => format!("10.9.0.{number}"),
            Self::V6 => format!("fd09::{number}"),
        };
        SocketAddr::new(ip.parse().unwrap(), PORT)
    }

    pub(crate) fn overhead(self) -> u32 {
        match self {
            Self::V4 => 60,
            Self::V6 => 80,
        }
    }
}

/// Two nodes with a tunnel between them.
pub(crate) struct Pair {
    pub(crate) near: Node,
    pub(crate) far: Node,
    pub(crate) engines: [Engine; 2],
    pub(crate) mtu: u32,
}

impl Pair {
    pub(crate) fn new(kind: Kind, outer: Outer, path: u32) -> Self {
        let (near, far) = (Node::new(), Node::new());
        near.wire(&far, path);
        let mtu = path - outer.overhead();
        furnish(&near, kind, 1, mtu);
        furnish(&far, kind, 2, mtu);
        let engines = [
            start(&near, kind, &config(1, Some(outer.address(2)))),
            start(&far, kind, &config(2, Some(outer.address(1)))),
        ];
        Self { near, far, engines, mtu }
    }

    /// The addresses of the far end inside the tunnel.
    pub(crate) fn inner(&self) -> Vec<IpAddr> {
        let all = ["10.2.0.1", "fd02::1"].map(|ip| ip.parse().unwrap());
        all[..if self.mtu >= 1280 { 2 } else { 1 }].to_vec()
    }
}

/// Bytes that differ from place to place.
pub(crate) fn payload(length: usize) -> Vec<u8> {
    let places = (0..=250u8).cycle().zip((0..=255u8).flat_map(|round| [round; 251]).cycle());
    places.map(|(place, round)| place ^ round).take(length).collect()
}

/// Sends back what it gets over TCP.
pub(crate) fn echo_tcp(node: &Node, ip: IpAddr) -> SocketAddr {
    let listener = node.enter(|| TcpListener::bind((ip, 0)).unwrap());
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream).ok());
        }
    });
    address
}

/// Sends back what it gets over UDP.
pub(crate) fn echo_udp(node: &Node, ip: IpAddr) -> SocketAddr {
    let socket = node.enter(|| UdpSocket::bind((ip, 0)).unwrap());
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _sent = socket.send_to(&buffer[..length], from);
        }
    });
    address
}

pub(crate) fn connect(node: &Node, to: SocketAddr) -> TcpStream {
    let stream =
        node.enter(|| TcpStream::connect_timeout(&to, PATIENCE).expect("connect through the tunnel"));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes over TCP and compares what comes back.
pub(crate) fn exchange(stream: &mut TcpStream, bytes: &[u8]) {
    let mut writer = stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(bytes).unwrap());
        let mut back = vec![0; bytes.len()];
        stream.read_exact(&mut back).expect("everything comes back");
        assert!(back == bytes, "{} bytes came back changed", bytes.len());
    });
}

pub(crate) fn open_udp(node: &Node, to: SocketAddr) -> UdpSocket {
    let any: SocketAddr = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
    let socket = node.enter(|| UdpSocket::bind(any).unwrap());
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    node.enter(|| socket.connect(to).unwrap());
    socket
}

/// Asks over UDP, again if need be, and compares what comes back.
pub(crate) fn ask(socket: &UdpSocket, bytes: &[u8]) {
    let mut back = vec![0; 65_536];
    for _ in 0..PATIENCE.as_secs() {
        if socket.send(bytes).is_err() {
            thread::sleep(Duration::from_millis(50));
            continue;
        }
        while let Ok(length) = socket.recv(&mut back) {
            if &back[..length] == bytes {
                return;
            }
        }
    }
    panic!("{} bytes never came back", bytes.len());
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}
