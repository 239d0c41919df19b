//! A remote gateway whose address lies inside a remote network: the cable's own packets must not enter the cable.

use ipnet::IpNet;
use subm_plan::numbers::RULE_OUTSIDE;
use subm_plan::{NodePlan, Rule, RuleSelector, TableId};
use subm_types::{Family, IfName};

use crate::{Handler, Role, Situation};

pub(crate) const HANDLER: Handler = Handler { name: "outside", applies: |_| true, plan };

fn plan(now: &Situation<'_>) -> NodePlan {
    let mut plan = NodePlan::default();
    if now.role != Role::Gateway {
        return plan;
    }
    for (address, _) in now.remotes.gateways_inside() {
        // Only packets of this node: pods reach the address through the cable like any other of its network.
        let selector = RuleSelector {
            to: Some(IpNet::from(address)),
            iif: Some(IfName::constant("lo")),
            ..RuleSelector::default()
        };
        let family = Family::of(address);
        plan.rules.insert(Rule { family, priority: RULE_OUTSIDE, selector, table: TableId::MAIN });
    }
    plan
}
