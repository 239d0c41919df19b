//! The world of the tests: nodes with a control and a data path each, and the air between them.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::message::{DATA_HEADER, Kind, padded, sealed};
use crate::{
    Batch, Device, Inner, Moment, Now, PeerConfig, PrivateKey, PublicKey, Rejection, Session, Table,
    public_key,
};

pub(super) const MTU: usize = 1420;
/// One way through the air.
pub(super) const DELAY: Duration = Duration::from_millis(10);
/// Packets that a node keeps while there is no session.
const QUEUE: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Datagram {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// What becomes of a datagram: how long it takes each time it arrives.
pub(super) type Fate = Vec<Duration>;

/// What the air does with the datagram of this number.
pub(super) type Air = Box<dyn FnMut(usize, &mut Datagram) -> Fate>;

pub(super) struct Node {
    pub(super) device: Device,
    pub(super) key: PublicKey,
    pub(super) private: PrivateKey,
    pub(super) address: SocketAddr,
    pub(super) table: Arc<Table>,
    pub(super) delivered: Vec<Vec<u8>>,
    pub(super) rejections: Vec<Rejection>,
    pub(super) refused: usize,
    waiting: VecDeque<Vec<u8>>,
}

pub(super) struct World {
    pub(super) now: Moment,
    pub(super) nodes: Vec<Node>,
    pub(super) air: Air,
    /// Everything that was ever sent.
    pub(super) sent: Vec<(Moment, Datagram)>,
    under_way: BTreeMap<(Moment, usize), Datagram>,
    arrivals: usize,
    pub(super) random: Numbers,
}

/// Bytes that only look random, the same in each run.
#[derive(Default)]
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// The address of a node on the underlay.
pub(super) fn address(node: usize) -> SocketAddr {
    format!("192.0.2.{}:4500", node + 1).parse().unwrap()
}

/// The address of a host behind a node.
pub(super) fn host(node: usize) -> IpAddr {
    format!("10.{node}.0.1").parse().unwrap()
}

/// A packet from behind one node to behind another one, with a number in it.
pub(super) fn packet(from: usize, to: usize, number: u32) -> Vec<u8> {
    let mut packet = vec![0; 100];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&100_u16.to_be_bytes());
    for (at, host) in [(12, host(from)), (16, host(to))] {
        if let IpAddr::V4(v4) = host {
            packet[at..at + 4].copy_from_slice(&v4.octets());
        }
    }
    packet[20..24].copy_from_slice(&number.to_be_bytes());
    packet
}

/// The number in a packet.
pub(super) fn number(packet: &[u8]) -> u32 {
    u32::from_be_bytes(*packet[20..].first_chunk().unwrap())
}

pub(super) fn private(node: usize) -> PrivateKey {
    PrivateKey::new([u8::try_from(node).unwrap() + 0x11; 32])
}

/// How a node is configured at the others: known address, its hosts, no keepalive.
pub(super) fn config(node: usize) -> PeerConfig {
    PeerConfig {
        preshared: None,
        endpoint: Some(address(node)),
        allowed: [format!("10.{node}.0.0/16").parse().unwrap()].into_iter().collect(),
        keepalive: None,
    }
}

impl Node {
    pub(super) fn new(node: usize, private: PrivateKey) -> Self {
        let mut device = Device::new(&private);
        Self {
            key: public_key(&private),
            private,
            address: address(node),
            table: device.poll_table().unwrap(),
            device,
            delivered: Vec::new(),
            rejections: Vec::new(),
            refused: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Opens a data message: none if that fails, an empty packet if it has none that may come from there.
    fn open(&self, receiver: u32, counter: u64, datagram: &mut Datagram, now: Moment) -> Option<Vec<u8>> {
        let found = self.table.receiver(receiver)?;
        let mut batch = Batch::default();
        batch.add(datagram.bytes.len());
        let packet = found.session.open(counter, &mut datagram.bytes, now).ok()?;
        found.note_received(batch, datagram.from, now);
        let inner = Inner::parse(packet).filter(|inner| self.table.admits(found.path, inner.source));
        let Some(inner) = inner else { return Some(Vec::new()) };
        assert_eq!(packet.len(), padded(inner.length, MTU));
        Some(packet[..inner.length].to_vec())
    }

    pub(super) fn session_to(&self, node: usize) -> Option<&Arc<Session>> {
        self.table.path_to(host(node))?.session()
    }
}

impl World {
    /// Nodes that know nobody, with keys and addresses of their own.
    pub(super) fn strangers(count: usize) -> Self {
        Self {
            now: Moment(Duration::from_secs(1)),
            nodes: (0..count).map(|node| Node::new(node, private(node))).collect(),
            air: Box::new(|_, _| vec![DELAY]),
            sent: Vec::new(),
            under_way: BTreeMap::new(),
            arrivals: 0,
            random: Numbers(42),
        }
    }

    /// Two nodes that know each other; only the first knows where the other one is.
    pub(super) fn pair() -> Self {
        let mut world = Self::strangers(2);
        world.configure(1, &[(0, PeerConfig { endpoint: None, ..config(0) })]);
        world.configure(0, &[(1, config(1))]);
        world
    }

    /// A pair with a session both ways.
    pub(super) fn connected() -> Self {
        let mut world = Self::pair();
        world.run(Duration::from_secs(1));
        assert!(world.nodes[0].session_to(1).is_some() && world.nodes[1].session_to(0).is_some());
        world
    }

    pub(super) fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_hours(500_000) + self.now.0
    }

    pub(super) fn time(&self) -> Now {
        Now { moment: self.now, wall: self.wall() }
    }

    pub(super) fn configure(&mut self, node: usize, peers: &[(usize, PeerConfig)]) {
        let peers = peers.iter().map(|(peer, config)| (self.nodes[*peer].key, config.clone())).collect();
        let (now, random) = (self.time(), &mut self.random);
        let problems = self.nodes[node].device.set_peers(&peers, now, &mut |bytes| random.fill(bytes));
        assert_eq!(problems, []);
        self.settle(node);
    }

    /// The process of a node begins anew with the same key.
    pub(super) fn restart(&mut self, node: usize, peers: &[(usize, PeerConfig)]) {
        let old = &self.nodes[node];
        let address = old.address;
        self.nodes[node] = Node::new(node, old.private.clone());
        self.nodes[node].address = address;
        self.configure(node, peers);
    }

    pub(super) fn send(&mut self, from: usize, to: usize, number: u32) {
        self.send_packet(from, packet(from, to, number));
        self.settle(from);
    }

    fn send_packet(&mut self, from: usize, packet: Vec<u8>) {
        let node = &mut self.nodes[from];
        let table = Arc::clone(&node.table);
        let path = table.path_to(Inner::parse(&packet).unwrap().destination).expect("no such peer");
        let counter = path.session().and_then(|session| session.reserve(1, self.now).ok()?.next());
        let (Some(counter), Some(session), Some(to)) = (counter, path.session(), path.endpoint()) else {
            path.want_session();
            node.waiting.push_back(packet);
            node.waiting.truncate(QUEUE);
            return;
        };
        let mut bytes = vec![0; sealed(packet.len(), MTU)];
        bytes[DATA_HEADER..][..packet.len()].copy_from_slice(&packet);
        session.seal(counter, &mut bytes);
        let mut batch = Batch::default();
        batch.add(bytes.len());
        session.note_sent(batch, self.now);
        let from = node.address;
        self.emit(Datagram { from, to, bytes });
    }

    /// Gives a datagram to the air.
    pub(super) fn emit(&mut self, mut datagram: Datagram) {
        for delay in (self.air)(self.sent.len(), &mut datagram) {
            self.arrivals += 1;
            self.under_way.insert((self.now + delay, self.arrivals), datagram.clone());
        }
        self.sent.push((self.now, datagram));
    }

    /// Lets a node do all that it can do now.
    pub(super) fn settle(&mut self, at: usize) {
        let now = self.time();
        if self.nodes[at].table.bell().take() {
            let random = &mut self.random;
            self.nodes[at].device.handle_timeout(now, &mut |bytes| random.fill(bytes));
        }
        while let Some(out) = self.nodes[at].device.poll_transmit() {
            let from = self.nodes[at].address;
            self.emit(Datagram { from, to: out.to, bytes: out.payload });
        }
        if let Some(table) = self.nodes[at].device.poll_table() {
            self.nodes[at].table = table;
            for packet in std::mem::take(&mut self.nodes[at].waiting) {
                self.send_packet(at, packet);
            }
            self.settle(at);
        }
    }

    pub(super) fn receive(&mut self, at: usize, mut datagram: Datagram) {
        let (now, random, node) = (self.time(), &mut self.random, &mut self.nodes[at]);
        match Kind::of(&datagram.bytes) {
            None => node.refused += 1,
            Some(Kind::Handshake(_)) => {
                let taken = node.device.handle_handshake(&datagram.bytes, datagram.from, now, &mut |bytes| {
                    random.fill(bytes);
                });
                node.rejections.extend(taken.err());
            }
            Some(Kind::Data { receiver, counter }) => {
                let packet = node.open(receiver, counter, &mut datagram, self.now);
                match packet {
                    Some(packet) => node.delivered.extend(Some(packet).filter(|packet| !packet.is_empty())),
                    None => node.refused += 1,
                }
            }
        }
        self.settle(at);
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(next) = self.next_event().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    fn next_event(&self) -> Option<Moment> {
        let arrival = self.under_way.keys().next().map(|(at, _)| *at);
        self.nodes.iter().filter_map(|node| node.device.poll_timeout()).chain(arrival).min()
    }

    fn step(&mut self) {
        while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let datagram = entry.remove();
            if let Some(at) = self.nodes.iter().position(|node| node.address == datagram.to) {
                self.receive(at, datagram);
            }
        }
        for at in 0..self.nodes.len() {
            if self.nodes[at].device.poll_timeout().is_some_and(|due| due <= self.now) {
                let (now, random) = (self.time(), &mut self.random);
                self.nodes[at].device.handle_timeout(now, &mut |bytes| random.fill(bytes));
                let due = self.nodes[at].device.poll_timeout();
                assert!(due.is_none_or(|due| due > self.now), "node {at} is due again at once");
                self.settle(at);
            }
        }
    }

    /// The numbers of the packets that arrived, in order of arrival.
    pub(super) fn arrived(&self, at: usize) -> Vec<u32> {
        self.nodes[at].delivered.iter().map(|packet| number(packet)).collect()
    }

    /// How many datagrams of this type were sent by a node since a moment.
    pub(super) fn count(&self, node: usize, kind: u8, since: Moment) -> usize {
        let ours = |(at, datagram): &&(Moment, Datagram)| {
            *at >= since && datagram.from == self.nodes[node].address && datagram.bytes[0] == kind
        };
        self.sent.iter().filter(ours).count()
    }

    /// Tells whether packets pass in both directions now.
    pub(super) fn talks(&mut self, one: usize, other: usize) -> bool {
        let mark = u32::MAX - u32::try_from(self.sent.len()).unwrap();
        self.send(one, other, mark);
        self.send(other, one, mark);
        self.run(4 * DELAY);
        self.arrived(one).contains(&mark) && self.arrived(other).contains(&mark)
    }
}
