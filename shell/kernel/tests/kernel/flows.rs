//! Flows that began while a rule of ours was missing get their own source address back.

use std::collections::{BTreeMap, BTreeSet};

use subm_kernel::Kernel;
use subm_plan::nft::{
    AddressTest, At, Chain, ChainName, Hook, HookType, Match, Policy, Rule, Side, Table, Verdict, priority,
};
use subm_plan::{FlowRule, NodePlan, Step};
use subm_types::Family;

use crate::ground::{converge, foreign, in_fresh_namespace, load, net, networks, observe, scope};
use crate::places::{CLIENT, CLIENT6, ROUTER, ROUTER6, Wire};

fn plan() -> NodePlan {
    let to = Match::Address(Side::Destination, AddressTest::Net(net("10.2.0.0/16")));
    let keep = Rule::new([to], Verdict::SnatToSelf(Family::V4), "keep the source");
    let hook = Hook {
        kind: HookType::Nat,
        at: At::Postrouting,
        priority: priority::IDENTITY,
        policy: Policy::Accept,
    };
    let chains =
        BTreeMap::from([(ChainName("source".to_owned()), Chain { hook: Some(hook), rules: vec![keep] })]);
    NodePlan {
        table: Some(Table { chains, ..Table::new(scope().table) }),
        flows: BTreeSet::from([FlowRule { from: networks("10.1.0.0/16"), to: networks("10.2.0.0/16") }]),
        ..NodePlan::default()
    }
}

#[test]
fn running_flow_shows_its_own_source_again() {
    in_fresh_namespace(|| {
        let wire = Wire::new();
        let mut kernel = Kernel::open().unwrap();
        load(
            "table ip cni { chain post { type nat hook postrouting priority srcnat; ip daddr 10.2.0.0/16 masquerade; } }",
        );
        converge(&mut kernel, &plan());
        assert_eq!(wire.seen_source(5001).as_deref(), Some(CLIENT));

        foreign("nft delete table inet submariner-test");
        assert_eq!(wire.seen_source(5002).as_deref(), Some(ROUTER));
        let steps = converge(&mut kernel, &plan());
        assert!(matches!(steps.as_slice(), [Step::SetTable(_), Step::ForgetFlow(_)]), "{steps:#?}");

        assert_eq!(wire.seen_source(5002).as_deref(), Some(CLIENT));
        assert_eq!(converge(&mut kernel, &plan()), []);
    });
}

#[test]
fn running_flow_over_ipv6_shows_its_own_source_again() {
    in_fresh_namespace(|| {
        let wire = Wire::new();
        let mut kernel = Kernel::open().unwrap();
        load("table ip6 cni { chain post { type nat hook postrouting priority srcnat; masquerade; } }");
        assert_eq!(wire.seen_source6(5002).as_deref(), Some(ROUTER6));
        let to = Match::Address(Side::Destination, AddressTest::Net(net("fd02::/64")));
        let keep = Rule::new([to], Verdict::SnatToSelf(Family::V6), "keep the source");
        let mut plan = plan();
        let chains = &mut plan.table.as_mut().unwrap().chains;
        for chain in chains.values_mut() {
            chain.rules.push(keep.clone());
        }
        plan.flows.insert(FlowRule { from: networks("fd01::/64"), to: networks("fd02::/64") });
        let steps = converge(&mut kernel, &plan);
        assert!(matches!(steps.as_slice(), [Step::SetTable(_), Step::ForgetFlow(_)]), "{steps:#?}");
        assert_eq!(wire.seen_source6(5002).as_deref(), Some(CLIENT6));
        assert_eq!(converge(&mut kernel, &plan), []);
    });
}

#[test]
fn flow_that_began_before_the_table_stood_is_found_after_it_stands() {
    in_fresh_namespace(|| {
        let wire = Wire::new();
        let mut kernel = Kernel::open().unwrap();
        load(
            "table ip cni { chain post { type nat hook postrouting priority srcnat; ip daddr 10.2.0.0/16 masquerade; } }",
        );
        let steps = kernel.preview(&scope(), &plan()).unwrap();
        // Between the look and the steps.
        assert_eq!(wire.seen_source(5001).as_deref(), Some(ROUTER));
        assert_eq!(subm_plan::World::apply(&mut kernel, &scope(), &steps).failures, []);
        let steps = converge(&mut kernel, &plan());
        assert!(matches!(steps.as_slice(), [Step::ForgetFlow(_)]), "{steps:#?}");
        assert_eq!(wire.seen_source(5001).as_deref(), Some(CLIENT));
    });
}

#[test]
fn flows_of_others_keep_their_translation() {
    in_fresh_namespace(|| {
        let wire = Wire::new();
        let mut kernel = Kernel::open().unwrap();
        load("table ip cni { chain post { type nat hook postrouting priority srcnat; masquerade; } }");
        assert_eq!(wire.seen_source(5001).as_deref(), Some(ROUTER));
        let mut elsewhere = plan();
        elsewhere.flows =
            BTreeSet::from([FlowRule { from: networks("10.9.0.0/16"), to: networks("10.2.0.0/16") }]);
        assert_eq!(observe(&mut kernel, &elsewhere).wrong_flows, BTreeSet::new());
        assert_eq!(observe(&mut kernel, &plan()).wrong_flows.len(), 1);
    });
}
