//! The Endpoints that a node's plan rests on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use subm_peers::{Claim, Host, View};
use subm_types::{CidrSet, ClusterId, Endpoint, Problem};

use crate::{Node, NodeView};

/// The Endpoints that the plan rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remotes {
    /// The active gateway of this cluster.
    pub local: Option<Endpoint>,
    /// The one Endpoint that is followed of every other cluster.
    pub followed: BTreeMap<ClusterId, Endpoint>,
    /// Networks of remote clusters, whether or not an Endpoint leads to them now.
    pub closed: BTreeSet<IpNet>,
    /// What was left out, and why.
    pub problems: Vec<Problem>,
}

impl Remotes {
    /// Every network that is reached through a followed Endpoint.
    pub fn networks(&self) -> BTreeSet<IpNet> {
        self.followed.values().flat_map(|endpoint| endpoint.subnets.iter().map(IpNet::trunc)).collect()
    }

    /// Addresses of followed gateways that lie inside their own cluster's networks, with the Endpoint. One inside
    /// another's would take that cluster's addresses out of what never leaves in clear.
    pub fn gateways_inside(&self) -> Vec<(IpAddr, &Endpoint)> {
        let inside = |endpoint: &Endpoint| -> BTreeSet<IpAddr> {
            let own = endpoint.subnet_set();
            let addresses = endpoint.private_ips.iter().chain(endpoint.public_ips.iter());
            addresses.map(|(_, address)| *address).filter(|address| own.contains(*address)).collect()
        };
        let pairs = |endpoint| inside(endpoint).into_iter().map(move |address| (address, endpoint));
        self.followed.values().flat_map(pairs).collect()
    }
}

/// Chooses one Endpoint of each cluster and leaves out those that are not believed.
pub fn accept(view: &NodeView) -> Remotes {
    let claim = |(cluster, networks): (&ClusterId, &CidrSet)| {
        (cluster.clone(), Claim { networks: networks.clone(), uid: None })
    };
    let peers = subm_peers::accept(&View {
        cluster: &view.cluster,
        uid: None,
        networks: view.local_cidrs(),
        hosts: hosts(view),
        uplinks: uplinks(view),
        endpoints: &view.endpoints,
        claims: &view.claims.iter().map(claim).collect(),
    });
    let followed = peers.followed.into_iter().map(|endpoint| (endpoint.cluster.clone(), endpoint));
    Remotes {
        local: peers.local,
        followed: followed.collect(),
        closed: peers.closed,
        problems: peers.problems,
    }
}

fn hosts(view: &NodeView) -> Vec<Host> {
    let of_node = |node: &Node| -> Vec<Host> {
        let name = format!("node {}", node.name);
        node.internal_ips.iter().map(|(_, address)| Host { name: name.clone(), address: *address }).collect()
    };
    view.nodes.iter().flat_map(of_node).collect()
}

fn uplinks(view: &NodeView) -> CidrSet {
    let own = view.nodes.iter().filter(|node| node.name == view.node);
    view.facts.networks_beside(own.flat_map(|node| node.internal_ips.iter().map(|(_, address)| *address)))
}
