//! What came of checks, and how it reads.

use serde::{Deserialize, Serialize};

/// As many characters of what was seen are shown in a table.
const SHOWN: usize = 160;

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    /// What was seen, why it failed, or why it could not be run.
    pub(crate) seen: String,
    pub(crate) took_ms: u64,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// A check cannot be run here, for this reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Skip(pub(super) String);

impl Outcome {
    /// One line of the table.
    pub(crate) fn line(&self, coloured: bool) -> String {
        let (mark, colour) = match self.verdict {
            Verdict::Passed => ("✓", "32"),
            Verdict::Failed => ("✗", "31"),
            Verdict::Skipped => ("-", "33"),
        };
        let mark = if coloured { format!("\x1b[{colour}m{mark}\x1b[0m") } else { mark.to_owned() };
        let mut lines = self.seen.lines();
        let first = lines.next().unwrap_or_default();
        // A failure is told in full.
        let (seen, cut) = match first.char_indices().nth(SHOWN) {
            Some((end, _)) if self.verdict == Verdict::Passed => (&first[..end], "…"),
            _ => (first, ""),
        };
        let mut line = format!("{mark} {:<44} {seen}{cut}", self.name);
        lines.for_each(|more| line.extend(["\n    ", more]));
        line
    }
}

/// What came of all checks.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(Vec<Outcome>);

impl Verdicts {
    pub(crate) fn add(&mut self, outcome: Outcome) {
        self.0.push(outcome);
    }

    pub(crate) fn outcomes(&self) -> &[Outcome] {
        &self.0
    }

    /// Whether there were checks and none failed.
    pub(crate) fn all_passed(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|outcome| outcome.verdict != Verdict::Failed)
    }

    /// The last line.
    pub(crate) fn summary(&self) -> String {
        let count = |verdict: Verdict| self.0.iter().filter(|outcome| outcome.verdict == verdict).count();
        let (passed, skipped) = (count(Verdict::Passed), count(Verdict::Skipped));
        let line = format!("demo: {passed} of {} checks passed", self.0.len() - skipped);
        let reason = self.0.iter().find(|outcome| outcome.verdict == Verdict::Skipped);
        reason.map_or(line.clone(), |outcome| format!("{line}, {skipped} skipped: {}", outcome.seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(verdicts: &[Verdict]) -> Verdicts {
        let outcome = |&verdict: &Verdict| Outcome {
            name: "a".to_owned(),
            verdict,
            seen: "no such thing here".to_owned(),
            took_ms: 1,
        };
        Verdicts(verdicts.iter().map(outcome).collect())
    }

    #[test]
    fn skipped_checks_count_neither_as_passed_nor_as_asked() {
        let some = verdicts(&[Verdict::Passed, Verdict::Skipped, Verdict::Passed]);
        assert_eq!(some.summary(), "demo: 2 of 2 checks passed, 1 skipped: no such thing here");
        assert!(some.all_passed());
    }

    #[test]
    fn one_failure_or_no_check_at_all_fails_the_demo() {
        let failed = verdicts(&[Verdict::Passed, Verdict::Failed]);
        assert_eq!(failed.summary(), "demo: 1 of 2 checks passed");
        assert!(!failed.all_passed());
        assert!(!verdicts(&[]).all_passed());
    }
}
