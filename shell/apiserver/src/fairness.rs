//! A fair share for each user: so many requests at once, and so many a second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Users who were silent so long are forgotten.
const SILENT: Duration = Duration::from_mins(5);

/// What each user may ask for; whoever is in `system:masters` is not held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Requests at the same time. Watches do not count.
    pub at_once: u32,
    /// Requests a second in the long run.
    pub per_second: u32,
    /// Requests that may come in one go after quiet.
    pub burst: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self { at_once: 128, per_second: 1_000, burst: 4_000 }
    }
}

/// Who asked how much lately.
#[derive(Debug)]
pub(crate) struct Fairness {
    share: Share,
    users: Mutex<BTreeMap<String, Arc<Mutex<Account>>>>,
}

#[derive(Debug)]
struct Account {
    running: u32,
    /// How many requests may come at once now.
    credit: f64,
    seen: Instant,
}

/// A request that runs; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running(Option<Arc<Mutex<Account>>>);

impl Fairness {
    pub(crate) fn new(share: Share) -> Self {
        Self { share, users: Mutex::default() }
    }

    /// Lets a request of a user begin, unless the user has had enough.
    pub(crate) fn begin(&self, user: &str, now: Instant) -> Option<Running> {
        let account = self.account(user, now);
        let mut state = account.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(state.seen).as_secs_f64();
        state.seen = now;
        state.credit =
            (state.credit + passed * f64::from(self.share.per_second)).min(f64::from(self.share.burst));
        if state.running >= self.share.at_once || state.credit < 1.0 {
            return None;
        }
        state.credit -= 1.0;
        state.running += 1;
        drop(state);
        Some(Running(Some(account)))
    }

    fn account(&self, user: &str, now: Instant) -> Arc<Mutex<Account>> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = users.get(user) {
            return Arc::clone(known);
        }
        users.retain(|_, account| {
            let state = account.lock().unwrap_or_else(PoisonError::into_inner);
            state.running > 0 || now.saturating_duration_since(state.seen) < SILENT
        });
        let fresh = Account { running: 0, credit: f64::from(self.share.burst), seen: now };
        Arc::clone(users.entry(user.to_owned()).or_insert_with(|| Arc::new(Mutex::new(fresh))))
    }
}

impl Running {
    /// A request that nobody counts.
    pub(crate) fn uncounted() -> Self {
        Self(None)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(account) = &self.0 {
            account.lock().unwrap_or_else(PoisonError::into_inner).running -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_uses_up_only_its_own_share() {
        let fairness = Fairness::new(Share { at_once: 2, per_second: 10, burst: 3 });
        let start = Instant::now();
        let first = fairness.begin("a", start).unwrap();
        let second = fairness.begin("a", start).unwrap();
        assert!(fairness.begin("a", start).is_none(), "a third at once");
        assert!(fairness.begin("b", start).is_some());
        drop(first);
        drop(second);
        drop(fairness.begin("a", start).unwrap());
        assert!(fairness.begin("a", start).is_none(), "a fourth without a pause");
        drop(fairness.begin("a", start + Duration::from_millis(150)).unwrap());
        assert!(fairness.begin("a", start + Duration::from_millis(160)).is_none());
        assert!(fairness.begin("a", start + Duration::from_mins(1)).is_some());
    }
}
