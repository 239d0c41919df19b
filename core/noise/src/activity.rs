//! What the threads of the data path leave for the control, per peer, without a lock.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use subm_types::Moment;

use crate::message::DATA_OVERHEAD;
use crate::moment::AtomicMoment;

/// One flag for all peers: the control has to look before its next deadline.
#[derive(Debug, Default)]
pub struct Bell(AtomicBool);

impl Bell {
    pub(crate) fn ring(&self) {
        self.0.store(true, Release);
    }

    /// Takes the ring, if any. Who gets `true` wakes the control, which calls [`crate::Device::handle_timeout`].
    #[inline]
    pub fn take(&self) -> bool {
        self.0.load(Relaxed) && self.0.swap(false, Acquire)
    }
}

/// The datagrams of one session that were sent or received together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Batch {
    bytes: u64,
    carries_data: bool,
}

impl Batch {
    /// Adds a datagram of this length, header and tag included.
    #[inline]
    pub fn add(&mut self, datagram: usize) {
        self.bytes += datagram as u64;
        self.carries_data |= datagram > DATA_OVERHEAD;
    }

    /// A handshake message, which carries no data however long it is.
    pub(crate) const fn handshake(datagram: usize) -> Self {
        Self { bytes: datagram as u64, carries_data: false }
    }

    /// Tells whether nothing was added.
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

/// The traffic of one peer as far as timers and status need it.
///
/// A batch costs a few relaxed stores. What is sent and what is received lie on cache lines of their own.
#[derive(Debug)]
pub(crate) struct Activity {
    bell: Arc<Bell>,
    /// A handshake is wanted and the bell was rung for it; stays until the control has a session or gave up.
    wanted: AtomicBool,
    roamed: Roamed,
    sent: Line<Sent>,
    received: Line<Received>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Line<T>(T);

#[derive(Debug, Default)]
struct Sent {
    bytes: AtomicU64,
    last: AtomicMoment,
    /// The first data since we last heard of the peer.
    unanswered: AtomicMoment,
}

#[derive(Debug, Default)]
struct Received {
    bytes: AtomicU64,
    /// The first data since the peer last heard of us.
    unacknowledged: AtomicMoment,
}

impl Activity {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self {
            bell,
            wanted: AtomicBool::default(),
            roamed: Roamed::default(),
            sent: Line::default(),
            received: Line::default(),
        }
    }

    /// Asks for a handshake: there is a packet for the peer and no session, or the session gets old.
    #[inline]
    pub(crate) fn want_handshake(&self) {
        if !self.wanted.load(Relaxed) && !self.wanted.swap(true, Relaxed) {
            self.bell.ring();
        }
    }

    pub(crate) fn ring(&self) {
        self.bell.ring();
    }

    pub(crate) fn wants_handshake(&self) -> bool {
        self.wanted.load(Relaxed)
    }

    pub(crate) fn settle_handshake(&self) {
        self.wanted.store(false, Relaxed);
    }

    /// Notes datagrams that go out.
    #[inline]
    pub(crate) fn note_sent(&self, batch: Batch, now: Moment) {
        self.sent.0.bytes.fetch_add(batch.bytes, Relaxed);
        self.sent.0.last.set(now);
        self.received.0.unacknowledged.clear();
        if batch.carries_data {
            self.sent.0.unanswered.set_first(now);
        }
    }

    /// Notes authentic datagrams that came in.
    #[inline]
    pub(crate) fn note_received(&self, batch: Batch, now: Moment) {
        self.received.0.bytes.fetch_add(batch.bytes, Relaxed);
        self.sent.0.unanswered.clear();
        if batch.carries_data {
            self.received.0.unacknowledged.set_first(now);
        }
    }

    /// Notes that an authentic datagram came from another address than the one in use.
    pub(crate) fn note_roamed(&self, to: SocketAddr) {
        if self.roamed.put(to) {
            self.bell.ring();
        }
    }

    pub(crate) fn take_roamed(&self) -> Option<SocketAddr> {
        self.roamed.take()
    }

    pub(crate) fn bytes_sent(&self) -> u64 {
        self.sent.0.bytes.load(Relaxed)
    }

    pub(crate) fn bytes_received(&self) -> u64 {
        self.received.0.bytes.load(Relaxed)
    }

    pub(crate) fn last_sent(&self) -> Option<Moment> {
        self.sent.0.last.get()
    }

    pub(crate) fn unanswered(&self) -> Option<Moment> {
        self.sent.0.unanswered.get()
    }

    pub(crate) fn settle_unanswered(&self) {
        self.sent.0.unanswered.clear();
    }

    pub(crate) fn unacknowledged(&self) -> Option<Moment> {
        self.received.0.unacknowledged.get()
    }
}

/// A slot for one address. Whoever finds it busy leaves: the next datagram from there tells the same.
#[derive(Debug, Default)]
struct Roamed {
    busy: AtomicBool,
    high: AtomicU64,
    low: AtomicU64,
    /// Port, family and scope; zero means none.
    rest: AtomicU64,
}

const SCOPE_SHIFT: u32 = 32;
const PRESENT: u64 = 1 << 16;
const IS_V4: u64 = 1 << 17;

impl Roamed {
    /// Writes an address; false if the slot was busy or has it already.
    fn put(&self, to: SocketAddr) -> bool {
        let (address, scope) = match to {
            SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), IS_V4),
            SocketAddr::V6(v6) => (*v6.ip(), u64::from(v6.scope_id()) << SCOPE_SHIFT),
        };
        let bits = address.to_bits();
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let (high, low) = ((bits >> 64) as u64, bits as u64);
        let rest = u64::from(to.port()) | PRESENT | scope;
        self.alone(|| {
            let stale = self.rest.swap(rest, Relaxed) != rest;
            let stale = self.low.swap(low, Relaxed) != low || stale;
            self.high.swap(high, Relaxed) != high || stale
        })
        .unwrap_or(false)
    }

    fn take(&self) -> Option<SocketAddr> {
        self.alone(|| {
            let rest = self.rest.swap(0, Relaxed);
            let bits = (u128::from(self.high.load(Relaxed)) << 64) | u128::from(self.low.load(Relaxed));
            let address = Ipv6Addr::from_bits(bits);
            #[expect(clippy::cast_possible_truncation, reason = "the port is the lowest part")]
            let port = rest as u16;
            let scope = u32::try_from(rest >> SCOPE_SHIFT).unwrap_or_default();
            let to = match address.to_ipv4_mapped().filter(|_| rest & IS_V4 != 0) {
                Some(v4) => SocketAddr::new(IpAddr::V4(v4), port),
                None => SocketAddr::V6(SocketAddrV6::new(address, port, 0, scope)),
            };
            (rest & PRESENT != 0).then_some(to)
        })
        .flatten()
    }

    fn alone<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        if self.busy.swap(true, Acquire) {
            return None;
        }
        let out = work();
        self.busy.store(false, Release);
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_goes_through_the_slot_whole() {
        let slot = Roamed::default();
        assert_eq!(slot.take(), None);
        for text in ["192.0.2.1:65535", "0.0.0.0:1", "[2001:db8::1]:4500", "[::ffff:192.0.2.1]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert!(slot.put(address));
            assert!(!slot.put(address), "told already");
            assert_eq!(slot.take(), Some(address));
            assert_eq!(slot.take(), None);
        }
        let scoped = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 7, 0, 9));
        assert!(slot.put(scoped));
        assert_eq!(slot.take(), Some(scoped));
    }

    #[test]
    fn addresses_of_several_threads_never_mix() {
        let slot = Roamed::default();
        let addresses: [SocketAddr; 2] =
            ["192.0.2.1:1", "[2001:db8:1:2:3:4:5:6]:2"].map(|text| text.parse().unwrap());
        std::thread::scope(|scope| {
            for address in addresses {
                let slot = &slot;
                scope.spawn(move || (0..20_000).filter(|_| slot.put(address)).count());
            }
            for _ in 0..20_000 {
                assert!(slot.take().is_none_or(|taken| addresses.contains(&taken)));
            }
        });
    }
}
