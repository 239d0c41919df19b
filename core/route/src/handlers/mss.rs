//! TCP never sends segments that do not fit into the overlay or a cable.

use subm_plan::NodePlan;
use subm_plan::nft::{HookType, Match, Rule, Verdict, priority};

use super::table::{carriers, chain, postrouting};
use crate::{Feature, Handler, Situation};

pub(crate) const HANDLER: Handler = Handler {
    name: "mss",
    applies: |view| view.has(Feature::PacketFilter) && view.has(Feature::MssClamp),
    plan,
};

fn plan(now: &Situation<'_>) -> NodePlan {
    // Each end's offer is cut where it leaves: forwarded packets and those of the node both pass here.
    // Every packet passes, few are SYNs.
    let rule =
        Rule::new([Match::TcpSyn, Match::OifIn(carriers())], Verdict::ClampMss, "segments fit the tunnel");
    chain(now, "mss", postrouting(HookType::Filter, priority::MANGLE), vec![rule])
}
