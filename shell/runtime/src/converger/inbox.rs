//! What the thread is told from outside.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use subm_plan::NodePlan;

/// A plan and its number.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) generation: u64,
    pub(super) plan: NodePlan,
}

#[derive(Debug, Default)]
struct Told {
    wanted: Option<Arc<Wanted>>,
    fresh: bool,
    woken: bool,
    stopped: bool,
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    told: Mutex<Told>,
    changed: Condvar,
}

/// Why the thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    NewPlan,
    Woken,
    Timer,
    Stop,
}

/// When the thread goes on by itself, and from when on it listens to the kernel again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    pub(super) until: Instant,
    pub(super) deaf_until: Instant,
}

impl Inbox {
    pub(super) fn set_plan(&self, plan: NodePlan) -> u64 {
        let mut told = self.lock();
        let present = told.wanted.as_ref().map_or(0, |wanted| wanted.generation);
        if told.wanted.as_ref().is_some_and(|wanted| wanted.plan == plan) {
            return present;
        }
        let generation = present + 1;
        told.wanted = Some(Arc::new(Wanted { generation, plan }));
        told.fresh = true;
        self.changed.notify_one();
        generation
    }

    pub(super) fn wanted(&self) -> Option<Arc<Wanted>> {
        self.lock().wanted.clone()
    }

    pub(super) fn wake(&self) {
        let mut told = self.lock();
        if !told.woken {
            told.woken = true;
            self.changed.notify_one();
        }
    }

    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_one();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Waits for something to do.
    pub(super) fn wait(&self, rest: Rest) -> Cause {
        let mut told = self.lock();
        loop {
            let now = Instant::now();
            if told.stopped {
                return Cause::Stop;
            }
            if told.fresh {
                (told.fresh, told.woken) = (false, false);
                return Cause::NewPlan;
            }
            if told.woken && now >= rest.deaf_until {
                told.woken = false;
                return Cause::Woken;
            }
            if now >= rest.until {
                told.woken = false;
                return Cause::Timer;
            }
            let until = if told.woken { rest.until.min(rest.deaf_until) } else { rest.until };
            let waited = self.changed.wait_timeout(told, until.saturating_duration_since(now));
            told = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
