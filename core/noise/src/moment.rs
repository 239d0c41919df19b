//! Moments that several threads write.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use subm_types::Moment;

/// A moment or none, in one word.
#[derive(Debug, Default)]
pub(crate) struct AtomicMoment(AtomicU64);

impl AtomicMoment {
    pub(crate) fn set(&self, moment: Moment) {
        self.0.store(word(moment), Relaxed);
    }

    /// Sets it unless it is set: the first of several moments stands.
    pub(crate) fn set_first(&self, moment: Moment) {
        if self.0.load(Relaxed) == 0 {
            self.0.store(word(moment), Relaxed);
        }
    }

    /// Unsets it. Writes only where there is something to unset, so that an idle word stays in every cache.
    pub(crate) fn clear(&self) {
        if self.0.load(Relaxed) != 0 {
            self.0.store(0, Relaxed);
        }
    }

    pub(crate) fn get(&self) -> Option<Moment> {
        let nanos = self.0.load(Relaxed).checked_sub(1)?;
        Some(Moment(std::time::Duration::from_nanos(nanos)))
    }
}

/// Nanoseconds and one, as zero means none.
fn word(moment: Moment) -> u64 {
    u64::try_from(moment.0.as_nanos()).unwrap_or(u64::MAX - 1).saturating_add(1)
}
