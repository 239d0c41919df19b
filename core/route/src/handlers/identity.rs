//! Flows between clusters keep their source address.
//!
//! KERNEL: the first NAT binding of a flow wins, and `accept` in one base chain does not end a later one. So the
//! source is bound to itself before the network plug-in or kube-proxy can masquerade it.

use subm_plan::nft::{HookType, Rule, Side, Verdict, priority};
use subm_plan::{FlowRule, NodePlan};
use subm_types::Family;

use super::table::{chain, local, postrouting, remote};
use crate::{Feature, Handler, Situation};

pub(crate) const HANDLER: Handler = Handler {
    name: "identity",
    applies: |view| view.has(Feature::PacketFilter) && view.has(Feature::Nat),
    plan,
};

fn plan(now: &Situation<'_>) -> NodePlan {
    let mut rules = Vec::new();
    for family in Family::ALL {
        let own = Verdict::SnatToSelf(family);
        let out = [local(Side::Source, family), remote(Side::Destination, family)];
        rules.push(Rule::new(out, own.clone(), "our pods are seen as themselves"));
        let back = [remote(Side::Source, family), local(Side::Destination, family)];
        rules.push(Rule::new(back, own, "remote pods are seen as themselves"));
    }
    let mut plan = chain(now, "identity", postrouting(HookType::Nat, priority::IDENTITY), rules);
    for family in now.remote_families() {
        let (ours, theirs) = (now.local.of(family), now.remote.of(family));
        if !ours.is_empty() {
            plan.flows.insert(FlowRule { from: ours.clone(), to: theirs.clone() });
            plan.flows.insert(FlowRule { from: theirs, to: ours });
        }
    }
    plan
}
