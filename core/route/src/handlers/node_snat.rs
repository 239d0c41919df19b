//! Processes of the node itself speak to remote pods from an address that remote clusters can answer.

use subm_plan::NodePlan;
use subm_plan::nft::{HookType, Match, Rule, Side, Verdict, priority};

use super::table::{carriers, chain, not_local, postrouting, remote};
use crate::{Feature, Handler, Situation};

pub(crate) const HANDLER: Handler = Handler {
    name: "node-snat",
    applies: |view| view.has(Feature::PacketFilter) && view.has(Feature::Nat),
    plan,
};

fn plan(now: &Situation<'_>) -> NodePlan {
    let rule = |(family, cni): (_, &crate::Cni)| {
        let matches =
            [not_local(Side::Source, family), remote(Side::Destination, family), Match::OifIn(carriers())];
        Rule::new(matches, Verdict::Snat(cni.address), "the node speaks as its CNI interface")
    };
    let rules = now.cni.iter().map(rule).collect();
    chain(now, "node-snat", postrouting(HookType::Nat, priority::NODE_SNAT), rules)
}
