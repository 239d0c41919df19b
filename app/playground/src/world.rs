//! The hosts of the playground and the wires between them, before any cluster runs on them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Context;
use ipnet::IpNet;
use subm_lab::{Host, Impairment, LabError, SourcePort, Transport, Veth};
use subm_types::PerFamily;

use crate::topology::{Cluster, HUB_HOST, Loss, NatBox, Node, Pod, Rate, Topology, addresses, everything};

/// The uplink of every host.
pub(crate) const UPLINK: &str = "eth0";
/// The bridge of a LAN, or of the hub and guests on the WAN.
pub(crate) const SWITCH: &str = "lan0";
/// The link of a router to the WAN.
pub(crate) const OUTSIDE: &str = "wan0";
/// The link of an outer NAT to the inner one.
const INSIDE: &str = "lan0";
/// The host that stands for everything between the clusters.
pub(crate) const WAN: &str = "wan";
/// The MTU of the WAN beside the clusters' uplinks.
pub(crate) const ETHERNET: u32 = 1500;
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
        let wan = world.add(WAN).await?;
        wan.forward_packets()?;
        wan.add_bridge(SWITCH, ETHERNET).await?;
        give(&wan, SWITCH, world.topology.wan()).await?;
        if world.topology.hub().0 == HUB_HOST {
            let (hub, net) = (world.add(HUB_HOST).await?, world.topology.hub_apart());
            world.visit_wan(&hub, net).await?;
        }
        for cluster in world.topology.clusters.clone() {
            world.add_cluster(&cluster, &wan).await.with_context(|| format!("cluster {}", cluster.name))?;
        }
        Ok(world)
    }

    /// Connects a host to the WAN beside the hub.
    pub(crate) async fn visit_wan(&self, host: &Host, net: PerFamily<IpNet>) -> anyhow::Result<()> {
        let wan = self.host(WAN)?;
        plug((host, net), (wan, &port(host.name())), ETHERNET).await?;
        Ok(route_by(host, self.topology.wan()).await?)
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
        router.add_bridge(SWITCH, cluster.mtu).await?;
        give(&router, SWITCH, cluster.router()).await?;
        self.lay_uplink(cluster, &router, wan).await?;
        let api = self.add(&cluster.name).await?;
        plug((&api, cluster.api()), (&router, "api"), cluster.mtu).await?;
        route_by(&api, cluster.router()).await?;
        for node in &cluster.nodes {
            let host = self.add(&node.name).await?;
            harden(&host)?;
            plug((&host, node.net), (&router, &node.role), cluster.mtu).await?;
            route_by(&host, cluster.router()).await?;
            for pod in &node.pods {
                self.add(&pod.name).await?;
            }
        }
        Ok(())
    }

    /// Lays the wire between a cluster and the WAN, with the boxes on it. The WAN knows nodes by their own addresses,
    /// unless a NAT hides them; pods and services are known to nobody outside.
    async fn lay_uplink(&mut self, cluster: &Cluster, router: &Host, wan: &Host) -> Result<(), LabError> {
        let boxes = &cluster.uplink.nat.0;
        let outermost =
            if boxes.len() > 1 { self.add_carrier(cluster, router).await? } else { router.clone() };
        lay_outermost(cluster, &outermost, wan).await?;
        match &boxes[..] {
            [] => route_lan(wan, cluster, cluster.router_outside()).await,
            [only] => translate(&outermost, *only, gateway(cluster)).await,
            [inner, outer, ..] => {
                translate(router, *inner, gateway(cluster)).await?;
                translate(&outermost, *outer, addresses(cluster.carrier().0).v4).await
            }
        }
    }

    /// Makes the outer one of two NATs, before any translation.
    async fn add_carrier(&mut self, cluster: &Cluster, router: &Host) -> Result<Host, LabError> {
        let carrier = self.add(&cluster.carrier_name()).await?;
        carrier.forward_packets()?;
        let ((inner, outer), mtu) = (cluster.carrier(), cluster.uplink.mtu.0);
        Veth { here: (router, OUTSIDE), there: (&carrier, INSIDE), mtu }.lay().await?;
        give(router, OUTSIDE, inner).await?;
        give(&carrier, INSIDE, outer).await?;
        route_by(router, outer).await?;
        route_lan(&carrier, cluster, inner).await?;
        Ok(carrier)
    }
}

/// Lays the wire to the WAN, as good or bad as it is to be.
async fn lay_outermost(cluster: &Cluster, outermost: &Host, wan: &Host) -> Result<(), LabError> {
    let (port, uplink) = (port(&cluster.name), &cluster.uplink);
    let wire = Veth { here: (outermost, OUTSIDE), there: (wan, &port), mtu: uplink.mtu.0 };
    wire.lay().await?;
    let (Loss(lost_of_100_000), Rate(bits_per_second)) = (uplink.loss, uplink.rate);
    if lost_of_100_000 > 0 || bits_per_second.is_some() {
        wire.impair(&Impairment { lost_of_100_000, bits_per_second }).await?;
    }
    give(outermost, OUTSIDE, cluster.router_outside()).await?;
    give(wan, &port, cluster.wan_end()).await?;
    route_by(outermost, cluster.wan_end()).await
}

/// Where the port of cables leads to.
fn gateway(cluster: &Cluster) -> Option<IpAddr> {
    cluster.nodes.first().and_then(|node| node.addresses().v4)
}

/// The port of cables, on gateways and on NATs that forward it.
pub(crate) const CABLE_PORT: u16 = 4500;
/// The port of NAT discovery, likewise.
const DISCOVERY_PORT: u16 = 4490;

async fn translate(host: &Host, kind: NatBox, inside: Option<IpAddr>) -> Result<(), LabError> {
    let port = match kind {
        NatBox::Masquerade | NatBox::Forward => SourcePort::Kept,
        NatBox::MasqueradeRandom => SourcePort::Random,
    };
    host.masquerade(OUTSIDE, port).await?;
    match (kind, inside) {
        (NatBox::Forward, Some(inside)) => {
            for port in [CABLE_PORT, DISCOVERY_PORT] {
                host.forward_port(OUTSIDE, (Transport::Udp, port), (inside, port).into()).await?;
            }
            Ok(())
        }
        (NatBox::Forward | NatBox::Masquerade | NatBox::MasqueradeRandom, _) => Ok(()),
    }
}

/// Teaches a host the way to a cluster's nodes.
async fn route_lan(host: &Host, cluster: &Cluster, by: PerFamily<IpNet>) -> Result<(), LabError> {
    for (family, net) in cluster.lan().iter() {
        if let Some(via) = by.get(family) {
            host.add_route(*net, via.addr()).await?;
        }
    }
    Ok(())
}

/// Nodes check sources strictly, as many distributions have it, and let packets pass.
fn harden(host: &Host) -> Result<(), LabError> {
    for link in ["all", "default"] {
        host.sysctl(&format!("net/ipv4/conf/{link}/rp_filter"), "1")?;
    }
    host.forward_packets()
}

async fn give(host: &Host, link: &str, addresses: PerFamily<IpNet>) -> Result<(), LabError> {
    for (_, address) in addresses.iter() {
        host.add_address(link, *address).await?;
    }
    Ok(())
}

/// Sends everything by a router.
async fn route_by(host: &Host, router: PerFamily<IpNet>) -> Result<(), LabError> {
    for (family, router) in router.iter() {
        host.add_route(everything(family), router.addr()).await?;
    }
    Ok(())
}

/// Connects a host to a port of the switch of another and gives it addresses there.
async fn plug(host: (&Host, PerFamily<IpNet>), switch: (&Host, &str), mtu: u32) -> Result<(), LabError> {
    let ((host, addresses), (switch, port)) = (host, switch);
    Veth { here: (host, UPLINK), there: (switch, port), mtu }.lay().await?;
    switch.attach(port, SWITCH).await?;
    give(host, UPLINK, addresses).await
}

/// Lays the wire of a pod, as a CNI plugin does: one end in the pod, the other on the bridge of its node.
pub(crate) async fn connect_pod(node: (&Node, &Host), pod: (&Pod, &Host), mtu: u32) -> Result<(), LabError> {
    let ((node, node_host), (pod, pod_host)) = (node, pod);
    let port = veth_of(pod);
    Veth { here: (node_host, &port), there: (pod_host, UPLINK), mtu }.lay().await?;
    node_host.attach_hairpin(&port, CNI_BRIDGE).await?;
    for (family, address) in pod.addresses.iter() {
        let Some(within) = node.pod_net.get(family) else { continue };
        pod_host.add_address(UPLINK, IpNet::new_assert(*address, within.prefix_len())).await?;
    }
    route_by(pod_host, node.pod_net).await
}

/// The node's end of a pod's wire.
pub(crate) fn veth_of(pod: &Pod) -> String {
    format!("veth-{}", pod.role)
}

/// The name of a host's port on a switch: link names have 15 bytes at most.
fn port(host: &str) -> String {
    host.chars().take(15).collect()
}
