//! The hosts of the playground and the wires between them, before any cluster runs on them.

use std::collections::BTreeMap;

use anyhow::Context;
use ipnet::{IpNet, Ipv4Net};
use subm_lab::{Host, LabError, Veth};

use crate::topology::{Cluster, HUB, MTU, Node, Pod, Topology, WAN};

/// The uplink of every host.
pub(crate) const UPLINK: &str = "eth0";
/// The bridge of a LAN or the WAN.
pub(crate) const SWITCH: &str = "lan0";
/// The link of a router to the WAN.
pub(crate) const OUTSIDE: &str = "wan0";
/// The bridge of a node's pods.
pub(crate) const CNI_BRIDGE: &str = "cni0";

/// Every host by name.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) topology: Topology,
    hosts: BTreeMap<String, Host>,
}

impl World {
    /// Makes all hosts and lays all wires, except those of the pods.
    pub(crate) async fn build(topology: Topology) -> anyhow::Result<Self> {
        let mut world = Self { topology, hosts: BTreeMap::new() };
        let wan = world.add("wan").await?;
        wan.add_bridge(SWITCH, MTU).await?;
        let hub = world.add("hub").await?;
        plug(&hub, UPLINK, &wan, net(HUB, WAN)).await?;
        for cluster in world.topology.clusters.clone() {
            world.add_cluster(&cluster, &wan).await.with_context(|| format!("cluster {}", cluster.name))?;
        }
        world.route().await?;
        Ok(world)
    }

    /// A host that exists.
    pub(crate) fn host(&self, name: &str) -> anyhow::Result<&Host> {
        self.hosts.get(name).with_context(|| format!("there is no host {name}"))
    }

    async fn add(&mut self, name: &str) -> Result<Host, LabError> {
        let host = Host::create(name).await?;
        self.hosts.insert(name.to_owned(), host.clone());
        Ok(host)
    }

    async fn add_cluster(&mut self, cluster: &Cluster, wan: &Host) -> Result<(), LabError> {
        let router = self.add(&cluster.router_name()).await?;
        router.forward_packets()?;
        router.add_bridge(SWITCH, MTU).await?;
        router.add_address(SWITCH, net(cluster.router(), cluster.lan())).await?;
        plug(&router, OUTSIDE, wan, net(cluster.router_outside(), WAN)).await?;
        let api = self.add(&cluster.name).await?;
        plug(&api, UPLINK, &router, net(cluster.api(), cluster.lan())).await?;
        api.add_route(default_route(), cluster.router()).await?;
        for node in &cluster.nodes {
            let host = self.add(&node.name).await?;
            harden(&host)?;
            plug(&host, UPLINK, &router, net(node.address, cluster.lan())).await?;
            host.add_route(default_route(), cluster.router()).await?;
            for pod in &node.pods {
                self.add(&pod.name).await?;
            }
        }
        Ok(())
    }

    /// Teaches routers and the hub the ways to the LANs. Pods and services are known to nobody outside.
    async fn route(&self) -> anyhow::Result<()> {
        for cluster in &self.topology.clusters {
            let (to, via) = (cluster.lan(), cluster.router_outside());
            self.host("hub")?.add_route(to, via).await?;
            for other in self.topology.clusters.iter().filter(|other| *other != cluster) {
                self.host(&other.router_name())?.add_route(to, via).await?;
            }
        }
        Ok(())
    }
}

/// Nodes check sources strictly, as many distributions have it, and let packets pass.
fn harden(host: &Host) -> Result<(), LabError> {
    for link in ["all", "default"] {
        host.sysctl(&format!("net/ipv4/conf/{link}/rp_filter"), "1")?;
    }
    host.forward_packets()
}

/// Connects a host to the switch of another and gives it an address there.
pub(crate) async fn plug(host: &Host, link: &str, switch: &Host, address: IpNet) -> Result<(), LabError> {
    let port = port(host.name());
    Veth { here: (host, link), there: (switch, &port), mtu: MTU }.lay().await?;
    switch.attach(&port, SWITCH).await?;
    host.add_address(link, address).await
}

/// Lays the wire of a pod, as a CNI plugin does: one end in the pod, the other on the bridge of its node.
pub(crate) async fn connect_pod(node: (&Node, &Host), pod: (&Pod, &Host)) -> Result<(), LabError> {
    let ((node, node_host), (pod, pod_host)) = (node, pod);
    let port = veth_of(pod);
    Veth { here: (node_host, &port), there: (pod_host, UPLINK), mtu: MTU }.lay().await?;
    node_host.attach_hairpin(&port, CNI_BRIDGE).await?;
    pod_host.add_address(UPLINK, net(pod.address, node.pod_cidr)).await?;
    pod_host.add_route(default_route(), node.pod_gateway()).await
}

/// The node's end of a pod's wire.
pub(crate) fn veth_of(pod: &Pod) -> String {
    format!("veth-{}", pod.role)
}

/// The name of a host's port on a switch: link names have 15 bytes at most.
fn port(host: &str) -> String {
    host.chars().take(15).collect()
}

pub(crate) fn net(address: std::net::Ipv4Addr, within: Ipv4Net) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(address, within.prefix_len()))
}

fn default_route() -> Ipv4Net {
    Ipv4Net::default()
}
