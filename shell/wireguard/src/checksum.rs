//! The Internet checksum (RFC 1071), as sums that are folded at the end.

/// A sum that has not been folded. Words are added in the machine's own order, which the checksum permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum(u64);

impl Sum {
    pub(crate) const ZERO: Self = Self(0);

    /// The sum of these bytes, which begin at an even place of what is summed.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::ZERO.add(bytes)
    }

    /// Adds bytes that begin at an even place of what is summed.
    pub(crate) fn add(self, bytes: &[u8]) -> Self {
        // Four sums of 32-bit words: no carry is lost below 16 GiB, and the compiler makes vectors of them.
        let mut lanes = [0u64; 4];
        let (blocks, rest) = bytes.as_chunks::<16>();
        for block in blocks {
            let (words, _) = block.as_chunks::<4>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane += u64::from(u32::from_ne_bytes(*word));
            }
        }
        let mut total = self.0 + lanes.iter().map(|lane| fold32(*lane)).sum::<u64>();
        let (pairs, odd) = rest.as_chunks::<2>();
        for pair in pairs {
            total += u64::from(u16::from_ne_bytes(*pair));
        }
        if let [last] = odd {
            total += u64::from(u16::from_ne_bytes([*last, 0]));
        }
        Self(total)
    }

    /// Adds one 16-bit word that is in host order.
    pub(crate) fn word(self, word: u16) -> Self {
        Self(self.0 + u64::from(word.to_be()))
    }

    /// The folded sum as bytes of a packet, not complemented: what a partial checksum holds.
    pub(crate) fn folded(self) -> [u8; 2] {
        let mut sum = fold32(self.0);
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap_or(u16::MAX).to_ne_bytes()
    }

    /// The checksum as bytes of a packet.
    pub(crate) fn checksum(self) -> [u8; 2] {
        let [high, low] = self.folded();
        [!high, !low]
    }

    /// Whether this is the sum of something that holds its own valid checksum.
    pub(crate) fn is_valid(self) -> bool {
        self.folded() == [0xff, 0xff]
    }
}

fn fold32(sum: u64) -> u64 {
    (sum & 0xffff_ffff) + (sum >> 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(bytes: &[u8]) -> [u8; 2] {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!u16::try_from(sum).unwrap()).to_be_bytes()
    }

    #[test]
    fn example_of_the_rfc() {
        assert_eq!(Sum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).folded(), [0xdd, 0xf2]);
    }

    proptest! {
        #[test]
        fn equals_the_plain_sum(bytes in proptest::collection::vec(any::<u8>(), 1..3000), cut in 0usize..1500) {
            prop_assert_eq!(Sum::of(&bytes).checksum(), plain(&bytes));
            let (left, right) = bytes.split_at((cut * 2).min(bytes.len() & !1));
            prop_assert_eq!(Sum::of(left).add(right).checksum(), plain(&bytes));
        }
    }
}
