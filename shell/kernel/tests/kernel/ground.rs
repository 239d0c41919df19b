//! Namespaces, plans and foreign hands for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};
use subm_kernel::Kernel;
use subm_plan::{
    FdbEntry, Link, LinkKind, Neighbour, NodePlan, NodeState, Owner, Route, RouteKey, RouteProtocol,
    RouteTarget, Rule, RuleSelector, Scope, Step, SysctlKey, TableId, Veth, Vxlan, World, diff,
};
use subm_types::{CidrSet, Family, IfName, MacAddress, Mtu};

/// Runs a test on a thread that owns a fresh network namespace; the kernel frees it when the thread ends.
pub(crate) fn in_fresh_namespace<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(move || {
        let own = unshare(CloneFlags::CLONE_NEWNET);
        assert!(
            own.is_ok(),
            "a network namespace of one's own needs root, or `unshare -Urn` around the tests"
        );
        // KERNEL: until some address makes the local table, no gateway is a valid one.
        foreign("ip link set lo up");
        test()
    })
    .join()
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

pub(crate) fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn networks(text: &str) -> CidrSet {
    text.split_whitespace().map(net).collect()
}

pub(crate) fn scope() -> Scope {
    Scope::of(
        Owner("test"),
        RouteProtocol(90),
        &["subm0", "subm1", "subm-br", "subm-veth", "subm-tun", "subm-wg"],
    )
}

pub(crate) fn mac(last: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0, 0, last])
}

pub(crate) fn vxlan(vni: u32, local: &str) -> Link {
    let kind = LinkKind::Vxlan(Vxlan { vni, port: 4800, local: Some(ip(local)), dev: None });
    Link { kind, mtu: Some(Mtu(1400)), mac: Some(mac(1)) }
}

pub(crate) fn key(table: u32, dst: &str, metric: u32) -> RouteKey {
    RouteKey { table: TableId(table), dst: net(dst), metric }
}

pub(crate) fn route(dev: &str, via: Option<&str>, src: Option<&str>, mtu: Option<u32>) -> Route {
    let target = RouteTarget::Link { dev: name(dev), via: via.map(ip) };
    Route { target, src: src.map(ip), mtu: mtu.map(Mtu) }
}

pub(crate) fn rule(family: Family, priority: u32, table: u32) -> Rule {
    Rule { family, priority, selector: RuleSelector::default(), table: TableId(table) }
}

/// One end of a pair; the other end is no link of the plan.
pub(crate) fn pair(mtu: u32) -> Link {
    Link { kind: LinkKind::Veth(Veth { peer: name("subm-far") }), mtu: Some(Mtu(mtu)), mac: Some(mac(4)) }
}

/// Whether this user can open TUN devices here.
pub(crate) fn tun_devices() -> bool {
    std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").is_ok()
}

fn links() -> BTreeMap<IfName, Link> {
    BTreeMap::from([
        (name("subm0"), vxlan(100, "127.0.0.1")),
        (name("subm1"), vxlan(101, "::1")),
        (name("subm-veth"), pair(1420)),
        (name("subm-br"), Link { kind: LinkKind::Bridge, mtu: Some(Mtu(1300)), mac: Some(mac(3)) }),
    ])
}

fn sysctls(four: &IfName, six: &IfName) -> BTreeMap<SysctlKey, u32> {
    BTreeMap::from([
        (SysctlKey::AcceptRa(six.clone()), 0),
        (SysctlKey::Forwarding(Family::V4), 1),
        (SysctlKey::Forwarding(Family::V6), 1),
        (SysctlKey::RpFilter(four.clone()), 2),
        (SysctlKey::SendRedirects(four.clone()), 0),
        (SysctlKey::LinkForwarding(Family::V6, six.clone()), 1),
        (SysctlKey::AddrGenMode(six.clone()), 1),
    ])
}

/// A plan with every kind of object, in both families.
pub(crate) fn plan() -> NodePlan {
    let (four, six) = (name("subm0"), name("subm1"));
    let fdb = |dev: &IfName, mac, dst: &str, port| FdbEntry { dev: dev.clone(), mac, dst: ip(dst), port };
    let neighbour = |dev: &IfName, address: &str, last| Neighbour {
        dev: dev.clone(),
        address: ip(address),
        mac: mac(last),
    };
    NodePlan {
        links: links(),
        addresses: BTreeSet::from([
            (four.clone(), net("240.0.0.1/8")),
            (four.clone(), net("fd00:240::1/64")),
            (six.clone(), net("10.240.0.1/24")),
            (six.clone(), net("fe80::ff:fe00:1/64")),
            (six.clone(), net("fd00:100:200::1/96")),
        ]),
        sysctls: sysctls(&four, &six),
        wireguard: BTreeMap::new(),
        fdb: BTreeSet::from([
            fdb(&four, MacAddress::ZERO, "10.0.0.2", None),
            fdb(&four, MacAddress::ZERO, "10.0.0.3", Some(4789)),
            fdb(&four, mac(2), "10.0.0.2", None),
            fdb(&six, mac(2), "fd00:1::2", None),
            fdb(&six, MacAddress::ZERO, "fd00:1::2", None),
            fdb(&six, MacAddress::ZERO, "fd00:1::3", Some(4789)),
        ]),
        neighbours: BTreeSet::from([
            neighbour(&four, "240.0.0.2", 2),
            neighbour(&four, "fd00:240::2", 2),
            neighbour(&six, "fd00:100:200::2", 2),
        ]),
        rules: BTreeSet::from([
            rule(Family::V4, 101, 1001),
            rule(Family::V6, 101, 101),
            Rule {
                selector: RuleSelector {
                    from: Some(net("10.1.0.0/16")),
                    to: Some(net("10.2.0.0/16")),
                    iif: Some(name("lo")),
                },
                ..rule(Family::V4, 100, 100)
            },
        ]),
        routes: BTreeMap::from([
            (key(1001, "10.2.0.0/16", 100), route("subm0", Some("240.0.0.2"), Some("240.0.0.1"), Some(1350))),
            (key(1001, "10.2.0.0/16", 0xF000_0000), Route::UNREACHABLE),
            (key(1001, "0.0.0.0/0", 0), route("subm0", Some("10.77.0.1"), None, None)),
            (key(100, "10.3.0.0/16", 0), route("subm-br", None, None, None)),
            (key(101, "fd00:2::/48", 100), route("subm0", Some("fd00:240::2"), Some("fd00:240::1"), None)),
            (key(101, "fd00:2::/48", 0xF000_0000), Route::UNREACHABLE),
            (key(100, "fd00:3::/48", 100), route("subm1", Some("fd00:100:200::2"), None, Some(1210))),
            (key(254, "10.4.0.0/16", 100), route("subm0", None, None, None)),
        ]),
        table: Some(crate::tables::table()),
        flows: BTreeSet::new(),
    }
}

/// Looks, takes the steps, and tells which they were.
pub(crate) fn converge(kernel: &mut Kernel, plan: &NodePlan) -> Vec<Step> {
    let steps = kernel.preview(&scope(), plan).unwrap();
    let applied = kernel.apply(&scope(), &steps);
    assert_eq!(applied.failures, [], "after\n{}", printed(&steps));
    steps
}

pub(crate) fn observe(kernel: &mut Kernel, plan: &NodePlan) -> NodeState {
    kernel.observe(&scope(), plan).unwrap()
}

/// Converges, and then finds exactly the plan.
pub(crate) fn reach(kernel: &mut Kernel, plan: &NodePlan) {
    converge(kernel, plan);
    let state = observe(kernel, plan);
    assert_eq!(state.own, NodePlan { flows: BTreeSet::new(), ..plan.clone() });
    assert_eq!(diff(&state, plan), []);
}

/// Runs a program of somebody else's, in this thread's namespace.
pub(crate) fn foreign(command: &str) {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Loads a foreign ruleset; nft wants every block closed on a line of its own.
pub(crate) fn load(ruleset: &str) {
    let ruleset = ruleset.replace(" }", "\n}");
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(ruleset.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "{ruleset}");
}

/// What a program prints.
pub(crate) fn listing(command: &str) -> String {
    String::from_utf8(Command::new("sh").args(["-c", command]).output().unwrap().stdout).unwrap()
}

/// Steps as people read them.
pub(crate) fn printed(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |text, step| text + &format!("{step}\n"))
}
