//! A bridge CNI: what common ones (bridge with host-local, flannel's host-gw) make of a node.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use subm_plan::nft::priority;
use subm_plan::nft::{
    AddressTest, At, Chain, ChainName, Hook, HookType, Match, Policy, Rule, Side, Table, Verdict,
};
use subm_plan::{Link, LinkKind, NodePlan, Owner, Route, RouteKey, RouteProtocol, Scope, SysctlKey, TableId};
use subm_types::{Family, IfName, Mtu};

use crate::topology::{Cluster, MTU, Node};
use crate::world::{CNI_BRIDGE, UPLINK};

/// What the CNI owns on a node.
pub(crate) fn scope() -> Scope {
    Scope::of(Owner("playground-cni"), RouteProtocol(86), &[CNI_BRIDGE])
}

/// The pods' bridge with its address, ways to the other nodes' pods, and masquerade of what leaves the pods' range:
/// to other clusters too, for a CNI knows nothing of them.
pub(crate) fn plan(cluster: &Cluster, node: &Node) -> NodePlan {
    let bridge = IfName::constant(CNI_BRIDGE);
    let gateway = IpNet::V4(Ipv4Net::new_assert(node.pod_gateway(), node.pod_cidr.prefix_len()));
    let link = Link { kind: LinkKind::Bridge, mtu: Some(Mtu(MTU)), mac: None };
    let others = cluster.nodes.iter().filter(|other| *other != node);
    let route = |other: &Node| {
        let key = RouteKey { table: TableId::MAIN, dst: other.pod_cidr.into(), metric: 0 };
        (key, Route::via(IfName::constant(UPLINK), IpAddr::V4(other.address)))
    };
    let mut plan = NodePlan::default();
    plan.links.insert(bridge.clone(), link);
    plan.addresses.insert((bridge, gateway));
    plan.sysctls.insert(SysctlKey::Forwarding(Family::V4), 1);
    plan.routes.extend(others.map(route));
    plan.table = Some(table(cluster.pods(), node.pod_cidr));
    plan
}

/// flannel's four rules, in its order.
fn table(pods: Ipv4Net, own: Ipv4Net) -> Table {
    let from = |net: Ipv4Net| Match::Address(Side::Source, AddressTest::Net(net.into()));
    let not_from = |net: Ipv4Net| Match::Address(Side::Source, AddressTest::NotNet(net.into()));
    let to = |net: Ipv4Net| Match::Address(Side::Destination, AddressTest::Net(net.into()));
    let elsewhere = Match::Address(Side::Destination, AddressTest::NotNet(MULTICAST.into()));
    let rules = vec![
        Rule::new([from(pods), to(pods)], Verdict::Return, "pod to pod"),
        Rule::new([from(pods), elsewhere], Verdict::Masquerade, "pod to outside"),
        Rule::new([not_from(pods), to(own)], Verdict::Return, "outside to a pod of this node"),
        Rule::new([not_from(pods), to(pods)], Verdict::Masquerade, "outside to a pod of another node"),
    ];
    let hook =
        Hook { kind: HookType::Nat, at: At::Postrouting, priority: priority::SRCNAT, policy: Policy::Accept };
    let mut table = Table::new(scope().table);
    table.chains.insert(ChainName("postrouting".to_owned()), Chain { hook: Some(hook), rules });
    table
}

const MULTICAST: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::new(224, 0, 0, 0), 4);

#[cfg(test)]
mod tests {
    use crate::topology::{Size, Topology};

    #[test]
    fn pods_are_bridged_routed_and_masqueraded() {
        let topology = Topology::new(Size { clusters: 1, workers: 1, pods: 1 });
        let cluster = &topology.clusters[0];
        insta::assert_snapshot!(super::plan(cluster, &cluster.nodes[1]), @r#"
        link cni0 bridge mtu 1500 up
        address 10.1.1.1/24 dev cni0
        sysctl net.ipv4.ip_forward = 1
        route 10.1.0.0/24 via 172.31.1.10 dev eth0 onlink
        table inet submariner-playground-cni {
          chain postrouting {
            type nat hook postrouting priority 100; policy accept;
            ip saddr 10.1.0.0/16 ip daddr 10.1.0.0/16 counter return comment "pod to pod"
            ip saddr 10.1.0.0/16 ip daddr != 224.0.0.0/4 counter masquerade comment "pod to outside"
            ip saddr != 10.1.0.0/16 ip daddr 10.1.1.0/24 counter return comment "outside to a pod of this node"
            ip saddr != 10.1.0.0/16 ip daddr 10.1.0.0/16 counter masquerade comment "outside to a pod of another node"
          }
        }
        "#);
    }
}
