//! What the gateway knows, as plain data.

use std::collections::BTreeMap;
use std::net::IpAddr;

use subm_peers::Claim;
use subm_plan::HostFacts;
use subm_types::{Backend, CableId, CidrSet, ClusterId, ClusterUid, Endpoint, PerFamily};

use crate::{IpsecLocal, Way, WireguardCarrier, WireguardKeys};

/// This cluster's own end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// The id of this cluster.
    pub cluster: ClusterId,
    /// What tells it from another cluster of this id, once it is known.
    pub uid: Option<ClusterUid>,
    /// What this cluster publishes: nobody else may claim it.
    pub networks: CidrSet,
    /// Networks of pods: the network plug-in has an address of these on the node.
    pub pod_networks: CidrSet,
    /// Addresses of the uplink.
    pub private_ips: PerFamily<IpAddr>,
    /// What carries the cables.
    pub driver: Backend,
    /// The UDP port of the tunnels.
    pub udp_port: u16,
    /// The keys of the WireGuard driver, once they are known.
    pub wireguard: Option<WireguardKeys>,
    /// What the libreswan driver needs, once it is known.
    pub ipsec: Option<IpsecLocal>,
    /// Where a driver that does not encrypt may send.
    pub in_clear: InClear,
    /// Who is to carry the packets of the WireGuard driver.
    pub wireguard_carrier: WireguardCarrier,
}

/// How far what is not encrypted may go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InClear {
    /// To private addresses only.
    #[default]
    Private,
    /// Over the internet too.
    Anywhere,
}

/// Everything that can influence the cables of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayView {
    /// This end.
    pub local: Local,
    /// All Endpoints that could be read, our own too, in any order.
    pub endpoints: Vec<Endpoint>,
    /// What the clusters claim, as far as it is known.
    pub claims: BTreeMap<ClusterId, Claim>,
    /// The host's network.
    pub facts: HostFacts,
    /// How others are reached, as far as NAT discovery found out. The family is that of the outer packets.
    pub ways: BTreeMap<CableId, Way>,
}
