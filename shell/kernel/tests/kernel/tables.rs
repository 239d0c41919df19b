//! A packet-filter table with every match and verdict that plans can say.

use subm_plan::nft::{
    AddressTest, At, Chain, ChainName, Elements, Hook, HookType, L4, Match, Policy, PortTest, Rule, Set,
    SetName, Side, Table, Verdict, priority,
};
use subm_types::{CidrSet, Family, Mtu};

use crate::ground::{ip, name, net, networks, scope};

fn set(text: &str) -> SetName {
    SetName(text.to_owned())
}

fn to(test: AddressTest) -> Match {
    Match::Address(Side::Destination, test)
}

fn from(test: AddressTest) -> Match {
    Match::Address(Side::Source, test)
}

fn in_v4(text: &str) -> AddressTest {
    AddressTest::In(Family::V4, set(text))
}

fn one(text: &str) -> AddressTest {
    AddressTest::Net(net(text))
}

fn rule<const N: usize>(matches: [Match; N], verdict: Verdict, comment: &'static str) -> Rule {
    Rule::new(matches, verdict, comment)
}

fn chain(hook: Option<(HookType, At, i32, Policy)>, rules: Vec<Rule>) -> Chain {
    let hook = hook.map(|(kind, at, priority, policy)| Hook { kind, at, priority, policy });
    Chain { hook, rules }
}

fn source() -> Chain {
    let keep = Verdict::SnatToSelf(Family::V4);
    let keep6 = Verdict::SnatToSelf(Family::V6);
    let outside = from(AddressTest::NotIn(Family::V4, set("remote4")));
    let rules = vec![
        rule([outside, to(in_v4("remote4"))], keep, "keep the source"),
        rule([to(AddressTest::In(Family::V6, set("remote6")))], keep6, "keep it too"),
        rule([to(one("10.9.0.0/17"))], Verdict::Snat(ip("10.0.0.7")), "one address"),
        rule([to(one("fd00:9::/61"))], Verdict::Snat(ip("fd00::7")), "one of six"),
        rule([Match::Oif(name("subm0"))], Verdict::Masquerade, "the link's"),
    ];
    chain(Some((HookType::Nat, At::Postrouting, priority::IDENTITY, Policy::Accept)), rules)
}

fn destination() -> Chain {
    let http = Match::Port(L4::Tcp, Side::Destination, PortTest::Is(80));
    let dns = Match::Port(L4::Udp, Side::Source, PortTest::Is(53));
    let drawn = Match::Random { of: 3, is: 1 };
    let service = Verdict::Dnat(ip("10.0.0.9"), Some(8080));
    let rules = vec![
        rule([to(one("10.96.0.1/32")), http, drawn], service, "a service"),
        rule([to(one("fd00:96::1/128")), dns], Verdict::Dnat(ip("fd00::9"), Some(5353)), "a service of six"),
        rule([to(one("10.96.0.2/32"))], Verdict::Dnat(ip("10.0.0.9"), None), "no port"),
    ];
    chain(Some((HookType::Nat, At::Prerouting, priority::DSTNAT, Policy::Accept)), rules)
}

fn forward() -> Chain {
    let cables = || set("cables");
    let foreign = from(AddressTest::NotNet(net("10.0.0.0/8")));
    let other = Verdict::Jump(ChainName("other".to_owned()));
    let through = [Match::Iif(name("eth0")), Match::TcpSyn, Match::Oif(name("subm0"))];
    let rules = vec![
        rule(through, Verdict::ClampMss, "fit"),
        rule([Match::TcpSyn, foreign], Verdict::ClampMssTo(Mtu(1400)), "to"),
        rule([Match::OifIn(cables())], other, "go on"),
        rule([Match::OifNotIn(cables())], Verdict::Accept, "others"),
        rule([Match::NotOif(name("subm0")), to(in_v4("remote4"))], Verdict::Drop, "leak"),
    ];
    chain(Some((HookType::Filter, At::Forward, priority::MANGLE, Policy::Drop)), rules)
}

pub(crate) fn table() -> Table {
    let four = Set::networks(Family::V4, &networks("10.2.0.0/16 10.4.0.0/15 192.0.2.7/32"));
    let six = Set::networks(Family::V6, &networks("fd00:2::/48 fd00:8::/64"));
    let empty = Set { elements: Elements::Networks(Family::V4, CidrSet::default()) };
    let mut table = Table::new(scope().table);
    table.sets.insert(set("remote4"), four);
    table.sets.insert(set("remote6"), six);
    table.sets.insert(set("cables"), Set::interfaces([name("subm0"), name("fifteen-bytes-x")]));
    table.sets.insert(set("empty"), empty);
    let back = chain(None, vec![rule([], Verdict::Return, "back")]);
    let chains =
        [("source", source()), ("destination", destination()), ("forward", forward()), ("other", back)];
    table.chains.extend(chains.map(|(name, chain)| (ChainName(name.to_owned()), chain)));
    table
}
