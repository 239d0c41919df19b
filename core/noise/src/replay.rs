//! Which counters of a session were seen.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters per word.
const MAP_BITS: u32 = 3;
/// Words of a window.
const SLOT_BITS: u32 = 11;
/// A counter's place: the low bits name the bit and the word, the rest is the word's epoch.
const EPOCH_SHIFT: u32 = MAP_BITS + SLOT_BITS;
const MAP_MASK: u64 = (1 << (1 << MAP_BITS)) - 1;

/// A window over the counters that were accepted: each is accepted once, by whatever thread comes first.
///
/// The ring of blocks is that of RFC 6479, but each word carries the epoch of its block beside the bits, so that
/// one compare-and-swap both moves the window and marks a counter: no lock, and threads that work on different
/// batches touch different words.
// INVARIANT: the epoch of a word never goes back, and within one epoch a bit is set once; hence no counter passes twice.
#[derive(Debug)]
pub(crate) struct ReplayWindow(Box<[AtomicU64]>);

impl Default for ReplayWindow {
    fn default() -> Self {
        Self((0..1 << SLOT_BITS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl ReplayWindow {
    /// How far a counter may lie behind the highest one and still be accepted, at least.
    #[cfg(test)]
    pub(crate) const REACH: u64 = (1 << EPOCH_SHIFT) - (1 << MAP_BITS);

    /// Tells whether a counter would be accepted now: what is a replay need not be decrypted.
    #[inline]
    pub(crate) fn is_new(&self, counter: u64) -> bool {
        let (slot, epoch, bit) = place(counter);
        advance(self.0[slot].load(Relaxed), epoch, bit).is_some()
    }

    /// Accepts a counter; false if it was accepted before or lies behind the window. Only for authentic packets.
    #[inline]
    pub(crate) fn accept(&self, counter: u64) -> bool {
        let (slot, epoch, bit) = place(counter);
        self.0[slot].fetch_update(Relaxed, Relaxed, |word| advance(word, epoch, bit)).is_ok()
    }
}

#[inline]
fn place(counter: u64) -> (usize, u64, u64) {
    let slot = (counter >> MAP_BITS) & ((1 << SLOT_BITS) - 1);
    let bit = 1 << (counter & ((1 << MAP_BITS) - 1));
    (slot as usize, counter >> EPOCH_SHIFT, bit)
}

/// The word once the counter is marked; none if it may not be.
#[inline]
fn advance(word: u64, epoch: u64, bit: u64) -> Option<u64> {
    let seen = word >> (1 << MAP_BITS);
    let map = if seen == epoch { word & MAP_MASK } else { 0 };
    (seen <= epoch && map & bit == 0).then_some((epoch << (1 << MAP_BITS)) | map | bit)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::AtomicUsize;

    use proptest::prelude::*;

    use super::*;

    /// The window as the RFC describes it, without thought for speed: what was seen, and the highest.
    #[derive(Default)]
    struct Plain {
        seen: BTreeSet<u64>,
        highest: u64,
    }

    impl Plain {
        fn accept(&mut self, counter: u64) -> bool {
            let new = self.seen.insert(counter);
            self.highest = self.highest.max(counter);
            new
        }
    }

    #[test]
    fn each_counter_passes_once() {
        let window = ReplayWindow::default();
        for counter in [0, 1, 5, 4, 9_000, 8_999, u64::MAX - 1, u64::MAX] {
            assert!(window.is_new(counter));
            assert!(window.accept(counter), "{counter}");
            assert!(!window.is_new(counter));
            assert!(!window.accept(counter), "{counter} again");
        }
    }

    #[test]
    fn what_lies_within_reach_passes_and_what_lies_far_behind_does_not() {
        let window = ReplayWindow::default();
        const { assert!(ReplayWindow::REACH >= 8_192) };
        for counter in (100_000..200_000).rev().step_by(7) {
            assert_eq!(window.accept(counter), counter + ReplayWindow::REACH >= 199_999 - 8, "{counter}");
        }
    }

    #[test]
    fn threads_share_a_window() {
        let (window, accepted) = (ReplayWindow::default(), AtomicUsize::new(0));
        // Each thread has an order of its own, within the window.
        let accept = |thread: u64| {
            let passed = (0..50_000).filter(|counter| window.accept(counter ^ (thread * 0x155))).count();
            accepted.fetch_add(passed, Relaxed);
        };
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                scope.spawn(move || accept(thread));
            }
        });
        let accepted = accepted.into_inner();
        assert!(accepted <= 50_688, "{accepted}: a counter passed twice");
    }

    proptest! {
        #[test]
        fn accepts_what_the_plain_window_accepts(
            steps in prop::collection::vec((0..40_000_u64, any::<bool>()), 1..400)
        ) {
            let (window, mut plain) = (ReplayWindow::default(), Plain::default());
            let mut base = 0_u64;
            for (step, forward) in steps {
                let counter = if forward { base + step / 64 } else { base.saturating_sub(step) };
                base = base.max(counter);
                let (within, accepted) = (counter + ReplayWindow::REACH >= plain.highest, window.accept(counter));
                let new = plain.accept(counter);
                if within {
                    prop_assert_eq!(accepted, new, "{} behind {}", counter, plain.highest);
                } else {
                    prop_assert!(new || !accepted, "{} passed twice", counter);
                }
            }
        }
    }
}
