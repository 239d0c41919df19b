//! How many handshakes may cost us a key exchange, in memory that does not grow.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use subm_types::Moment;

use crate::crypto::mac;
use crate::device::Random;

/// Handshake messages per second that are answered without asking for a cookie, beside one of each peer.
const EASE: u32 = 256;
/// How long load lasts once it was noticed.
const WINDOW: Duration = Duration::from_secs(1);
/// Sources share this many buckets, by a hash that only we can compute.
const BUCKETS: usize = 1 << 12;
/// What one source may send at once under load, and how fast it may go on.
const BURST: u32 = 5;
const REFILL: Duration = Duration::from_millis(50);

/// So far apart on average are the handshake messages that the control gets to see at all.
const HEARING: Duration = Duration::from_millis(1);

/// What lets handshake messages through to the control, of known addresses and of strangers apart: no flood of
/// strangers drowns a peer, and none of either takes more than some hundredth of a core.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    known: Throttle,
    strangers: Throttle,
}

impl Doors {
    /// Tells whether there is room for one more message; each of `peers` may send one at once.
    #[inline]
    pub(crate) fn admit(&self, known: bool, now: Moment, peers: usize) -> bool {
        let burst = EASE.saturating_add(u32::try_from(peers).unwrap_or(u32::MAX));
        let throttle = if known { &self.known } else { &self.strangers };
        throttle.admit(now, HEARING.saturating_mul(burst))
    }
}

/// A token bucket that many threads share: when it is full again, in nanoseconds. An empty one is only read.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Throttle(AtomicU64);

impl Throttle {
    #[inline]
    fn admit(&self, now: Moment, depth: Duration) -> bool {
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let (now, depth) = (nanos(now.0), nanos(depth));
        let take = |full_at: u64| {
            let next = full_at.max(now).saturating_add(nanos(HEARING));
            (next - now <= depth).then_some(next)
        };
        self.0.fetch_update(Relaxed, Relaxed, take).is_ok()
    }
}

/// Counts handshake messages by the second.
#[derive(Debug, Default)]
pub(crate) struct Load {
    window: Moment,
    count: u32,
    until: Option<Moment>,
}

impl Load {
    /// Counts one more message and tells whether there are too many.
    pub(crate) fn rises(&mut self, now: Moment, peers: usize) -> bool {
        if now.since(self.window) >= WINDOW {
            (self.window, self.count) = (now, 0);
        }
        self.count = self.count.saturating_add(1);
        if self.count > EASE.saturating_add(u32::try_from(peers).unwrap_or(u32::MAX)) {
            self.until = Some(now + WINDOW);
        }
        self.until.is_some_and(|until| now < until)
    }
}

/// A token bucket per group of sources.
pub(crate) struct Sources {
    key: [u8; 16],
    /// When the bucket is full again; how far that lies ahead says how empty it is.
    full_at: Vec<Moment>,
}

impl Sources {
    pub(crate) fn new(random: &mut Random<'_>) -> Self {
        let mut key = [0; 16];
        random(&mut key);
        Self { key, full_at: vec![Moment::default(); BUCKETS] }
    }

    /// Takes a token of a source; false if there is none left. An IPv6 source is its /64.
    pub(crate) fn admit(&mut self, source: IpAddr, now: Moment) -> bool {
        let hash = match source {
            IpAddr::V4(v4) => mac(&self.key, &[&v4.octets()]),
            IpAddr::V6(v6) => mac(&self.key, &[&v6.octets()[..8]]),
        };
        let bucket = &mut self.full_at[usize::from(u16::from_le_bytes([hash[0], hash[1]])) % BUCKETS];
        let full_at = (*bucket).max(now) + REFILL;
        let admitted = full_at.since(now) <= REFILL * BURST;
        if admitted {
            *bucket = full_at;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment(Duration::from_secs(1_000) + Duration::from_millis(millis))
    }

    #[test]
    fn load_begins_above_the_limit_and_passes_a_second_later() {
        let mut load = Load::default();
        assert!((0..EASE + 3).all(|_| !load.rises(at(0), 3)));
        assert!(load.rises(at(10), 3));
        assert!(load.rises(at(1_005), 3), "a new window, but the load has just been");
        assert!(!load.rises(at(1_011), 3));
    }

    #[test]
    fn a_flood_of_strangers_gets_its_rate_and_leaves_the_peers_theirs() {
        let doors = Doors::default();
        let heard = (0..1_000_000_u64).filter(|round| doors.admit(false, at(round / 500), 3)).count();
        assert!((2_258..=2_260).contains(&heard), "{heard} of a million in two seconds");
        assert!((0..259).all(|_| doors.admit(true, at(2_000), 3)));
        assert!(!doors.admit(true, at(2_000), 3));
        assert!(doors.admit(true, at(2_001), 3));
    }

    #[test]
    fn a_source_gets_a_burst_then_a_rate() {
        let mut sources = Sources::new(&mut |bytes| bytes.fill(7));
        let (one, other) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let admitted = (0..100).filter(|_| sources.admit(one, at(0))).count();
        assert_eq!(admitted, 5);
        assert!(sources.admit(other, at(0)), "each source has its own");
        let admitted = (0..1_000).filter(|millis| sources.admit(one, at(*millis))).count();
        assert!((19..=20).contains(&admitted), "{admitted} in a second");
    }

    #[test]
    fn an_ipv6_source_is_its_network() {
        let mut sources = Sources::new(&mut |bytes| bytes.fill(7));
        let admitted = (0..64_u128)
            .filter(|host| sources.admit(IpAddr::V6(((0x2001_0db8 << 96) | host).into()), at(0)))
            .count();
        assert_eq!(admitted, 5);
    }
}
