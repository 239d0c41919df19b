//! What a driver plans.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use subm_plan::ipsec::{ConnectionName, IpsecPlan};
use subm_plan::{LinkKind, NodePlan};
use subm_types::{CableId, CidrSet, Endpoint, Family, Planned, Problem, PublicKey};

/// Between which addresses a tunnel is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbeAddresses {
    /// The address behind the remote gateway that answers.
    pub to: IpAddr,
    /// The network plug-in's address on this node, where it has one.
    pub from: Option<IpAddr>,
}

/// One cable to one remote gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// The remote end.
    pub endpoint: Endpoint,
    /// What is reached through it.
    pub networks: CidrSet,
    /// Where its packets are sent.
    pub using_ip: IpAddr,
    /// Whether a NAT lies between.
    pub using_nat: bool,
    /// How it is probed; absent if the remote names no address for that, or none within its networks.
    pub probe: Option<ProbeAddresses>,
    /// What the driver knows the other end by, where it has keys: the evidence stands under it.
    pub peer: Option<PublicKey>,
    /// The connections that it is made of, where an IKE daemon keeps them.
    pub pairs: Vec<TunnelPair>,
}

/// What one connection of an IKE daemon joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelPair {
    /// The connection: the evidence stands under its name.
    pub name: ConnectionName,
    /// A subnet of this cluster.
    pub local: IpNet,
    /// A subnet of the other.
    pub remote: IpNet,
}

/// The cables of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CablePlan {
    /// The state of this node.
    pub node: NodePlan,
    /// What an IKE daemon shall keep.
    pub ipsec: IpsecPlan,
    /// The tunnels in it.
    pub tunnels: BTreeMap<CableId, Tunnel>,
    /// Those that there cannot be: nothing of ours leads to these ends.
    pub refused: BTreeMap<CableId, Refused>,
}

/// An end that is believed and that no tunnel leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The remote end.
    pub endpoint: Endpoint,
    /// Why, and what can be done.
    pub problem: Problem,
}

/// What can be said with a plan.
pub(crate) trait Refuse {
    /// Leaves a tunnel out.
    fn refuse(&mut self, id: CableId, endpoint: &Endpoint, problem: Problem);

    /// Leaves the tunnels of an end out, of these families.
    fn refuse_all(
        &mut self,
        families: impl IntoIterator<Item = Family>,
        endpoint: &Endpoint,
        problem: &Problem,
    ) {
        for family in families {
            let (cluster, path) = (endpoint.cluster.clone(), endpoint.cable_name.clone());
            self.refuse(CableId { cluster, family, path }, endpoint, problem.clone());
        }
    }
}

impl Refuse for Planned<CablePlan> {
    fn refuse(&mut self, id: CableId, endpoint: &Endpoint, problem: Problem) {
        // One cause may hold for both families.
        if !self.problems.contains(&problem) {
            self.problems.push(problem.clone());
        }
        self.value.refused.insert(id, Refused { endpoint: endpoint.clone(), problem });
    }
}

impl CablePlan {
    /// Whether the kernel carries the packets of WireGuard cables; nothing where there are no such cables.
    pub fn wireguard_in_kernel(&self) -> Option<bool> {
        let name = self.node.wireguard.keys().next()?;
        Some(self.node.links.get(name)?.kind == LinkKind::Wireguard)
    }
}
