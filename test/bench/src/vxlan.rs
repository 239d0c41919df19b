//! The vxlan cable against the same link set up by hand.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, ensure};
use ipnet::IpNet;
use subm_e2e::{Playground, until};
use subm_kernel::Kernel;
use subm_lab::{Host, traffic};
use subm_plan::nft::{
    AddressTest, At, Chain, ChainName, Hook, HookType, Match, Policy, Rule, Side, Table, Verdict, priority,
};
use subm_plan::{
    FdbEntry, Link, LinkKind, NodePlan, Owner, Route, RouteKey, RouteProtocol, Scope, TableId, Vxlan, World,
    diff,
};
use subm_types::{Family, IfName, MacAddress, Mtu};

use crate::contest::{Contender, Rounds, Score, interleave};
use crate::load::{Load, Way};
use crate::record::{Bound, Record};
use crate::{Bench, Programs};

pub(crate) const BENCH: Bench = Bench {
    name: "vxlan",
    about: "between pods on the two gateways: the vxlan cable against the same VXLAN set up by hand",
    run,
};

/// What is asked of the ratio of the medians.
const LOADS: [(Load, f64); 3] = [(Load::Streams(1), 0.97), (Load::Streams(4), 0.97), (Load::Requests, 0.9)];
const LINK: &str = "vxlan-by-hand";
/// Of a wire of 1,500 bytes.
const MTU: u32 = 1450;
/// As the cable has it.
const VNI: u32 = 1000;
const PORT: u16 = 4500;

/// A gateway, as someone knows it who sets the link up by hand.
struct Gateway {
    host: &'static str,
    address: [u8; 4],
    pods: [u8; 4],
    vtep: [u8; 4],
}

const EAST: Gateway = Gateway {
    host: "east-gateway",
    address: [172, 31, 1, 10],
    pods: [10, 1, 0, 0],
    vtep: [192, 168, 250, 1],
};
const WEST: Gateway = Gateway {
    host: "west-gateway",
    address: [172, 31, 2, 10],
    pods: [10, 2, 0, 0],
    vtep: [192, 168, 250, 2],
};

/// Both ground and pods are those of a playground: the second one's daemons are held, and what they made is gone.
fn run(programs: &Programs) -> Result<Vec<Record>> {
    let (ours, by_hand) = (programs.playground(&[])?, programs.playground(&[])?);
    replace_by_hand(&by_hand)?;
    let contenders = [contender("submariner", &ours)?, contender("by-hand", &by_hand)?];
    let mut records = Vec::new();
    let outcomes = interleave(&contenders, &LOADS.map(|(load, _)| load), Rounds::MEDIANS);
    for ((load, scores), (_, bound)) in outcomes.into_iter().zip(LOADS) {
        let scores = scores.into_iter().collect::<Result<Vec<Score>>>()?;
        records.extend(scores.iter().flat_map(|score| score.records("vxlan", load)));
        let [ours, by_hand] = &scores[..] else { unreachable!("two were measured") };
        let words = format!("≥ {bound} × the same set up by hand, medians of {}", Rounds::MEDIANS.count);
        let name = format!("vxlan/{}", load.name());
        records.push(ours.against(name, by_hand, load)?.asks_ratio(Bound::AtLeast(bound), words));
    }
    ours.down()?;
    by_hand.down()?;
    Ok(records)
}

fn contender(name: &str, playground: &Playground) -> Result<Contender> {
    let way = Way {
        from: playground.host("east-gateway-pod-1")?,
        to: playground.host("west-gateway-pod-1")?,
        address: IpAddr::from([10, 2, 0, 2]),
    };
    // The kernel carries, mostly in the name of whoever sends: of the generators, which are this process.
    Ok(Contender { name: name.to_owned(), way, processes: vec![std::process::id()] })
}

fn replace_by_hand(playground: &Playground) -> Result<()> {
    for daemon in playground.status()?.daemons {
        let pid = daemon.pid.with_context(|| format!("{} does not run", daemon.path))?;
        playground.ask("hub", &["sh", "-c", &format!("kill -STOP {pid}")])?;
    }
    for node in ["east-gateway", "east-worker", "west-gateway", "west-worker"] {
        let node = playground.host(node)?;
        for scope in [Scope::gateway(), Scope::route_agent()] {
            node.enter(|| set(&scope, &NodePlan::default()))?
                .with_context(|| format!("what {} made on {}", scope.owner, node.name()))?;
        }
    }
    let scope = Scope::of(Owner("by-hand"), RouteProtocol(99), &[LINK]);
    for (here, there) in [(&EAST, &WEST), (&WEST, &EAST)] {
        let node: Host = playground.host(here.host)?;
        node.enter(|| set(&scope, &plan(here, there)))?
            .with_context(|| format!("by hand on {}", here.host))?;
    }
    let pod = playground.host("east-gateway-pod-1")?;
    let patience = std::time::Duration::from_secs(1);
    until("packets pass by hand", || Ok(traffic::ping(&pod, Ipv4Addr::new(10, 2, 0, 2), 56, patience)?))?;
    Ok(())
}

/// Makes the scope's part of a node as it is planned.
fn set(scope: &Scope, plan: &NodePlan) -> Result<()> {
    let mut kernel = Kernel::open()?;
    let state = kernel.observe(scope, plan)?;
    let applied = kernel.apply(scope, &diff(&state, plan));
    let failure = applied.failures.first();
    ensure!(failure.is_none(), "{failure:?}");
    Ok(())
}

/// What the documents of VXLAN say, and that pods keep their addresses on the way.
fn plan(here: &Gateway, there: &Gateway) -> NodePlan {
    let link = IfName::constant(LINK);
    let [_, own, _, last] = here.vtep;
    let kind = LinkKind::Vxlan(Vxlan { vni: VNI, port: PORT, local: None, dev: None });
    let mac = Some(MacAddress([2, 0, 0, 0, own, last]));
    let mut plan = NodePlan::default();
    plan.links.insert(link.clone(), Link { kind, mtu: Some(Mtu(MTU)), mac });
    plan.addresses.insert((link.clone(), net(here.vtep, 24)));
    let dst = IpAddr::from(there.address);
    plan.fdb.insert(FdbEntry { dev: link.clone(), mac: MacAddress::ZERO, dst, port: None });
    let key = RouteKey { table: TableId::MAIN, dst: net(there.pods, 16), metric: 0 };
    plan.routes.insert(key, Route::via(link, IpAddr::from(there.vtep)));
    plan.table = Some(table(net(here.pods, 16), net(there.pods, 16)));
    plan
}

fn table(own: IpNet, remote: IpNet) -> Table {
    let rule = |from: IpNet, to: IpNet| {
        let from = Match::Address(Side::Source, AddressTest::Net(from));
        let to = Match::Address(Side::Destination, AddressTest::Net(to));
        Rule::new([from, to], Verdict::SnatToSelf(Family::V4), "pods keep their addresses")
    };
    let hook = Hook {
        kind: HookType::Nat,
        at: At::Postrouting,
        priority: priority::IDENTITY,
        policy: Policy::Accept,
    };
    let mut table = Table::new(Scope::of(Owner("by-hand"), RouteProtocol(99), &[]).table);
    let rules = vec![rule(own, remote), rule(remote, own)];
    table.chains.insert(ChainName("postrouting".to_owned()), Chain { hook: Some(hook), rules });
    table
}

fn net(address: [u8; 4], prefix: u8) -> IpNet {
    IpNet::new_assert(IpAddr::from(address), prefix)
}
