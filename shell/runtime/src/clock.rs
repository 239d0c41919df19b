//! The clock of this process.

use std::sync::OnceLock;

use subm_probe::Moment;
use tokio::time::Instant;

static BEGIN: OnceLock<Instant> = OnceLock::new();

/// The present moment, counted from the first call in this process.
pub fn now() -> Moment {
    Moment(BEGIN.get_or_init(Instant::now).elapsed())
}

/// The same moment for timers.
pub fn instant(moment: Moment) -> Instant {
    *BEGIN.get_or_init(Instant::now) + moment.0
}
