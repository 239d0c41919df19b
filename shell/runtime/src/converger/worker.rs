//! What the thread does.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use subm_plan::{HostFacts, NodeState, Step, StepFailure, World, diff};
use subm_types::IfName;
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use super::inbox::{Cause, Inbox, Rest, Wanted};
use super::{Mode, ObjectKind, Report, Settings, Trouble, Waker};
use crate::task::words;

/// After a look, what the kernel says is gathered for this long.
const GATHER: Duration = Duration::from_millis(2);
/// Looks that needed steps, in a row, before the next one is put off: consequences of consequences settle sooner.
const UNDISTURBED: u32 = 4;
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LAST_DELAY: Duration = Duration::from_secs(5);
/// However long a pause is, the kernel is listened to again after this: what cannot be done must not keep the rest
/// from being put back.
const DEAF: Duration = Duration::from_millis(250);
/// As many steps are remembered for people to read.
const STEPS_SHOWN: usize = 256;

pub(super) struct Worker {
    settings: Settings,
    inbox: Arc<Inbox>,
    facts: watch::Sender<Option<HostFacts>>,
    publish: watch::Sender<Report>,
    report: Report,
    /// The plan that the world was once found to fulfil: steps after that are drift.
    settled: u64,
    failed: u32,
    restless: u32,
}

/// How a look ended.
enum Look {
    Quiet,
    Stepped,
    Failed,
}

impl Worker {
    pub(super) fn new(
        settings: Settings,
        inbox: Arc<Inbox>,
        facts: watch::Sender<Option<HostFacts>>,
        publish: watch::Sender<Report>,
    ) -> Self {
        let report = Report::default();
        Self { settings, inbox, facts, publish, report, settled: 0, failed: 0, restless: 0 }
    }

    pub(super) fn run<W, E>(mut self, waker: &Waker, mut build: impl FnMut(Waker) -> Result<W, E>)
    where
        W: World,
        E: std::error::Error,
    {
        while !self.inbox.is_stopped() {
            let caught = match build(waker.clone()) {
                Ok(world) => std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.keep(world))),
                Err(reason) => {
                    self.in_trouble("open the world", &reason);
                    self.publish();
                    self.failed += 1;
                    self.pause(delay(self.failed));
                    Ok(())
                }
            };
            if let Err(panic) = caught {
                error!(owner = %self.settings.scope.owner, error = words(&*panic), "converging panicked, starting anew");
                self.pause(LAST_DELAY);
            }
        }
    }

    /// Waits, whatever is told meanwhile, except the end.
    fn pause(&self, span: Duration) {
        let until = Instant::now() + span;
        let rest = Rest { until, deaf_until: until };
        while !matches!(self.inbox.wait(rest), Cause::Timer | Cause::Stop) {}
    }

    fn keep<W: World>(&mut self, mut world: W) {
        loop {
            let begin = Instant::now();
            let look = self.look(&mut world);
            self.report.looks += 1;
            self.report.duration = begin.elapsed();
            self.publish();
            let rest = self.rest(&look);
            match self.inbox.wait(rest) {
                Cause::NewPlan => (self.failed, self.restless) = (0, 0),
                Cause::Woken | Cause::Timer => {}
                Cause::Stop => return,
            }
        }
    }

    fn look<W: World>(&mut self, world: &mut W) -> Look {
        let facts = match world.facts() {
            Ok(facts) => Some(facts),
            Err(reason) => return self.in_trouble("read the facts", &reason),
        };
        self.facts.send_if_modified(|known| {
            let news = *known != facts;
            *known = facts;
            news
        });
        let Some(wanted) = self.inbox.wanted() else {
            self.report.trouble = None;
            return Look::Quiet;
        };
        let state = match world.observe(&self.settings.scope, &wanted.plan) {
            Ok(state) => state,
            Err(reason) => return self.in_trouble("observe", &reason),
        };
        self.found(&state);
        let steps = diff(&state, &wanted.plan);
        self.report.generation = wanted.generation;
        if steps.is_empty() {
            self.found_fulfilled(&wanted);
            return Look::Quiet;
        }
        match self.settings.mode {
            Mode::Apply => self.take(world, &wanted, &steps),
            Mode::DryRun => self.tell(&steps),
        }
    }

    /// Tells what a look shows beside the difference.
    fn found(&mut self, state: &NodeState) {
        if self.report.trouble.take().is_some() {
            info!(owner = %self.settings.scope.owner, "the kernel can be looked at again");
        }
        state.foreign_links.difference(&self.report.foreign_links).for_each(log_foreign);
        self.report.foreign_links.clone_from(&state.foreign_links);
    }

    fn found_fulfilled(&mut self, wanted: &Wanted) {
        debug!(generation = wanted.generation, "nothing to do");
        self.settled = wanted.generation;
        self.report.converged = true;
        self.report.failures.clear();
    }

    fn take<W: World>(&mut self, world: &mut W, wanted: &Wanted, steps: &[Step]) -> Look {
        let fresh = self.fresh(steps);
        if fresh.is_empty() {
            // Only what the kernel refused before is left to do.
            self.settled = wanted.generation;
        } else if self.settled == wanted.generation {
            for step in &fresh {
                *self.report.drift.entry(ObjectKind::of(step)).or_default() += 1;
            }
            warn!(steps = fresh.len(), "somebody else changed what is ours; putting it back");
        }
        self.remember(&fresh);
        let applied = world.apply(&self.settings.scope, steps);
        self.report.taken += u64::try_from(applied.done).unwrap_or(u64::MAX);
        log_failures(&applied.failures, &self.report.failures);
        log_taken(steps, &applied.failures);
        self.report.converged = false;
        let failed = !applied.failures.is_empty();
        self.report.failures = applied.failures;
        if failed { Look::Failed } else { Look::Stepped }
    }

    /// Those that did not fail the last time.
    fn fresh<'a>(&self, steps: &'a [Step]) -> Vec<&'a Step> {
        let failed = |step: &Step| {
            let text = step.to_string();
            self.report.failures.iter().any(|failure| failure.step == text)
        };
        if self.report.failures.is_empty() {
            return steps.iter().collect();
        }
        steps.iter().filter(|step| !failed(step)).collect()
    }

    fn tell(&mut self, steps: &[Step]) -> Look {
        let before = std::mem::take(&mut self.report.steps);
        self.remember(&steps.iter().collect::<Vec<_>>());
        if self.report.steps != before {
            for step in steps {
                info!(%step, "dry run: would take this step");
            }
        }
        self.report.converged = false;
        Look::Quiet
    }

    fn remember(&mut self, steps: &[&Step]) {
        let shown = &mut self.report.steps;
        shown.extend(steps.iter().map(ToString::to_string));
        let surplus = shown.len().saturating_sub(STEPS_SHOWN);
        shown.drain(..surplus);
    }

    fn in_trouble(&mut self, operation: &'static str, reason: &dyn std::error::Error) -> Look {
        let trouble = Trouble { operation, reason: chain(reason) };
        if self.report.trouble.as_ref() != Some(&trouble) {
            warn!(owner = %self.settings.scope.owner, error = %trouble, "cannot converge, trying again");
        }
        self.report.trouble = Some(trouble);
        self.report.converged = false;
        Look::Failed
    }

    fn publish(&self) {
        self.publish.send_if_modified(|published| {
            let news = !published.says_as(&self.report);
            published.clone_from(&self.report);
            news
        });
    }

    /// When to look next.
    fn rest(&mut self, look: &Look) -> Rest {
        let now = Instant::now();
        match look {
            Look::Quiet => {
                (self.failed, self.restless) = (0, 0);
                Rest { until: now + jitter(self.settings.resync), deaf_until: now + GATHER }
            }
            Look::Stepped => {
                self.failed = 0;
                self.restless += 1;
                // What was done is looked at once more; where that never ends, somebody works against us.
                let pause = self.restless.checked_sub(UNDISTURBED).map_or(GATHER, delay);
                Rest { until: now + pause, deaf_until: now + pause.min(DEAF) }
            }
            Look::Failed => {
                self.failed += 1;
                let pause = delay(self.failed);
                Rest { until: now + pause, deaf_until: now + pause.min(DEAF) }
            }
        }
    }
}

fn log_foreign(link: &IfName) {
    warn!(%link, "a link of this name is there and is not ours; it is left alone; rename or remove it");
}

/// A failure is logged once, however often the step is tried again.
fn log_failures(failures: &[StepFailure], before: &[StepFailure]) {
    for failure in failures.iter().filter(|failure| !before.contains(failure)) {
        warn!(step = %failure.step, error = %failure.reason, "step failed, trying again later");
    }
}

/// One line for each step taken: the log is the history of changes.
fn log_taken(steps: &[Step], failures: &[StepFailure]) {
    let failed: BTreeSet<&str> = failures.iter().map(|failure| failure.step.as_str()).collect();
    for step in steps.iter().map(ToString::to_string).filter(|step| !failed.contains(step.as_str())) {
        info!(%step, "step taken");
    }
}

/// From [`FIRST_DELAY`], doubled with each failure up to [`LAST_DELAY`].
fn delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    (FIRST_DELAY * (1 << doublings)).min(LAST_DELAY)
}

/// Up to a tenth longer, so that the nodes of a cluster do not all look at the same time.
fn jitter(period: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().hash_one(0_u8) % 1000).unwrap_or(0);
    period + period / 10 * random / 1000
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let words = source.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = source.source();
    }
    text
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
