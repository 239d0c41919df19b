//! Which clusters, nodes and pods there are, and their addresses: all follow from the names.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// Names of clusters in the order in which they are given out.
const CLUSTERS: [&str; 8] = ["east", "west", "north", "south", "mars", "venus", "pluto", "ceres"];
/// How many clusters there are names for.
pub(crate) const MOST_CLUSTERS: i64 = 8;
/// The MTU of every wire.
pub(crate) const MTU: u32 = 1500;
/// The hub's API on the WAN.
pub(crate) const HUB: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);
/// The WAN.
pub(crate) const WAN: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 30, 0, 0), 24);
/// The port of every API server.
pub(crate) const API_PORT: u16 = 6443;
/// The service of echo pods, in the namespace `default`.
pub(crate) const ECHO_SERVICE: &str = "echo";

/// The whole playground.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topology {
    pub(crate) clusters: Vec<Cluster>,
}

/// One cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    /// 1 for the first; its networks carry it.
    number: u8,
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
    pub(crate) address: Ipv4Addr,
    /// The range of its pods.
    pub(crate) pod_cidr: Ipv4Net,
    pub(crate) pods: Vec<Pod>,
}

/// One pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    /// The name on its node: `pod-1`.
    pub(crate) role: String,
    /// The Kubernetes name, and that of its namespace: `east-gateway-pod-1`.
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
}

/// How large a playground is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Size {
    pub(crate) clusters: u8,
    pub(crate) workers: u8,
    pub(crate) pods: u8,
}

impl Topology {
    /// Clusters of one gateway node and some workers each.
    pub(crate) fn new(size: Size) -> Self {
        let clusters =
            CLUSTERS.iter().zip(1..=size.clusters).map(|(name, number)| Cluster::new(name, number, size));
        Self { clusters: clusters.collect() }
    }

    pub(crate) fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name == name)
    }

    /// All nodes, with their clusters.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&Cluster, &Node)> {
        self.clusters.iter().flat_map(|cluster| cluster.nodes.iter().map(move |node| (cluster, node)))
    }

    /// What is meant by a path like `east/worker/pod-1`, `east/worker`, `east` or `hub`.
    pub(crate) fn resolve(&self, path: &Path) -> Result<Target<'_>, UnknownPlace> {
        let known = |wanted: &str, known: Vec<&str>| UnknownPlace {
            wanted: wanted.to_owned(),
            known: known.join(", "),
        };
        if *path == Path::of(&["hub"]) {
            return Ok(Target::Hub);
        }
        let name = path.0.first().map_or("", String::as_str);
        let cluster = self.cluster(name).ok_or_else(|| {
            known(name, self.clusters.iter().map(|cluster| cluster.name.as_str()).chain(["hub"]).collect())
        })?;
        let Some(role) = path.0.get(1) else { return Ok(Target::Cluster(cluster)) };
        let node = cluster.nodes.iter().find(|node| node.role == *role).ok_or_else(|| {
            known(&path.to_string(), cluster.nodes.iter().map(|node| node.role.as_str()).collect())
        })?;
        let Some(role) = path.0.get(2) else { return Ok(Target::Node(cluster, node)) };
        let pod = node.pods.iter().find(|pod| pod.role == *role).ok_or_else(|| {
            known(&path.to_string(), node.pods.iter().map(|pod| pod.role.as_str()).collect())
        })?;
        Ok(Target::Pod(cluster, node, pod))
    }
}

impl Cluster {
    fn new(name: &str, number: u8, size: Size) -> Self {
        let workers = (1..=size.workers).map(|index| match size.workers {
            1 => "worker".to_owned(),
            _ => format!("worker-{index}"),
        });
        let roles = std::iter::once("gateway".to_owned()).chain(workers);
        let nodes =
            roles.zip(0..).map(|(role, index)| Node::new(name, number, index, role, size.pods)).collect();
        Self { name: name.to_owned(), number, nodes }
    }

    /// The network of its nodes.
    pub(crate) fn lan(&self) -> Ipv4Net {
        Ipv4Net::new_assert(Ipv4Addr::new(172, 31, self.number, 0), 24)
    }

    /// The range of its pods.
    pub(crate) fn pods(&self) -> Ipv4Net {
        Ipv4Net::new_assert(Ipv4Addr::new(10, self.number, 0, 0), 16)
    }

    /// The range of its services.
    pub(crate) fn services(&self) -> Ipv4Net {
        Ipv4Net::new_assert(Ipv4Addr::new(100, 64 + self.number, 0, 0), 16)
    }

    /// The address of the echo service.
    pub(crate) fn echo_service(&self) -> Ipv4Addr {
        Ipv4Addr::new(100, 64 + self.number, 0, 80)
    }

    /// Its router on the LAN.
    pub(crate) fn router(&self) -> Ipv4Addr {
        Ipv4Addr::new(172, 31, self.number, 1)
    }

    /// Its router on the WAN.
    pub(crate) fn router_outside(&self) -> Ipv4Addr {
        Ipv4Addr::new(172, 30, 0, 10 + self.number)
    }

    /// Its API server on the LAN.
    pub(crate) fn api(&self) -> Ipv4Addr {
        Ipv4Addr::new(172, 31, self.number, 2)
    }

    /// The namespace of its router.
    pub(crate) fn router_name(&self) -> String {
        format!("{}-router", self.name)
    }

    /// Its gateway node.
    pub(crate) fn gateway(&self) -> &Node {
        // INVARIANT: `new` makes the gateway first.
        &self.nodes[0]
    }

    pub(crate) fn all_pods(&self) -> impl Iterator<Item = (&Node, &Pod)> {
        self.nodes.iter().flat_map(|node| node.pods.iter().map(move |pod| (node, pod)))
    }
}

impl Node {
    fn new(cluster: &str, number: u8, index: u8, role: String, pods: u8) -> Self {
        let name = format!("{cluster}-{role}");
        let pod = |pod: u8| Pod {
            role: format!("pod-{pod}"),
            name: format!("{name}-pod-{pod}"),
            address: Ipv4Addr::new(10, number, index, 1 + pod),
        };
        Self {
            gateway: index == 0,
            address: Ipv4Addr::new(172, 31, number, 10 + index),
            pod_cidr: Ipv4Net::new_assert(Ipv4Addr::new(10, number, index, 0), 24),
            pods: (1..=pods).map(pod).collect(),
            role,
            name,
        }
    }

    /// Its address in its pods' network.
    pub(crate) fn pod_gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.pod_cidr.network()) + 1)
    }
}

/// A place in the playground as a person writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Path(Vec<String>);

impl Path {
    pub(crate) fn of(parts: &[&str]) -> Self {
        Self(parts.iter().map(|&part| part.to_owned()).collect())
    }

    /// The path without its last part, and that part.
    pub(crate) fn split_last(&self) -> Option<(Self, &str)> {
        let (last, rest) = self.0.split_last()?;
        Some((Self(rest.to_vec()), last))
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<String> = text.trim_matches('/').split('/').map(str::to_owned).collect();
        let complete = parts.len() <= 3 && parts.iter().all(|part| !part.is_empty());
        if complete {
            Ok(Self(parts))
        } else {
            Err("write it like east/worker/pod-1, east/worker, east or hub".to_owned())
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    Hub,
    /// The place of the cluster's API server.
    Cluster(&'a Cluster),
    Node(&'a Cluster, &'a Node),
    Pod(&'a Cluster, &'a Node, &'a Pod),
}

impl Target<'_> {
    /// The name of its network namespace.
    pub(crate) fn host(&self) -> &str {
        match self {
            Self::Hub => "hub",
            Self::Cluster(cluster) => &cluster.name,
            Self::Node(_, node) => &node.name,
            Self::Pod(_, _, pod) => &pod.name,
        }
    }

    /// The API server that people mean there.
    pub(crate) fn api(&self) -> &str {
        match self {
            Self::Hub => "hub",
            Self::Cluster(cluster) | Self::Node(cluster, _) | Self::Pod(cluster, ..) => &cluster.name,
        }
    }
}

/// A path that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownPlace {
    wanted: String,
    known: String,
}

impl fmt::Display for UnknownPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no {} in the playground: there are {}", self.wanted, self.known)
    }
}

impl std::error::Error for UnknownPlace {}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { clusters: 2, workers: 1, pods: 2 };

    #[test]
    fn paths_lead_to_namespaces() {
        let topology = Topology::new(SIZE);
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
        let topology = Topology::new(SIZE);
        let wrong = topology.resolve(&"east/gate".parse().unwrap()).unwrap_err();
        assert_eq!(wrong.to_string(), "there is no east/gate in the playground: there are gateway, worker");
        assert!("east//pod-1".parse::<Path>().is_err());
    }

    #[test]
    fn no_two_networks_overlap() {
        let topology = Topology::new(Size { clusters: 8, workers: 3, pods: 4 });
        let mut networks: Vec<Ipv4Net> = vec![WAN];
        for cluster in &topology.clusters {
            networks.extend([cluster.lan(), cluster.pods(), cluster.services()]);
        }
        for (index, one) in networks.iter().enumerate() {
            assert!(networks[index + 1..].iter().all(|other| !one.contains(other) && !other.contains(one)));
        }
    }
}
