//! The wire: what another implementation says, we understand, and the other way round.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519;
use subm_noise::message::{DATA_HEADER, Kind, sealed};
use subm_noise::{
    Batch, Device, Inner, Moment, Now, PeerConfig, PresharedKey, PrivateKey, PublicKey, Table, public_key,
};

const OURS: [u8; 32] = [3; 32];
const THEIRS: [u8; 32] = [4; 32];
const MTU: usize = 1420;

/// Our device and theirs, and the time by which ours runs.
struct Pair {
    ours: Device,
    table: Arc<Table>,
    theirs: Tunn,
    elapsed: Duration,
    draw: u8,
}

fn endpoint() -> SocketAddr {
    "192.0.2.2:51820".parse().unwrap()
}

/// A packet between 10.0.0.1 on our side and 10.1.0.1 on theirs.
fn packet(source: u8, destination: u8, length: u16) -> Vec<u8> {
    let mut packet: Vec<u8> = (0..length).map(|byte| byte.to_le_bytes()[0]).collect();
    packet[..20].fill(0);
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet[12..20].copy_from_slice(&[10, source, 0, 1, 10, destination, 0, 1]);
    packet
}

impl Pair {
    fn new(preshared: Option<[u8; 32]>, known: Option<SocketAddr>, limit: u64) -> Self {
        let secret = x25519::StaticSecret::from(THEIRS);
        let their_key = x25519::PublicKey::from(&secret);
        let our_key = x25519::PublicKey::from(public_key(&PrivateKey::new(OURS)).0);
        let limiter = Arc::new(RateLimiter::new(&their_key, limit));
        let theirs = Tunn::new(secret, our_key, preshared, None, 77, Some(limiter));
        let config = PeerConfig {
            preshared: preshared.map(PresharedKey::new),
            endpoint: known,
            allowed: ["10.1.0.0/16".parse().unwrap()].into_iter().collect(),
            keepalive: None,
        };
        let mut ours = Device::new(&PrivateKey::new(OURS));
        let table = ours.poll_table().unwrap();
        let mut pair = Self { ours, table, theirs, elapsed: Duration::from_secs(1), draw: 0 };
        let peers = [(PublicKey(their_key.to_bytes()), config)].into();
        let (now, mut random) = (pair.now(), pair.random());
        assert_eq!(pair.ours.set_peers(&peers, now, &mut random), []);
        pair
    }

    fn now(&self) -> Now {
        Now { moment: Moment(self.elapsed), wall: UNIX_EPOCH + Duration::from_hours(500_000) + self.elapsed }
    }

    fn random(&mut self) -> impl FnMut(&mut [u8]) + use<> {
        self.draw += 1;
        let mut next = self.draw;
        move |bytes| {
            for byte in bytes {
                next = next.wrapping_mul(5).wrapping_add(7);
                *byte = next;
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.elapsed += Duration::from_secs(seconds);
        let (now, mut random) = (self.now(), self.random());
        self.ours.handle_timeout(now, &mut random);
    }

    /// Gives all that we have to say to them, and what they answer to us, until nobody has more.
    fn exchange(&mut self) -> Vec<Vec<u8>> {
        let mut delivered = Vec::new();
        loop {
            self.table = self.ours.poll_table().unwrap_or_else(|| Arc::clone(&self.table));
            let Some(out) = self.ours.poll_transmit() else { return delivered };
            delivered.extend(self.tell_them(&out.payload));
        }
    }

    /// Gives them a datagram; the packet in it, if any. What they answer goes to us.
    fn tell_them(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 2048];
        match self.theirs.decapsulate(Some(endpoint().ip()), datagram, &mut buffer) {
            TunnResult::WriteToTunnelV4(packet, _) => return Some(packet.to_vec()),
            TunnResult::WriteToTunnelV6(..) => panic!("an IPv6 packet"),
            TunnResult::WriteToNetwork(answer) => {
                let answer = answer.to_vec();
                self.tell_us(answer);
                while let TunnResult::WriteToNetwork(more) = self.theirs.decapsulate(None, &[], &mut buffer) {
                    let more = more.to_vec();
                    self.tell_us(more);
                }
            }
            TunnResult::Done => {}
            TunnResult::Err(problem) => panic!("{problem:?}"),
        }
        None
    }

    /// Gives us a datagram; the packet in it, if any.
    fn tell_us(&mut self, mut datagram: Vec<u8>) -> Option<Vec<u8>> {
        let (now, mut random) = (self.now(), self.random());
        match Kind::of(&datagram).unwrap() {
            Kind::Handshake(_) => {
                self.ours.handle_handshake(&datagram, endpoint(), now, &mut random).unwrap();
                None
            }
            Kind::Data { receiver, counter } => {
                let mut batch = Batch::default();
                batch.add(datagram.len());
                let found = self.table.receiver(receiver).unwrap();
                let packet = found.session.open(counter, &mut datagram, now.moment).unwrap();
                found.note_received(batch, endpoint(), now.moment);
                let inner = Inner::parse(packet)?;
                assert!(self.table.admits(found.path, inner.source));
                let packet = packet[..inner.length].to_vec();
                if self.table.bell().take() {
                    self.ours.handle_timeout(now, &mut random);
                }
                Some(packet)
            }
        }
    }

    fn send(&self, packet: &[u8]) -> Vec<u8> {
        let path = self.table.path_to("10.1.0.1".parse().unwrap()).unwrap();
        let session = path.session().unwrap();
        let mut datagram = vec![0; sealed(packet.len(), MTU)];
        datagram[DATA_HEADER..][..packet.len()].copy_from_slice(packet);
        let counter = session.reserve(1, self.now().moment).unwrap().next().unwrap();
        session.seal(counter, &mut datagram);
        datagram
    }

    fn packets_pass_both_ways(&mut self) {
        for length in [20, 21, 576, 1404, 1405, 1420] {
            let ours = packet(0, 1, length);
            let datagram = self.send(&ours);
            assert_eq!(self.tell_them(&datagram), Some(ours), "{length} bytes to them");
            let theirs = packet(1, 0, length);
            let mut buffer = vec![0; 2048];
            let TunnResult::WriteToNetwork(datagram) = self.theirs.encapsulate(&theirs, &mut buffer) else {
                panic!("they have no session");
            };
            let datagram = datagram.to_vec();
            assert_eq!(self.tell_us(datagram), Some(theirs), "{length} bytes to us");
        }
    }
}

#[test]
fn a_handshake_that_we_begin() {
    for preshared in [None, Some([9; 32])] {
        let mut pair = Pair::new(preshared, Some(endpoint()), 100);
        assert!(pair.exchange().is_empty());
        pair.packets_pass_both_ways();
    }
}

#[test]
fn a_handshake_that_they_begin() {
    for preshared in [None, Some([9; 32])] {
        let mut pair = Pair::new(preshared, None, 100);
        let mut buffer = vec![0; 2048];
        let first = packet(1, 0, 100);
        let TunnResult::WriteToNetwork(initiation) = pair.theirs.encapsulate(&first, &mut buffer) else {
            panic!("no initiation");
        };
        let initiation = initiation.to_vec();
        pair.tell_us(initiation);
        pair.exchange();
        // The packet that waited, or an empty one, has shown us that they have the session.
        pair.pass(1);
        pair.exchange();
        pair.packets_pass_both_ways();
    }
}

#[test]
fn a_renewal_passes_while_the_old_session_is_in_use() {
    let mut pair = Pair::new(None, Some(endpoint()), 100);
    pair.exchange();
    for _ in 0..5 {
        pair.pass(121);
        let late = pair.send(&packet(0, 1, 64));
        assert!(pair.table.bell().take(), "the session is old");
        pair.pass(0);
        pair.exchange();
        assert_eq!(pair.tell_them(&late), Some(packet(0, 1, 64)), "what was under way");
        pair.packets_pass_both_ways();
    }
}

#[test]
fn their_cookie_lets_us_in_under_load() {
    let mut pair = Pair::new(None, Some(endpoint()), 0);
    pair.exchange();
    assert!(pair.table.path_to("10.1.0.1".parse().unwrap()).unwrap().session().is_none(), "only a cookie");
    pair.pass(6);
    pair.exchange();
    pair.packets_pass_both_ways();
}
