//! Who of several candidates holds a lease: the decisions, without the API that stores it and without a clock.
//!
//! The API arbitrates by refusing writes to a version that is not the present one. Nobody compares clocks of
//! different machines: a candidate counts from when it saw the record change, the holder from before it asked
//! for the renewal, and the holder gives up earlier than any candidate may begin.

use std::time::Duration;

use crate::Moment;

/// The durations of an election.
///
/// INVARIANT: `renew_deadline` < `duration`, or two may hold at once; [`LeaseTiming::checked`] sees to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTiming {
    /// How long a record that does not change keeps others away.
    pub duration: Duration,
    /// How long the holder goes on without being able to renew.
    pub renew_deadline: Duration,
    /// The time between attempts.
    pub retry: Duration,
}

/// Durations that do not keep two candidates apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "lease duration {duration:?} must be longer than the renew deadline {renew_deadline:?}, and that longer than the retry period {retry:?}, which must not be zero"
)]
pub struct InvalidTiming {
    duration: Duration,
    renew_deadline: Duration,
    retry: Duration,
}

impl LeaseTiming {
    /// COMPAT: what Submariner's gateways use since 0.16.
    pub const DEFAULT: Self = Self {
        duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry: Duration::from_secs(2),
    };

    /// The durations, if they keep two candidates apart.
    pub fn checked(self) -> Result<Self, InvalidTiming> {
        let Self { duration, renew_deadline, retry } = self;
        if duration > renew_deadline && renew_deadline > retry && !retry.is_zero() {
            Ok(self)
        } else {
            Err(InvalidTiming { duration, renew_deadline, retry })
        }
    }
}

/// The lease as the API has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Who holds it; `None` or empty when it was released.
    pub holder: Option<String>,
    /// Changes with every write (`metadata.resourceVersion`).
    pub version: String,
    /// How often the holder changed.
    pub transitions: i32,
    /// How long the holder asked others to wait.
    pub duration: Option<Duration>,
}

/// What to do after a look at the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Write ourselves as the new holder, with this count of transitions, over the version that was read.
    Acquire {
        /// The new count.
        transitions: i32,
    },
    /// Write a new renew time over the version that was read.
    Renew,
    /// Somebody else holds it.
    Wait,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    None,
    Reading { since: Moment },
    Writing { since: Moment },
}

/// One candidate's part in an election.
#[derive(Debug)]
pub struct Election {
    identity: String,
    timing: LeaseTiming,
    /// The record as last seen, and when it was first seen so.
    seen: Option<(LeaseRecord, Moment)>,
    /// From before the last successful write was decided.
    renewed: Option<Moment>,
    attempt: Attempt,
    next: Moment,
}

impl Election {
    /// A candidate that looks at once.
    pub const fn new(identity: String, timing: LeaseTiming, now: Moment) -> Self {
        Self { identity, timing, seen: None, renewed: None, attempt: Attempt::None, next: now }
    }

    /// Who we are.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The durations.
    pub const fn timing(&self) -> LeaseTiming {
        self.timing
    }

    /// Tells whether we hold the lease at this moment.
    pub fn holds(&self, now: Moment) -> bool {
        self.renewed.is_some_and(|renewed| now < renewed + self.timing.renew_deadline)
    }

    /// Until when we hold it if nothing more is heard.
    pub fn held_until(&self) -> Option<Moment> {
        self.renewed.map(|renewed| renewed + self.timing.renew_deadline)
    }

    /// Who held it when we last looked.
    pub fn seen_holder(&self) -> Option<&str> {
        self.seen
            .as_ref()
            .and_then(|(record, _)| record.holder.as_deref())
            .filter(|holder| !holder.is_empty())
    }

    /// When to look or to check [`Self::holds`] next.
    pub fn poll_timeout(&self) -> Moment {
        self.held_until().map_or(self.next, |end| end.min(self.next))
    }

    /// Tells whether to read the lease now; then exactly one of the `handle_` functions answers.
    pub fn begin_attempt(&mut self, now: Moment) -> bool {
        if !self.holds(now) {
            self.renewed = None;
        }
        let due = now >= self.next;
        if due {
            self.attempt = Attempt::Reading { since: now };
            self.next = now + self.timing.retry;
        }
        due
    }

    /// Takes what was read; `None` when there is no lease yet.
    pub fn handle_read(&mut self, now: Moment, record: Option<LeaseRecord>) -> Decision {
        let Attempt::Reading { since } = self.attempt else { return Decision::Wait };
        let Some(record) = record else {
            self.seen = None;
            self.attempt = Attempt::Writing { since };
            return Decision::Acquire { transitions: 0 };
        };
        let unchanged = self.seen.as_ref().filter(|(seen, _)| *seen == record).map(|(_, at)| *at);
        let seen_at = unchanged.unwrap_or(now);
        let decision = self.decide(now, &record, seen_at);
        self.seen = Some((record, seen_at));
        self.attempt = if decision == Decision::Wait { Attempt::None } else { Attempt::Writing { since } };
        decision
    }

    fn decide(&mut self, now: Moment, record: &LeaseRecord, seen_at: Moment) -> Decision {
        let holder = record.holder.as_deref().unwrap_or_default();
        if holder == self.identity {
            return Decision::Renew;
        }
        self.renewed = None;
        // A holder with a longer lease than ours must not be overtaken.
        let patience = record.duration.unwrap_or_default().max(self.timing.duration);
        if holder.is_empty() || now >= seen_at + patience {
            Decision::Acquire { transitions: record.transitions.saturating_add(1) }
        } else {
            Decision::Wait
        }
    }

    /// The write was accepted: we hold the lease, counted from before we asked.
    pub fn handle_written(&mut self, record: LeaseRecord, now: Moment) {
        if let Attempt::Writing { since } = self.attempt {
            self.renewed = Some(since);
            self.seen = Some((record, now));
        }
        self.attempt = Attempt::None;
    }

    /// The attempt failed, or another one wrote first.
    pub fn handle_failed(&mut self) {
        self.attempt = Attempt::None;
    }

    /// Gives the lease up at once; the record to write has no holder.
    pub fn release(&mut self) -> Option<LeaseRecord> {
        let ours = self.renewed.take().is_some();
        self.attempt = Attempt::None;
        let (record, _) = self.seen.as_ref().filter(|_| ours)?;
        Some(LeaseRecord { holder: None, ..record.clone() })
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
