//! What a person should know, as Kubernetes conditions.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use subm_types::Problem;
use tokio::sync::watch;
use tracing::warn;

/// A condition before it has a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The type.
    pub(crate) kind: &'static str,
    /// Whether it holds.
    pub(crate) holds: Holds,
    /// A CamelCase word.
    pub(crate) reason: String,
    /// A sentence.
    pub(crate) message: String,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

impl Holds {
    /// The word in the object.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl Finding {
    /// A condition that holds.
    pub(crate) fn holds(kind: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self { kind, holds: Holds::True, reason: reason.to_owned(), message: message.into() }
    }

    /// A condition that does not hold.
    pub(crate) fn fails(kind: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self { holds: Holds::False, ..Self::holds(kind, reason, message) }
    }

    /// A condition of which nothing is known.
    pub(crate) fn unknown(kind: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self { holds: Holds::Unknown, ..Self::holds(kind, reason, message) }
    }

    /// A condition that holds if none of the problems has one of these reasons.
    pub(crate) fn without(kind: &'static str, problems: &[Problem], reasons: Reasons<'_>) -> Self {
        let matching: Vec<&Problem> =
            problems.iter().filter(|problem| reasons.contain(problem.reason)).collect();
        match matching.first() {
            None => Self::holds(kind, "AsExpected", ""),
            Some(first) => Self::fails(kind, first.reason, said(&matching)),
        }
    }
}

/// Reasons of problems.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reasons<'a> {
    /// These.
    Of(&'a [&'static str]),
    /// All others.
    NotOf(&'a [&'static str]),
}

impl Reasons<'_> {
    fn contain(self, reason: &str) -> bool {
        match self {
            Self::Of(list) => list.contains(&reason),
            Self::NotOf(list) => !list.contains(&reason),
        }
    }
}

/// As many problems are written out, so that the object stays one that is stored and read.
pub(crate) const SHOWN: usize = 20;

fn said(problems: &[&Problem]) -> String {
    let mut lines: Vec<String> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
    if problems.len() > SHOWN {
        lines.push(format!("and {} more", problems.len() - SHOWN));
    }
    lines.join("\n")
}

/// What was found out about our surroundings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// Findings by their type.
    pub(crate) findings: BTreeMap<&'static str, Finding>,
    /// What keeps hub and home from being the same.
    pub(crate) problems: Vec<Problem>,
}

/// Where tasks leave what they find out: no plan depends on it, so it passes by the view and delays no plan.
#[derive(Debug, Clone)]
pub(crate) struct Noticeboard(Arc<watch::Sender<Surroundings>>);

impl Noticeboard {
    pub(crate) fn new() -> (Self, watch::Receiver<Surroundings>) {
        let (sender, receiver) = watch::channel(Surroundings::default());
        (Self(Arc::new(sender)), receiver)
    }

    /// Replaces what was found out of the same type.
    pub(crate) fn post(&self, finding: Finding) {
        self.0.send_if_modified(|known| {
            let news = known.findings.get(finding.kind) != Some(&finding);
            known.findings.insert(finding.kind, finding);
            news
        });
    }

    /// Replaces what keeps hub and home from being the same, and logs what is new.
    pub(crate) fn post_problems(&self, problems: Vec<Problem>) {
        self.0.send_if_modified(|known| {
            for problem in problems.iter().filter(|problem| !known.problems.contains(problem)) {
                warn!(reason = problem.reason, %problem, "cannot be exchanged with the hub");
            }
            let news = known.problems != problems;
            known.problems = problems;
            news
        });
    }
}

/// Remembers since when each condition is as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conditions(BTreeMap<&'static str, Condition>);

impl Conditions {
    /// Remembers what was said before this process began, where nothing was said since.
    pub(crate) fn seed(&mut self, before: &[Condition], findings: &[Finding]) {
        for condition in before {
            if let Some(finding) = findings.iter().find(|finding| finding.kind == condition.type_) {
                self.0.entry(finding.kind).or_insert_with(|| condition.clone());
            }
        }
    }

    /// Gives the findings their times.
    pub(crate) fn update(&mut self, findings: Vec<Finding>, now: &Time) -> Vec<Condition> {
        let mut fresh = BTreeMap::new();
        for Finding { kind, holds, reason, message } in findings {
            let status = holds.as_str().to_owned();
            let before = self.0.get(kind).filter(|before| before.status == status);
            let last_transition_time =
                before.map_or_else(|| now.clone(), |before| before.last_transition_time.clone());
            let type_ = kind.to_owned();
            let condition =
                Condition { last_transition_time, message, observed_generation: None, reason, status, type_ };
            fresh.insert(kind, condition);
        }
        self.0 = fresh;
        self.0.values().cloned().collect()
    }
}
