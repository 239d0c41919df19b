//! Which clusters, nodes and pods there are, and their addresses: all follow from names and numbers.

mod addresses;
mod place;
mod spec;
mod uplink;
mod value;

use std::net::IpAddr;

use ipnet::IpNet;
use subm_types::{Family, PerFamily};

pub(crate) use addresses::{addresses, everything, shown};
pub(crate) use place::{Path, Target};
pub(crate) use spec::{ClusterName, ClusterSpec, HubPlace, Spec};
pub(crate) use uplink::{Loss, Nat, NatBox, Rate, Uplink};
pub(crate) use value::{Clusters, Families, Gateways, LinkMtu, Pods, Workers};

/// Names of clusters in the order in which they are given out.
pub(crate) const CLUSTERS: [&str; spec::MOST_CLUSTERS] =
    ["east", "west", "north", "south", "mars", "venus", "pluto", "ceres"];
/// The port of every API server.
pub(crate) const API_PORT: u16 = 6443;
/// The service of echo pods, in the namespace `default`.
pub(crate) const ECHO_SERVICE: &str = "echo";

/// The whole playground.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topology {
    pub(crate) clusters: Vec<Cluster>,
    hub: HubPlace,
}

/// One cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    /// 1 for the first; its networks carry it.
    number: u8,
    pub(crate) families: Families,
    /// Of its nodes' network, and of pods.
    pub(crate) mtu: u32,
    pub(crate) uplink: Uplink,
    pub(crate) nodes: Vec<Node>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// The name within its cluster: `gateway`, `worker`.
    pub(crate) role: String,
    /// The Kubernetes name, and that of its namespace: `east-gateway`.
    pub(crate) name: String,
    pub(crate) gateway: bool,
    /// Its address on the LAN.
    pub(crate) net: PerFamily<IpNet>,
    /// The range of its pods, with its own address there.
    pub(crate) pod_net: PerFamily<IpNet>,
    pub(crate) pods: Vec<Pod>,
}

/// One pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    /// The name on its node: `pod-1`.
    pub(crate) role: String,
    /// The Kubernetes name, and that of its namespace: `east-gateway-pod-1`.
    pub(crate) name: String,
    pub(crate) addresses: PerFamily<IpAddr>,
}

impl Topology {
    /// The playground of this kind. The spec was checked.
    pub(crate) fn new(spec: &Spec) -> Self {
        let clusters = spec.clusters.iter().zip(1..).map(|(spec, number)| Cluster::new(spec, number));
        Self { clusters: clusters.collect(), hub: spec.hub.clone() }
    }

    pub(crate) fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name == name)
    }

    /// All nodes, with their clusters.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&Cluster, &Node)> {
        self.clusters.iter().flat_map(|cluster| cluster.nodes.iter().map(move |node| (cluster, node)))
    }

    /// The namespace of the hub's API server, and its addresses.
    pub(crate) fn hub(&self) -> (&str, PerFamily<IpAddr>) {
        let on = |(cluster, node): (&Cluster, &Node)| matches!(&self.hub, HubPlace::Node { cluster: name, role } if *name == cluster.name && *role == node.role);
        match self.nodes().find(|place| on(*place)) {
            Some((_, node)) => (&node.name, addresses(node.net)),
            None => (HUB_HOST, addresses(self.hub_apart())),
        }
    }
}

/// The host of a hub apart.
pub(crate) const HUB_HOST: &str = "hub";

impl Cluster {
    fn new(spec: &ClusterSpec, number: u8) -> Self {
        let several = |what: &str, count: u32| -> Vec<String> {
            match count {
                1 => vec![what.to_owned()],
                _ => (1..=count).map(|index| format!("{what}-{index}")).collect(),
            }
        };
        let gateways = several("gateway", spec.gateways.0);
        let count = u8::try_from(gateways.len()).unwrap_or(u8::MAX);
        let pods = u8::try_from(spec.pods.0).unwrap_or(u8::MAX);
        let roles = gateways.into_iter().chain(several("worker", spec.workers.0));
        let mut cluster = Self {
            name: spec.name.as_str().to_owned(),
            number,
            families: spec.families,
            mtu: spec.mtu.0,
            uplink: spec.uplink.clone(),
            nodes: Vec::new(),
        };
        let node = |(role, index)| Node { gateway: index < count, ..Node::new(&cluster, role, index, pods) };
        cluster.nodes = roles.zip(0..).map(node).collect();
        cluster
    }

    /// The namespace of its router.
    pub(crate) fn router_name(&self) -> String {
        format!("{}-router", self.name)
    }

    /// The namespace of the outer one of two NATs in a row.
    pub(crate) fn carrier_name(&self) -> String {
        format!("{}-carrier", self.name)
    }

    /// The address that a NAT gives to all that leaves the cluster.
    pub(crate) fn public(&self) -> Option<IpAddr> {
        let outside = addresses(self.router_outside());
        if self.uplink.nat.0.is_empty() { None } else { outside.v4 }
    }

    pub(crate) fn all_pods(&self) -> impl Iterator<Item = (&Node, &Pod)> {
        self.nodes.iter().flat_map(|node| node.pods.iter().map(move |pod| (node, pod)))
    }

    /// The families that both clusters have.
    pub(crate) fn common(&self, other: &Self) -> Vec<Family> {
        self.families.list().filter(|family| other.families.has(*family)).collect()
    }
}

impl Node {
    fn new(cluster: &Cluster, role: String, index: u8, pods: u8) -> Self {
        let name = format!("{}-{role}", cluster.name);
        let pod = |pod: u8| Pod {
            role: format!("pod-{pod}"),
            name: format!("{name}-pod-{pod}"),
            addresses: cluster.pod_address(index, pod),
        };
        Self {
            gateway: false,
            net: cluster.node_address(index),
            pod_net: cluster.node_pods(index),
            pods: (1..=pods).map(pod).collect(),
            role,
            name,
        }
    }

    /// Its address on the LAN.
    pub(crate) fn addresses(&self) -> PerFamily<IpAddr> {
        addresses(self.net)
    }
}

#[cfg(test)]
mod tests {
    use subm_types::tunnel_networks;

    use super::*;

    fn topology(families: &str, counts: [u32; 3]) -> Topology {
        let [clusters, workers, pods] = counts;
        let cluster = |name: &&str| ClusterSpec {
            families: families.parse().unwrap(),
            workers: workers.to_string().parse().unwrap(),
            pods: pods.to_string().parse().unwrap(),
            ..ClusterSpec::named(name.parse().unwrap())
        };
        let clusters = CLUSTERS.iter().take(usize::try_from(clusters).unwrap()).map(cluster).collect();
        let spec = Spec { hub: HubPlace::Apart, clusters };
        spec.check().unwrap();
        Topology::new(&spec)
    }

    #[test]
    fn paths_lead_to_namespaces() {
        let topology = topology("ipv4", [2, 1, 2]);
        for (path, host) in [
            ("east/worker/pod-1", "east-worker-pod-1"),
            ("west/gateway", "west-gateway"),
            ("east", "east"),
            ("hub", "hub"),
        ] {
            assert_eq!(topology.resolve(&path.parse().unwrap()).unwrap().host(), host);
        }
    }

    #[test]
    fn a_wrong_path_names_what_there_is() {
        let topology = topology("ipv4", [2, 1, 2]);
        let wrong = topology.resolve(&"east/gate".parse().unwrap()).unwrap_err();
        assert_eq!(wrong.to_string(), "there is no east/gate in the playground: there are gateway, worker");
        assert!("east//pod-1".parse::<Path>().is_err());
    }

    #[test]
    fn no_two_networks_overlap() {
        let topology = topology("dual", [8, 3, 4]);
        let mut networks: Vec<IpNet> = tunnel_networks().iter().collect();
        networks.extend(addresses::networks(topology.wan()).iter().map(|(_, net)| *net));
        for cluster in &topology.clusters {
            for nets in
                [cluster.lan(), cluster.pods(), cluster.services(), addresses::networks(cluster.wan_end())]
            {
                networks.extend(nets.iter().map(|(_, net)| *net));
            }
        }
        for (index, one) in networks.iter().enumerate() {
            let overlapping =
                networks[index + 1..].iter().find(|other| one.contains(*other) || other.contains(one));
            assert_eq!(overlapping, None, "{one}");
        }
    }

    #[test]
    fn no_two_hosts_have_one_name_or_one_address() {
        let topology = topology("dual", [8, 20, 20]);
        let mut names: Vec<&str> = topology.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        let mut all: Vec<IpAddr> = Vec::new();
        for (cluster, node) in topology.nodes() {
            names.push(&node.name);
            names.extend(node.pods.iter().map(|pod| pod.name.as_str()));
            let pods = node.pods.iter().map(|pod| pod.addresses);
            for own in pods.chain([node.addresses(), addresses(node.pod_net)]) {
                all.extend(own.iter().map(|(_, address)| *address));
            }
            for (family, net) in node.net.iter() {
                assert!(cluster.lan().get(family).unwrap().contains(&net.addr()));
                assert!(cluster.pods().get(family).unwrap().contains(node.pod_net.get(family).unwrap()));
            }
        }
        let (many, addresses) = (names.len(), all.len());
        names.sort_unstable();
        names.dedup();
        all.sort_unstable();
        all.dedup();
        assert_eq!((names.len(), all.len()), (many, addresses));
    }

    #[test]
    fn what_cannot_be_together_is_refused_with_both_names() {
        let spec = |clusters: &[(&str, &str)], hub: &str| {
            let cluster = |(name, families): &(&str, &str)| ClusterSpec {
                families: families.parse().unwrap(),
                ..ClusterSpec::named(name.parse().unwrap())
            };
            Spec { hub: hub.parse().unwrap(), clusters: clusters.iter().map(cluster).collect() }
        };
        for (clusters, hub, said) in [
            (vec![("east", "ipv4")], "apart", "a playground has 2 to 8 clusters, not 1"),
            (
                vec![("a", "ipv4"), ("a", "ipv4")],
                "apart",
                "two clusters are called a: give each a name of its own",
            ),
            (
                vec![("a", "ipv4"), ("a-b", "ipv4")],
                "apart",
                "the cluster a-b would have hosts with names of the cluster a: choose another name",
            ),
            (
                vec![("a", "ipv4"), ("b", "ipv6")],
                "apart",
                "a (ipv4) and b (ipv6) have no address family in common: let one of them be dual",
            ),
            (
                vec![("a", "ipv4"), ("b", "dual")],
                "a/attic",
                "the hub cannot be on a/attic: there are the nodes a/gateway, a/worker, b/gateway, b/worker",
            ),
        ] {
            assert_eq!(spec(&clusters, hub).check().unwrap_err().to_string(), said);
        }
        assert_eq!(spec(&[("a", "ipv4"), ("b", "dual")], "b/worker").check(), Ok(()));
    }
}
