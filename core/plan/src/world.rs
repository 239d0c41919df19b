//! The port to whatever a plan is applied to.

use crate::{HostFacts, NodePlan, NodeState, Scope, Step};

/// A step that could not be taken; the others were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFailure {
    /// The step, as it prints.
    pub step: String,
    /// Why not, with the kernel's own words.
    pub reason: String,
}

/// What became of the steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// How many were taken.
    pub done: usize,
    /// Those that could not be.
    pub failures: Vec<StepFailure>,
}

/// Something that can be observed and changed in the plan's own nouns.
pub trait World {
    /// Why it could not be observed.
    type Error: std::error::Error;

    /// Reads what planners must know of the host.
    fn facts(&mut self) -> Result<HostFacts, Self::Error>;

    /// Tells what the scope's owner has there, the kernel parameters that the plan names, and the flows that
    /// break the plan's flow rules.
    fn observe(&mut self, scope: &Scope, plan: &NodePlan) -> Result<NodeState, Self::Error>;

    /// Takes the steps in order, going on past those that fail, and those that failed once more at the end: some wait
    /// for what goes last.
    fn apply(&mut self, scope: &Scope, steps: &[Step]) -> Applied;
}
