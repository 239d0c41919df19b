//! What is meant for a remote cluster leaves by the overlay or a cable, or not at all.

use ipnet::IpNet;
use subm_plan::NodePlan;
use subm_plan::nft::{AddressTest, HookType, L4, Match, PortTest, Rule, Side, Verdict, priority};
use subm_types::{Family, IfName};

use super::table::{carriers, chain, postrouting, remote};
use crate::{Feature, Handler, Role, Situation};

pub(crate) const HANDLER: Handler =
    Handler { name: "leak", applies: |view| view.has(Feature::PacketFilter), plan };

fn plan(now: &Situation<'_>) -> NodePlan {
    let lo = Match::Oif(IfName::constant("lo"));
    let mut rules = vec![Rule::new([lo], Verdict::Accept, "stays on this node")];
    if now.role == Role::Gateway {
        rules.extend(own_packets(now));
    }
    rules.extend(Family::ALL.map(|family| {
        let matches = [remote(Side::Destination, family), Match::OifNotIn(carriers())];
        Rule::new(matches, Verdict::Drop, "never in clear")
    }));
    chain(now, "leak", postrouting(HookType::Filter, priority::LEAK), rules)
}

/// The cables' own packets, and those that find the way for them, to gateways inside a remote network.
fn own_packets(now: &Situation<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (address, endpoint) in now.remotes.gateways_inside() {
        let mut pass = |port, comment| {
            let to = Match::Address(Side::Destination, AddressTest::Net(IpNet::from(address)));
            let udp = Match::Port(L4::Udp, Side::Destination, PortTest::Is(port));
            let rule = Rule::new([to, udp], Verdict::Accept, comment);
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        };
        pass(endpoint.udp_port, "the cable's own packets");
        if let Some(port) = endpoint.nat_discovery_port {
            pass(port, "NAT discovery");
        }
    }
    rules
}
