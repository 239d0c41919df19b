//! The packet-filter table that several handlers fill: its name, its sets, its way of adding a chain.

use subm_plan::nft::{
    AddressTest, At, Chain, ChainName, Hook, HookType, Match, Policy, Rule, Set, SetName, Side, Table,
};
use subm_plan::{NodePlan, Scope};
use subm_types::Family;

use crate::Situation;

/// The set of links that may carry cross-cluster traffic.
pub(super) fn carriers() -> SetName {
    SetName("carriers".to_owned())
}

/// A packet from or to a remote cluster.
pub(super) fn remote(side: Side, family: Family) -> Match {
    Match::Address(side, AddressTest::In(family, name("remote", family)))
}

/// A packet from or to a pod or service of this cluster.
pub(super) fn local(side: Side, family: Family) -> Match {
    Match::Address(side, AddressTest::In(family, name("local", family)))
}

/// A packet that is not from or to a pod or service of this cluster.
pub(super) fn not_local(side: Side, family: Family) -> Match {
    Match::Address(side, AddressTest::NotIn(family, name("local", family)))
}

/// A hook whose chain lets pass what no rule decides.
pub(super) const fn postrouting(kind: HookType, priority: i32) -> Hook {
    Hook { kind, at: At::Postrouting, priority, policy: Policy::Accept }
}

/// A plan of one base chain in our table, with all the sets that rules may name.
pub(super) fn chain(now: &Situation<'_>, label: &str, hook: Hook, rules: Vec<Rule>) -> NodePlan {
    let mut table = Table::new(Scope::route_agent().table);
    for family in Family::ALL {
        table.sets.insert(name("local", family), Set::networks(family, &now.local));
        table.sets.insert(name("remote", family), Set::networks(family, &now.remote));
    }
    table.sets.insert(carriers(), Set::interfaces(Situation::carriers()));
    table.chains.insert(ChainName(label.to_owned()), Chain { hook: Some(hook), rules });
    NodePlan { table: Some(table), ..NodePlan::default() }
}

fn name(kind: &str, family: Family) -> SetName {
    SetName(format!("{kind}-{family}"))
}
