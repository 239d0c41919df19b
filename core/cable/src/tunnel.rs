//! What a driver plans.

use std::collections::BTreeMap;
use std::net::IpAddr;

use subm_plan::NodePlan;
use subm_types::{CableId, CidrSet, Endpoint, PublicKey};

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
}

/// The cables of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CablePlan {
    /// The state of this node.
    pub node: NodePlan,
    /// The tunnels in it.
    pub tunnels: BTreeMap<CableId, Tunnel>,
}
