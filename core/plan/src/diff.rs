//! From what is there to what is wanted.

use crate::{NodePlan, NodeState, Step};

/// The steps from a state to a plan: adds before deletes, links before what stands on them.
pub fn diff(state: &NodeState, plan: &NodePlan) -> Vec<Step> {
    let _ = (state, plan);
    Vec::new()
}
