//! Beneath every other way to a remote cluster: none. No crash, failover or order of events sends traffic past it.

use subm_plan::numbers::{METRIC_UNREACHABLE, RULE_REMOTE, TABLE_REMOTE};
use subm_plan::{NodePlan, Route, RouteKey, Rule, RuleSelector};

use subm_types::Family;

use crate::{Handler, Situation};

pub(crate) const HANDLER: Handler = Handler { name: "unreachable", applies: |_| true, plan };

fn plan(now: &Situation<'_>) -> NodePlan {
    let mut plan = NodePlan::default();
    for family in now.remote_families() {
        let selector = RuleSelector::default();
        plan.rules.insert(Rule { family, priority: RULE_REMOTE, selector, table: TABLE_REMOTE });
    }
    let families: Vec<Family> = now.remote_families().collect();
    for dst in now.remotes.closed.iter().filter(|dst| families.contains(&Family::of_net(dst))) {
        let key = RouteKey { table: TABLE_REMOTE, dst: *dst, metric: METRIC_UNREACHABLE };
        plan.routes.insert(key, Route::UNREACHABLE);
    }
    plan
}
