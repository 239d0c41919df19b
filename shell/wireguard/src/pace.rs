//! Whether a thread has a core to itself.
//!
//! Where all cores are taken, a second thread for the same work only takes turns with the first. So a thread asks for
//! help when it ran all the time and still found more to do, not when it waited for a core.

use std::time::{Duration, Instant};

use crate::turns::{Came, Help};

/// So many batches are a measurement.
const BATCHES: u32 = 16;

/// What one thread knows of its own pace.
#[derive(Debug)]
pub(crate) struct Pace {
    wall: Instant,
    ran: Duration,
    batches: u32,
    has_core: bool,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { wall: Instant::now(), ran: Duration::ZERO, batches: 0, has_core: false }
    }

    /// Notes a batch; tells whether another thread would be of use.
    pub(crate) fn note(&mut self, came: Came) -> Help {
        if came == Came::AfterWait {
            (self.batches, self.has_core) = (0, false);
            return Help::Needless;
        }
        if self.batches.is_multiple_of(BATCHES) {
            let (wall, ran) = (Instant::now(), ran());
            if self.batches > 0 {
                self.has_core = keeps_up(ran.saturating_sub(self.ran), wall.duration_since(self.wall));
            }
            (self.wall, self.ran) = (wall, ran);
        }
        self.batches = self.batches.wrapping_add(1);
        if self.has_core { Help::Wanted } else { Help::Needless }
    }
}

/// Nine tenths of the time or more.
fn keeps_up(ran: Duration, wall: Duration) -> bool {
    ran * 10 >= wall * 9
}

/// How long this thread has run.
fn ran() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "the call writes one timespec, which is alive")]
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    match (done, seconds, nanos) {
        (0, Ok(seconds), Ok(nanos)) => Duration::new(seconds, nanos),
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_that_rests_needs_no_help() {
        let mut pace = Pace::new();
        for _ in 0..2 * BATCHES {
            assert_eq!(pace.note(Came::AtOnce), Help::Needless);
            thread::sleep(Duration::from_micros(200));
        }
        assert_eq!(pace.note(Came::AfterWait), Help::Needless);
    }

    #[test]
    fn time_that_a_thread_ran_is_told_from_time_that_passed() {
        let before = ran();
        thread::sleep(Duration::from_millis(20));
        assert!(ran().saturating_sub(before) < Duration::from_millis(15));
        assert!(keeps_up(Duration::from_millis(95), Duration::from_millis(100)));
        assert!(!keeps_up(Duration::from_millis(80), Duration::from_millis(100)));
    }
}
