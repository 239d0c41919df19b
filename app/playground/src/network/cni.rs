//! A bridge CNI: what common ones (bridge with host-local, flannel's host-gw) make of a node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use subm_plan::nft::priority;
use subm_plan::nft::{
    AddressTest, At, Chain, ChainName, Hook, HookType, Match, Policy, Rule, Side, Table, Verdict,
};
use subm_plan::{Link, LinkKind, NodePlan, Owner, Route, RouteKey, RouteProtocol, Scope, SysctlKey, TableId};
use subm_types::{Family, IfName, MacAddress, Mtu};

use crate::topology::{Cluster, Node};
use crate::world::{CNI_BRIDGE, UPLINK};

/// What the CNI owns on a node.
pub(crate) fn scope() -> Scope {
    Scope::of(Owner("playground-cni"), RouteProtocol(86), &[CNI_BRIDGE])
}

/// The pods' bridge with its address, ways to the other nodes' pods, and masquerade of what leaves the pods' range:
/// to other clusters too, for a CNI knows nothing of them.
pub(crate) fn plan(cluster: &Cluster, node: &Node) -> NodePlan {
    let bridge = IfName::constant(CNI_BRIDGE);
    let mut plan = NodePlan::default();
    let link = Link { kind: LinkKind::Bridge, mtu: Some(Mtu(cluster.mtu)), mac: mac(node) };
    plan.links.insert(bridge.clone(), link);
    for (family, own) in node.pod_net.iter() {
        plan.addresses.insert((bridge.clone(), *own));
        plan.sysctls.insert(SysctlKey::Forwarding(family), 1);
        for other in cluster.nodes.iter().filter(|other| *other != node) {
            if let (Some(dst), Some(via)) = (other.pod_cidrs().get(family), other.addresses().get(family)) {
                let key = RouteKey { table: TableId::MAIN, dst: *dst, metric: metric(family) };
                plan.routes.insert(key, Route::via(IfName::constant(UPLINK), *via));
            }
        }
    }
    plan.table = Some(table(cluster, node));
    plan
}

/// COMPAT: what the bridge plugin gives, `0a:58` and the IPv4 address, or the end of the IPv6 address.
///
/// KERNEL: without one of its own a bridge takes the lowest of its ports', which changes as Pods come and go: those
/// that stay would send to an address that nobody has until they ask anew.
fn mac(node: &Node) -> Option<MacAddress> {
    let own = match node.pod_net.v4.or(node.pod_net.v6)?.addr() {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => {
            // The last bytes are the same on every node; those of the node's segment are not.
            let [.., a, b, _, _, _, _, _, _, c, d] = address.octets();
            [a, b, c, d]
        }
    };
    let [a, b, c, d] = own;
    Some(MacAddress([0x0a, 0x58, a, b, c, d]))
}

/// The metric of a route that names none: for IPv6 the kernel takes 0 as "none named".
const fn metric(family: Family) -> u32 {
    match family {
        Family::V4 => 0,
        Family::V6 => 1024,
    }
}

/// flannel's four rules, in its order, for each family.
fn table(cluster: &Cluster, node: &Node) -> Table {
    let mut rules = Vec::new();
    for family in cluster.families.list() {
        if let (Some(pods), Some(own)) = (cluster.pods().get(family), node.pod_cidrs().get(family)) {
            rules.extend(of_family(*pods, *own, multicast(family)));
        }
    }
    let hook =
        Hook { kind: HookType::Nat, at: At::Postrouting, priority: priority::SRCNAT, policy: Policy::Accept };
    let mut table = Table::new(scope().table);
    table.chains.insert(ChainName("postrouting".to_owned()), Chain { hook: Some(hook), rules });
    table
}

fn of_family(pods: IpNet, own: IpNet, multicast: IpNet) -> [Rule; 4] {
    let from = |net: IpNet| Match::Address(Side::Source, AddressTest::Net(net));
    let not_from = |net: IpNet| Match::Address(Side::Source, AddressTest::NotNet(net));
    let to = |net: IpNet| Match::Address(Side::Destination, AddressTest::Net(net));
    let elsewhere = Match::Address(Side::Destination, AddressTest::NotNet(multicast));
    [
        Rule::new([from(pods), to(pods)], Verdict::Return, "pod to pod"),
        Rule::new([from(pods), elsewhere], Verdict::Masquerade, "pod to outside"),
        Rule::new([not_from(pods), to(own)], Verdict::Return, "outside to a pod of this node"),
        Rule::new([not_from(pods), to(pods)], Verdict::Masquerade, "outside to a pod of another node"),
    ]
}

fn multicast(family: Family) -> IpNet {
    match family {
        Family::V4 => Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4).into(),
        Family::V6 => Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8).into(),
    }
}

#[cfg(test)]
mod tests {
    use crate::topology::Topology;

    #[test]
    fn pods_are_bridged_routed_and_masqueraded_in_each_family() {
        let spec = "clusters: [{name: east, families: dual, pods: 1}, {name: west, families: dual}]";
        let topology = Topology::new(&serde_saphyr::from_str(spec).unwrap());
        let cluster = &topology.clusters[0];
        insta::assert_snapshot!(super::plan(cluster, &cluster.nodes[1]), @r#"
        link cni0 bridge mtu 1500 address 0a:58:0a:01:01:01 up
        address 10.1.1.1/24 dev cni0
        address fd00:10:1:1::1/64 dev cni0
        sysctl net.ipv4.ip_forward = 1
        sysctl net.ipv6.conf.all.forwarding = 1
        route 10.1.0.0/24 via 172.31.1.10 dev eth0 onlink
        route fd00:10:1::/64 via fd00:172:31:1::1:10 dev eth0 onlink metric 1024
        table inet submariner-playground-cni {
          chain postrouting {
            type nat hook postrouting priority 100; policy accept;
            ip saddr 10.1.0.0/16 ip daddr 10.1.0.0/16 counter return comment "pod to pod"
            ip saddr 10.1.0.0/16 ip daddr != 224.0.0.0/4 counter masquerade comment "pod to outside"
            ip saddr != 10.1.0.0/16 ip daddr 10.1.1.0/24 counter return comment "outside to a pod of this node"
            ip saddr != 10.1.0.0/16 ip daddr 10.1.0.0/16 counter masquerade comment "outside to a pod of another node"
            ip6 saddr fd00:10:1::/48 ip6 daddr fd00:10:1::/48 counter return comment "pod to pod"
            ip6 saddr fd00:10:1::/48 ip6 daddr != ff00::/8 counter masquerade comment "pod to outside"
            ip6 saddr != fd00:10:1::/48 ip6 daddr fd00:10:1:1::/64 counter return comment "outside to a pod of this node"
            ip6 saddr != fd00:10:1::/48 ip6 daddr fd00:10:1::/48 counter masquerade comment "outside to a pod of another node"
          }
        }
        "#);
    }
}
