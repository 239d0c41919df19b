//! What a daemon still waits for before it calls itself ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The list of what is still waited for; ready when it is empty.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, usize>>>);

/// As long as it lives, the daemon is not ready.
#[derive(Debug)]
#[must_use = "dropping it says that what it waits for has happened"]
pub struct Starting {
    of: Readiness,
    what: &'static str,
}

impl Readiness {
    /// Says that the daemon is not ready before something has happened, such as `initial list of Endpoints`.
    pub fn wait_for(&self, what: &'static str) -> Starting {
        *self.lock().entry(what).or_default() += 1;
        Starting { of: self.clone(), what }
    }

    /// What is still waited for.
    pub fn pending(&self) -> Vec<&'static str> {
        self.lock().keys().copied().collect()
    }

    /// Tells whether nothing is waited for.
    pub fn is_ready(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let mut waiting = self.of.lock();
        if let Some(count) = waiting.get_mut(self.what) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(self.what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_the_last_guard_is_gone() {
        let readiness = Readiness::default();
        let (one, two) = (readiness.wait_for("Endpoints"), readiness.wait_for("Endpoints"));
        let facts = readiness.wait_for("facts");
        drop(facts);
        drop(one);
        assert_eq!(readiness.pending(), ["Endpoints"]);
        drop(two);
        assert!(readiness.is_ready());
    }
}
