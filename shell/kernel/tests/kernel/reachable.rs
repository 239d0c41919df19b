//! From any reachable state one run reaches the plan and the next changes nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use subm_kernel::Kernel;
use subm_plan::nft::{
    AddressTest, At, Chain, ChainName, Hook, HookType, Match, Policy, Rule as NftRule, Set, SetName, Side,
    Table, Verdict,
};
use subm_plan::{
    FdbEntry, Link, LinkKind, Neighbour, NodePlan, Route, RouteKey, RouteTarget, SysctlKey, TableId, diff,
};
use subm_types::{CidrSet, Family, MacAddress, Mtu};

use crate::ground::{
    converge, in_fresh_namespace, ip, mac, name, net, observe, pair, printed, rule, scope, tun_devices, vxlan,
};

const V4: [&str; 3] = ["240.0.0.1/8", "240.0.0.2/8", "10.240.0.1/24"];
const V6: [&str; 3] = ["fd00:240::1/64", "fd00:240::3/64", "fe80::7/64"];
const REMOTE: [&str; 6] =
    ["10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/15", "10.6.0.0/24", "fd00:2::/48", "fd00:3::/48"];

fn links() -> impl Strategy<Value = BTreeMap<subm_types::IfName, Link>> {
    let overlay = (
        select(vec![100, 101]),
        select(vec!["127.0.0.1", "127.0.0.2", "::1"]),
        select(vec![1300, 1400]),
        1..3_u8,
    );
    let overlay = overlay.prop_map(|(vni, local, mtu, last)| Link {
        mtu: Some(Mtu(mtu)),
        mac: Some(mac(last)),
        ..vxlan(vni, local)
    });
    let bridge = Link { kind: LinkKind::Bridge, mtu: Some(Mtu(1300)), mac: Some(mac(9)) };
    let tun = Link { kind: LinkKind::Tun, mtu: Some(Mtu(1420)), mac: None };
    let second = prop_oneof![
        Just(None),
        Just(Some(bridge)),
        Just(Some(tun).filter(|_| tun_devices())),
        select(vec![1400, 1420]).prop_map(|mtu| Some(pair(mtu))),
        overlay.clone().prop_map(|link| Some(Link {
            kind: match link.kind {
                LinkKind::Vxlan(kind) => LinkKind::Vxlan(subm_plan::Vxlan { port: 4801, ..kind }),
                other @ (LinkKind::Bridge
                | LinkKind::Tun
                | LinkKind::Veth(_)
                | LinkKind::Xfrm(_)
                | LinkKind::Wireguard) => other,
            },
            ..link
        }))
    ];
    (prop::option::weighted(0.8, overlay), second).prop_map(|(first, second)| {
        let first = first.map(|link| (name("subm0"), link));
        first.into_iter().chain(second.map(|link| (name("subm1"), link))).collect()
    })
}

fn table() -> impl Strategy<Value = Option<Table>> {
    let networks = subsequence(REMOTE.to_vec(), 0..=REMOTE.len());
    let verdicts = prop::collection::vec(
        select(vec![Verdict::SnatToSelf(Family::V4), Verdict::Masquerade, Verdict::Accept, Verdict::Return]),
        0..4,
    );
    let priority = select(vec![90, 70]);
    prop::option::weighted(
        0.8,
        (networks, verdicts, priority).prop_map(|(networks, verdicts, priority)| {
            let networks: CidrSet = networks.into_iter().map(net).collect();
            let (four, six) = (SetName("four".to_owned()), SetName("six".to_owned()));
            let to = Match::Address(Side::Destination, AddressTest::In(Family::V4, four.clone()));
            let rules =
                verdicts.into_iter().map(|verdict| NftRule::new([to.clone()], verdict, "a rule")).collect();
            let hook = Hook { kind: HookType::Nat, at: At::Postrouting, priority, policy: Policy::Accept };
            let mut table = Table::new(scope().table);
            table.sets.insert(four, Set::networks(Family::V4, &networks));
            table.sets.insert(six, Set::networks(Family::V6, &networks));
            table.chains.insert(ChainName("source".to_owned()), Chain { hook: Some(hook), rules });
            table
        }),
    )
}

/// Which of what could stand on the links does.
#[derive(Debug, Clone)]
struct Choice {
    addresses: Vec<(usize, &'static str)>,
    routes: Vec<(&'static str, u32, usize, u8)>,
    entries: Vec<(usize, u8, u8)>,
    rules: Vec<u32>,
    rp_filter: Option<u32>,
    accept_ra: Option<u32>,
}

fn choice() -> impl Strategy<Value = Choice> {
    let address = (0..2_usize, select([V4.to_vec(), V6.to_vec()].concat()));
    let route = (select(REMOTE.to_vec()), select(vec![100, 200]), 0..2_usize, 0..4_u8);
    (
        prop::collection::vec(address, 0..4),
        prop::collection::vec(route, 0..6),
        prop::collection::vec((0..2_usize, 0..3_u8, 1..4_u8), 0..5),
        subsequence(vec![100, 101, 102], 0..=3),
        prop::option::of(0..3_u32),
        prop::option::of(0..3_u32),
    )
        .prop_map(|(addresses, routes, entries, rules, rp_filter, accept_ra)| Choice {
            addresses,
            routes,
            entries,
            rules,
            rp_filter,
            accept_ra,
        })
}

fn route_to(plan: &NodePlan, dst: &str, how: u8, dev: Option<&subm_types::IfName>) -> Route {
    let four = net(dst).addr().is_ipv4();
    let Some(dev) = dev.filter(|_| how != 0) else { return Route::UNREACHABLE };
    // KERNEL: an IPv6 next hop inside another link's network is refused, also with `onlink`.
    let via = (how == 1).then(|| ip(if four { "240.0.0.99" } else { "fd00:99::99" }));
    let own = plan.addresses.iter().find(|(on, net)| on == dev && net.addr().is_ipv4() == four);
    let src = own.filter(|_| how == 3).map(|(_, net)| net.addr());
    let mtu = (how == 2).then_some(Mtu(1290));
    Route { target: RouteTarget::Link { dev: dev.clone(), via }, src, mtu }
}

fn plan() -> impl Strategy<Value = NodePlan> {
    (links(), table(), choice()).prop_map(|(links, table, choice)| {
        let names: Vec<_> = links.keys().cloned().collect();
        let mut plan = NodePlan { links, table, ..NodePlan::default() };
        let on = |index: usize| names.get(index);
        for (index, address) in choice.addresses {
            plan.addresses.extend(on(index).map(|dev| (dev.clone(), net(address))));
        }
        for (dst, metric, index, how) in choice.routes {
            let route = route_to(&plan, dst, how, on(index));
            plan.routes.insert(RouteKey { table: TableId(101), dst: net(dst), metric }, route);
        }
        for (index, hardware, last) in choice.entries {
            let Some(dev) = on(index) else { continue };
            // KERNEL: a link without ARP keeps no hardware addresses.
            if matches!(plan.links[dev].kind, LinkKind::Tun | LinkKind::Veth(_)) {
                continue;
            }
            let address =
                if hardware == 2 { format!("fd00:240::{last}5") } else { format!("240.0.0.{}", 50 + last) };
            let address = ip(&address);
            plan.neighbours.retain(|old| old.dev != *dev || old.address != address);
            plan.neighbours.insert(Neighbour { dev: dev.clone(), address, mac: mac(hardware) });
            let LinkKind::Vxlan(kind) = &plan.links[dev].kind else { continue };
            let far = if kind.local.is_some_and(|local| local.is_ipv6()) { "fd00:9::" } else { "10.0.0." };
            let mac = if hardware == 0 { MacAddress::ZERO } else { mac(hardware) };
            plan.fdb.retain(|old| old.dev != *dev || old.mac != mac || mac == MacAddress::ZERO);
            plan.fdb.insert(FdbEntry { dev: dev.clone(), mac, dst: ip(&format!("{far}{last}")), port: None });
        }
        plan.rules = choice
            .rules
            .into_iter()
            .flat_map(|at| [rule(Family::V4, at, 101), rule(Family::V6, at, 101)])
            .collect();
        let filtered =
            names.first().and_then(|dev| Some((SysctlKey::RpFilter(dev.clone()), choice.rp_filter?)));
        plan.sysctls.extend(filtered);
        let advertised =
            names.first().and_then(|dev| Some((SysctlKey::AcceptRa(dev.clone()), choice.accept_ra?)));
        plan.sysctls.extend(advertised);
        plan
    })
}

const DAMAGE: [&str; 27] = [
    "ip link del subm0",
    "ip link del subm1",
    "ip link set subm0 down",
    "ip link set subm1 down",
    "ip link set subm0 mtu 1290",
    "ip address flush dev subm0",
    "ip address del 240.0.0.1/8 dev subm0",
    "ip address add 240.0.0.7/8 dev subm0",
    "ip address add 240.0.0.1/8 dev subm1",
    "ip route flush table 101",
    "ip route replace 10.2.0.0/16 dev subm0 table 101 metric 100",
    "ip route append 10.2.0.0/16 dev subm1 table 101 metric 100 proto 90",
    "ip -6 route append fd00:2::/48 dev subm1 table 101 metric 100 proto 90",
    "ip -6 route replace unreachable fd00:3::/48 table 101 metric 200 proto 90",
    "ip -6 route flush table 101",
    "ip -6 address flush dev subm0",
    "ip -6 address add fd00:240::9/64 dev subm1",
    "ip -6 neighbour flush dev subm0 nud permanent",
    "bridge fdb append 00:00:00:00:00:00 dev subm1 dst fd00:9::77 self permanent",
    "ip rule del preference 101",
    "ip rule add preference 5 lookup 101 protocol 90",
    "bridge fdb append 00:00:00:00:00:00 dev subm0 dst 10.0.0.77 self permanent",
    "bridge fdb del 02:00:00:00:00:01 dev subm0",
    "ip neighbour flush nud permanent",
    "nft flush ruleset",
    "nft add element inet submariner-test four '{ 10.66.0.0/16 }'",
    "nft insert rule inet submariner-test source accept",
];

fn check(before: &NodePlan, damage: &[&str], wanted: &NodePlan) {
    let mut kernel = Kernel::open().unwrap();
    converge(&mut kernel, before);
    // Damage to what is not there is none.
    let script = damage.join("; ");
    let _status =
        std::process::Command::new("sh").args(["-c", &script]).stderr(std::process::Stdio::null()).status();
    let first = converge(&mut kernel, wanted);
    let state = observe(&mut kernel, wanted);
    let left = printed(&diff(&state, wanted));
    assert_eq!(left, "", "the second run still has something to do; the first did\n{}", printed(&first));
    assert_eq!(state.own, *wanted);
    let fresh = observe(&mut Kernel::open().unwrap(), wanted);
    assert_eq!(state, fresh, "what was kept is not what is there");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_run_reaches_the_plan_from_any_state(
        before in plan(),
        damage in prop::collection::vec(select(DAMAGE.to_vec()), 0..4),
        wanted in plan(),
    ) {
        in_fresh_namespace(move || check(&before, &damage, &wanted));
    }
}
