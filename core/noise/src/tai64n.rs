//! The time stamps of initiations: each is later than the one before.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of a time stamp.
pub(crate) const TAI64N: usize = 12;
/// The label of the second 0 of 1970, ten seconds ahead of UTC.
const EPOCH: u64 = (1 << 62) + 10;
/// Time stamps are rounded down, so that they do not tell how our clock runs.
const GRAIN: u32 = 1 << 24;

/// A time stamp on the wire; sorts by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tai64N(pub(crate) [u8; TAI64N]);

impl Tai64N {
    fn of(since_1970: Duration) -> Self {
        let mut bytes = [0; TAI64N];
        bytes[..8].copy_from_slice(&EPOCH.saturating_add(since_1970.as_secs()).to_be_bytes());
        bytes[8..].copy_from_slice(&(since_1970.subsec_nanos() & !(GRAIN - 1)).to_be_bytes());
        Self(bytes)
    }
}

/// Gives out time stamps.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    last: Duration,
}

impl Stamps {
    /// The time stamp of now, or the next one if the wall clock went back or stands still.
    pub(crate) fn next(&mut self, wall: SystemTime) -> Tai64N {
        let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let later = self.last.saturating_add(Duration::from_nanos(u64::from(GRAIN)));
        self.last = wall.max(later);
        Tai64N::of(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_rise_whatever_the_clock_does() {
        let mut stamps = Stamps::default();
        let start = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let clock = [0, 0, 5, 0, 999, 1_000_000_000, 1_999_999_999, 2_000_000_000];
        let made: Vec<Tai64N> =
            clock.iter().map(|nanos| stamps.next(start + Duration::from_nanos(*nanos))).collect();
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
        assert_eq!(made[0].0[..8], 0x4000_0000_6553_f10a_u64.to_be_bytes());
    }
}
