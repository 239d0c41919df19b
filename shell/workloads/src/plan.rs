//! From what is there to the steps that are missing.

use jiff::Timestamp;

use crate::step::Step;
use crate::view::View;
use crate::{accounts, daemons, deployments, orphans, replicas, scheduler, slices};

/// What is to be done now, and when to look again though nothing happened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The steps, in their order.
    pub steps: Vec<Step>,
    /// When time alone changes the plan.
    pub again: Option<Timestamp>,
}

impl Plan {
    pub(crate) fn look_again(&mut self, at: Timestamp) {
        self.again = Some(self.again.map_or(at, |again| again.min(at)));
    }
}

/// Plans all that the controllers do; nothing as long as the view is not complete.
pub fn plan(view: &View, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if !view.is_complete() {
        return plan;
    }
    accounts::plan(view, &mut plan);
    orphans::plan(view, &mut plan);
    deployments::plan(view, now, &mut plan);
    replicas::plan(view, now, &mut plan);
    daemons::plan(view, now, &mut plan);
    scheduler::plan(view, now, &mut plan);
    slices::plan(view, &mut plan);
    plan
}
