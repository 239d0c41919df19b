//! What the facts mean for this node: derived once, read by every handler.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use subm_plan::numbers::{IPSEC_OVERHEAD, WIREGUARD_OVERHEAD, vxlan_overhead};
use subm_plan::{LinkFacts, Scope};
use subm_types::{CidrSet, Family, IfName, Mtu, PerFamily};

use crate::overlay::{OverlayAddress, assign};
use crate::{Feature, Node, NodeName, NodeView, Remotes, accept};

/// The link between the nodes of a cluster.
pub(crate) const OVERLAY_LINK: &str = "vx-submariner";

/// What this node is to cross-cluster traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The cables end here.
    Gateway,
    /// Traffic goes to the gateway through the overlay.
    Worker {
        /// The active gateway's node.
        gateway: NodeName,
    },
    /// Nobody is the gateway: traffic goes nowhere.
    NoGateway,
}

/// The network plug-in's interface on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cni {
    /// The interface.
    pub link: IfName,
    /// Its address within the cluster's pod networks.
    pub address: IpAddr,
}

/// Another node, as the overlay reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where encapsulated packets go.
    pub outer: IpAddr,
    /// Its place in the overlay.
    pub place: OverlayAddress,
}

/// This node's end of the overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// This node's place.
    pub place: OverlayAddress,
    /// The source of encapsulated packets, where this node's internal address is on one of its links.
    pub local: Option<IpAddr>,
    /// The link that encapsulated packets leave by.
    pub uplink: IfName,
    /// The family of encapsulated packets.
    pub outer: Family,
    /// What fits inside.
    pub inside: Option<Mtu>,
    /// The MTU of the link. KERNEL: a link below 1,280 bytes has no IPv6, so it may say more than fits inside.
    pub mtu: Option<Mtu>,
    /// Every other node.
    pub peers: BTreeMap<NodeName, Peer>,
    /// Nodes that cannot take part, having no address of the outer family.
    pub left_out: BTreeSet<NodeName>,
}

impl Overlay {
    /// The MTU of routes by the overlay, where it is less than the link's.
    ///
    /// KERNEL: what VXLAN sends over IPv4 is fragmented, so that packets of the least size of IPv6 pass; what it
    /// sends over IPv6 never is.
    pub fn route_mtu(&self, family: Family) -> Option<Mtu> {
        let inside = self.inside.filter(|inside| self.mtu.is_some_and(|link| link > *inside));
        inside.filter(|_| family == Family::V4 || self.outer == Family::V6)
    }
}

/// Why this node has no end of the overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoOverlay {
    /// The kernel has no VXLAN.
    NoVxlan(String),
    /// The Node object is not there.
    NodeUnknown(NodeName),
    /// The Node object has no internal address.
    NoInternalAddress(NodeName, Family),
    /// Every address of the overlay's network belongs to pods.
    NoFreeAddress,
    /// Neither does a link carry the internal address nor is there a default route.
    NoUplink(IpAddr),
}

impl NoOverlay {
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::NoVxlan(_) => "MissingFeature",
            Self::NodeUnknown(_) => "NodeUnknown",
            Self::NoInternalAddress(..) => "NoInternalAddress",
            Self::NoFreeAddress => "NoFreeAddress",
            Self::NoUplink(_) => "NoUplink",
        }
    }
}

impl fmt::Display for NoOverlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVxlan(needs) => write!(f, "the kernel has no VXLAN: {needs}"),
            Self::NodeUnknown(node) => {
                write!(f, "there is no Node {node}; NODE_NAME must be the name of this node's object")
            }
            Self::NoInternalAddress(node, family) => {
                let family = match family {
                    Family::V4 => "IPv4",
                    Family::V6 => "IPv6",
                };
                write!(
                    f,
                    "Node {node} field status.addresses: no InternalIP of {family}; the kubelet must report one"
                )
            }
            Self::NoFreeAddress => {
                f.write_str("the cluster CIDR covers 240.0.0.0/8 and leaves no address for the overlay")
            }
            Self::NoUplink(address) => {
                write!(f, "no link has the address {address} of this node and there is no default route")
            }
        }
    }
}

/// What the facts mean for this node.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    /// The facts.
    pub view: &'a NodeView,
    /// The Endpoints that count.
    pub remotes: Remotes,
    /// Every network that is reached through an Endpoint, as it was published.
    pub networks: BTreeSet<IpNet>,
    /// Every address of a remote cluster, reached or not.
    pub remote: CidrSet,
    /// This cluster's pods and services.
    pub local: CidrSet,
    /// What this node is.
    pub role: Role,
    /// Its end of the overlay, or why it has none.
    pub overlay: Result<Overlay, NoOverlay>,
    /// The network plug-in's interface.
    pub cni: PerFamily<Cni>,
}

impl<'a> Situation<'a> {
    /// Derives everything that handlers ask for.
    pub fn of(view: &'a NodeView) -> Self {
        let remotes = accept(view);
        let networks = remotes.networks();
        let mut cni = PerFamily::default();
        for family in Family::ALL {
            if let Some((link, address)) = view.facts.link_within(&view.cluster_cidrs, family) {
                cni.set(family, Cni { link: link.clone(), address });
            }
        }
        Self {
            remote: remotes.closed.iter().copied().collect(),
            networks,
            local: view.local_cidrs(),
            role: role(view, &remotes),
            overlay: overlay(view),
            cni,
            remotes,
            view,
        }
    }

    /// The families in which there is something remote. A kernel without IPv6 can neither send to it nor be told of it.
    pub fn remote_families(&self) -> impl Iterator<Item = Family> + '_ {
        let known = |family: &Family| *family == Family::V4 || self.view.facts.ipv6_forwarding.is_some();
        let families = Family::ALL.into_iter().filter(known);
        families.filter(|family| !self.remote.of(*family).is_empty())
    }

    /// The families that the overlay carries: those of this cluster's pods and services.
    pub fn carried_families(&self) -> Vec<Family> {
        carried(&self.local)
    }

    /// The families of this cluster's pods.
    pub fn local_families(&self) -> impl Iterator<Item = Family> + '_ {
        Family::ALL.into_iter().filter(|family| !self.view.cluster_cidrs.of(*family).is_empty())
    }

    /// The links that may carry cross-cluster traffic: the overlay and whatever cables the gateway may make.
    pub fn carriers() -> BTreeSet<IfName> {
        let mut links = Scope::gateway().links;
        links.insert(IfName::constant(OVERLAY_LINK));
        links
    }

    /// The active gateway as the overlay reaches it, if this node is not it.
    pub fn gateway_peer(&self) -> Option<&Peer> {
        match &self.role {
            Role::Worker { gateway } => self.overlay.as_ref().ok()?.peers.get(gateway),
            Role::Gateway | Role::NoGateway => None,
        }
    }
}

fn role(view: &NodeView, remotes: &Remotes) -> Role {
    let Some(local) = &remotes.local else { return Role::NoGateway };
    let named = |node: &&Node| node.hostname == local.hostname || node.name.0 == local.hostname.0;
    match view.nodes.iter().filter(named).map(|node| &node.name).min() {
        Some(name) if *name == view.node => Role::Gateway,
        Some(name) => Role::Worker { gateway: name.clone() },
        None => Role::NoGateway,
    }
}

/// The families of these networks; IPv4 where there are none.
fn carried(local: &CidrSet) -> Vec<Family> {
    let v6 = !local.of(Family::V6).is_empty();
    let v4 = !local.of(Family::V4).is_empty() || !v6;
    Family::ALL.into_iter().filter(|family| if *family == Family::V4 { v4 } else { v6 }).collect()
}

/// The family of encapsulated packets: the first that the cluster has, unless all nodes have only the other. Every
/// node must come to the same.
fn outer_family(view: &NodeView) -> Family {
    let wanted = carried(&view.local_cidrs()).first().copied().unwrap_or(Family::V4);
    let has = |family: Family| view.nodes.iter().any(|node| node.internal_ips.get(family).is_some());
    Family::ALL.into_iter().find(|family| !has(wanted) && has(*family)).unwrap_or(wanted)
}

fn overlay(view: &NodeView) -> Result<Overlay, NoOverlay> {
    if let Some(needs) = view.missing.get(&Feature::Vxlan) {
        return Err(NoOverlay::NoVxlan(needs.clone()));
    }
    let places = assign(&view.nodes, &view.local_cidrs());
    let own = view.nodes.iter().filter(|node| node.name == view.node).min_by_key(|node| node.created);
    let own = own.ok_or_else(|| NoOverlay::NodeUnknown(view.node.clone()))?;
    let family = outer_family(view);
    let internal = own.internal_ips.get(family);
    let internal = internal.ok_or_else(|| NoOverlay::NoInternalAddress(view.node.clone(), family))?;
    let place = *places.get(&view.node).ok_or(NoOverlay::NoFreeAddress)?;
    let (uplink, link, local) = uplink(view, family, *internal).ok_or(NoOverlay::NoUplink(*internal))?;
    let inside = link.mtu.map(|mtu| mtu.inside(vxlan_overhead(family)));
    let six = carried(&view.local_cidrs()).contains(&Family::V6);
    let least = if six { Mtu::IPV6_MIN } else { Mtu(0) };
    let peer = |node: &Node| {
        let outer = *node.internal_ips.get(family)?;
        let place = *places.get(&node.name)?;
        Some((node.name.clone(), Peer { outer, place }))
    };
    let others = view.nodes.iter().filter(|node| node.name != view.node);
    let peers: BTreeMap<NodeName, Peer> = others.clone().filter_map(peer).collect();
    let left_out = others.map(|node| &node.name).filter(|name| !peers.contains_key(name)).cloned().collect();
    // KERNEL: bridges with netfilter hand fragments on as one packet and forget how large they were; a router of IPv6
    // with less room refuses it for ever. So the overlay has no more room than any cable.
    let cables = link.mtu.filter(|_| six).map(|mtu| mtu.inside(WIREGUARD_OVERHEAD.max(IPSEC_OVERHEAD)));
    let mtu = inside.map(|inside| cables.map_or(inside, |cables| cables.min(inside)).max(least));
    Ok(Overlay { place, local, uplink: uplink.clone(), outer: family, inside, mtu, peers, left_out })
}

/// The link that carries the internal address; else the default route's, then without a fixed source.
fn uplink(
    view: &NodeView,
    family: Family,
    internal: IpAddr,
) -> Option<(&IfName, &LinkFacts, Option<IpAddr>)> {
    let facts = &view.facts;
    if let Some((name, link)) = facts.link_with(internal) {
        return Some((name, link, Some(internal)));
    }
    let (name, link) = facts.links.get_key_value(facts.default_route.get(family)?)?;
    Some((name, link, None))
}
