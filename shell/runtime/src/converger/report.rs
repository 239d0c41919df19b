//! What came of a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use subm_plan::StepFailure;
use subm_types::IfName;

use super::ObjectKind;

/// Why the world could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What was tried: `open the world`, `read the facts`, `observe`.
    pub operation: &'static str,
    /// Why it failed, in the words of whoever refused.
    pub reason: String,
}

/// What came of the plans so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The plan that this speaks of; 0 before the first.
    pub generation: u64,
    /// Whether the world was last found to be what that plan says.
    pub converged: bool,
    /// The last steps that were needed, oldest first, those that failed included.
    pub steps: Vec<String>,
    /// The steps that could not be taken when last tried; what the kernel cannot do shows here.
    pub failures: Vec<StepFailure>,
    /// Steps that were needed though the plan had not changed: what somebody else undid.
    pub drift: BTreeMap<ObjectKind, u64>,
    /// Links that stand under our names without our alias; they are left alone.
    pub foreign_links: BTreeSet<IfName>,
    /// Why the world could not be looked at, if so.
    pub trouble: Option<Trouble>,
    /// How many steps were taken in all.
    pub taken: u64,
    /// How often the world was looked at.
    pub looks: u64,
    /// How long the last look took, with its steps.
    pub duration: Duration,
}

impl Report {
    /// All drift that was repaired.
    pub fn drift_total(&self) -> u64 {
        self.drift.values().sum()
    }

    /// Tells whether two reports say the same of the world; how often and how long it was looked at aside.
    pub(super) fn says_as(&self, other: &Self) -> bool {
        let aside = |report: &Self| Self { looks: 0, duration: Duration::ZERO, ..report.clone() };
        aside(self) == aside(other)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.operation, self.reason)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.converged { "converged" } else { "not converged" };
        writeln!(
            f,
            "# plan {}: {state}, {} steps taken, {} looks, last {:?}",
            self.generation, self.taken, self.looks, self.duration
        )?;
        for (kind, count) in &self.drift {
            writeln!(f, "# drift {kind} {count}")?;
        }
        for link in &self.foreign_links {
            writeln!(f, "# link {link} is not ours")?;
        }
        if let Some(trouble) = &self.trouble {
            writeln!(f, "# {trouble}")?;
        }
        for failure in &self.failures {
            writeln!(f, "# failed: {}: {}", failure.step, failure.reason)?;
        }
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}
