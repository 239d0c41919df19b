//! What holds for every plan, whatever the facts.

#[path = "support/fixture.rs"]
mod fixture;

use std::collections::BTreeSet;

use fixture::{cidrs, endpoint, gateway, node, worker};
use proptest::prelude::*;
use subm_plan::numbers::{METRIC_UNREACHABLE, RULE_OUTSIDE, RULE_REMOTE, TABLE_REMOTE};
use subm_plan::{RouteTarget, Scope, SysctlKey, TableId};
use subm_route::overlay::assign;
use subm_route::{Node, NodeView, plan};
use subm_types::{CidrSet, Endpoint, Family, IfName};

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let one = (0_u8..12, 0_u8..3, 1_u8..6, 0_i64..20);
    proptest::collection::vec(one, 0..8).prop_map(|all| {
        let named = all.into_iter().map(|(name, net, host, created)| {
            node(&format!("n{name}"), &format!("172.{net}.0.{host}"), created)
        });
        let mut seen = BTreeSet::new();
        named.filter(|node| seen.insert(node.name.clone())).collect()
    })
}

fn endpoints() -> impl Strategy<Value = Vec<Endpoint>> {
    let one = (0_u8..5, 0_u8..8, 0_u8..6, 0_i64..9);
    proptest::collection::vec(one, 0..8).prop_map(|all| {
        let make = |(index, (cluster, net, host, created)): (usize, (u8, u8, u8, i64))| {
            let id = if cluster == 0 { "east".to_owned() } else { format!("c{cluster}") };
            let subnets = match host % 3 {
                0 => format!("10.{net}.0.0/16 10.{}.{host}.0/24", net + 20),
                1 => format!("10.{net}.0.0/16 fd0{net}::/32"),
                _ => format!("fd0{net}::/32"),
            };
            let address = format!("10.{}.0.{}", cluster + 2, index + 1);
            let mut end = endpoint(&id, &format!("n{host}"), &address, &subnets);
            end.created = created;
            end
        };
        all.into_iter().enumerate().map(make).collect()
    })
}

fn views() -> impl Strategy<Value = NodeView> {
    let base = prop_oneof![Just(worker()), Just(gateway())];
    let own = prop_oneof![Just("10.1.0.0/16"), Just("10.1.0.0/16 fdee::/48"), Just("fdee::/48")];
    (base, nodes(), endpoints(), proptest::option::of(0_u32..3), own).prop_map(
        |(base, more, endpoints, rp_filter, own)| {
            let mut view = base;
            view.cluster_cidrs = cidrs(own);
            if view.cluster_cidrs.of(Family::V4).is_empty() {
                view.service_cidrs = CidrSet::default();
            }
            view.nodes.extend(more);
            view.endpoints.extend(endpoints);
            view.facts.rp_filter_all = rp_filter;
            view
        },
    )
}

proptest! {
    #[test]
    fn the_order_of_inputs_does_not_matter(view in views(), turn in 0_usize..8) {
        let mut other = view.clone();
        other.nodes.reverse();
        let len = other.endpoints.len();
        other.endpoints.rotate_left(turn % len);
        prop_assert_eq!(plan(&view), plan(&other));
    }

    #[test]
    fn nothing_is_planned_outside_the_scope(view in views()) {
        let scope = Scope::route_agent();
        let node = plan(&view).value.node;
        let ours = |link: &IfName| scope.links.contains(link);
        prop_assert!(node.links.keys().all(ours));
        prop_assert!(node.addresses.iter().all(|(dev, _)| ours(dev)));
        prop_assert!(node.fdb.iter().all(|entry| ours(&entry.dev)));
        prop_assert!(node.neighbours.iter().all(|neighbour| ours(&neighbour.dev)));
        prop_assert!(node.routes.keys().all(|key| key.table == TABLE_REMOTE));
        let rule_is_ours = node.rules.iter().all(|rule| match rule.priority {
            RULE_REMOTE => rule.table == TABLE_REMOTE,
            RULE_OUTSIDE => rule.table == TableId::MAIN && rule.selector.to.is_some(),
            _ => false,
        });
        prop_assert!(rule_is_ours);
        prop_assert!(node.table.is_some_and(|table| table.name == scope.table));
        let loosened_where_strict = node.sysctls.iter().all(|(key, value)| {
            let SysctlKey::RpFilter(link) = key else { return true };
            *value == 2 && (ours(link) || view.facts.effective_rp_filter(link) == 1)
        });
        prop_assert!(loosened_where_strict);
    }

    #[test]
    fn every_remote_network_is_unreachable_unless_a_better_route_stands(view in views()) {
        let planned = plan(&view);
        let node = planned.value.node;
        let remote = planned.value.remotes.iter().flat_map(|endpoint| endpoint.subnets.iter().copied());
        for dst in remote {
            let beneath = node.routes.iter().any(|(key, route)| {
                let worst = key.metric == METRIC_UNREACHABLE && route.target == RouteTarget::Unreachable;
                key.dst == dst && worst
            });
            prop_assert!(beneath, "{}", dst);
        }
        let carried: BTreeSet<Family> = view.local_cidrs().iter().map(|net| Family::of_net(&net)).collect();
        prop_assert!(node.addresses.iter().all(|(_, net)| carried.contains(&Family::of_net(net))));
        let mut through = node.routes.iter().filter(|(_, route)| route.target != RouteTarget::Unreachable);
        prop_assert!(through.all(|(key, _)| carried.contains(&Family::of_net(&key.dst))));
        let local = view.local_cidrs();
        prop_assert!(node.routes.keys().all(|key| local.overlap(&key.dst).is_none()));
    }

    #[test]
    fn overlay_addresses_are_unique_and_do_not_depend_on_order(nodes in nodes()) {
        let places = assign(&nodes, &CidrSet::default());
        prop_assert_eq!(places.len(), nodes.len());
        let distinct: BTreeSet<_> = places.values().collect();
        prop_assert_eq!(distinct.len(), nodes.len());
        let mut reversed = nodes;
        reversed.reverse();
        prop_assert_eq!(places, assign(&reversed, &CidrSet::default()));
    }

    #[test]
    fn a_new_node_moves_no_other(nodes in nodes(), net in 0_u8..3, host in 1_u8..6) {
        let before = assign(&nodes, &CidrSet::default());
        let mut more = nodes;
        more.push(node("a-new-one", &format!("172.{net}.0.{host}"), 1000));
        let mut after = assign(&more, &CidrSet::default());
        after.retain(|name, _| before.contains_key(name));
        prop_assert_eq!(before, after);
    }
}
