//! How soon a container that ended is started again.

use std::time::Duration;

/// The first pause, the longest, and how long a container must live to begin with the first again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first end; it doubles with each end that comes soon.
    pub first: Duration,
    /// No pause is longer.
    pub longest: Duration,
    /// Who lived so long begins anew.
    pub settled: Duration,
}

impl Backoff {
    /// The pause after a container that lived this long, where the pause before was this.
    pub(crate) fn after(&self, lived: Duration, before: Option<Duration>) -> Duration {
        match before {
            Some(before) if lived < self.settled => (before * 2).min(self.longest),
            _ => self.first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_until_something_lives() {
        let second = Duration::from_secs(1);
        let backoff = Backoff { first: second, longest: 3 * second, settled: 10 * second };
        assert_eq!(backoff.after(second, None), second);
        assert_eq!(backoff.after(second, Some(second)), 2 * second);
        assert_eq!(backoff.after(second, Some(2 * second)), 3 * second);
        assert_eq!(backoff.after(60 * second, Some(3 * second)), second);
    }
}
