//! An Endpoint after it was checked: the end of a cable as a cluster publishes it.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::{CidrSet, ClusterId, ClusterUid, Epoch, Family, HostName, IfName, PerFamily, PublicKey};

/// The name of one end of a cable, the identity that peers use: `submariner-cable-east-10-1-2-3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CableName(pub String);

impl fmt::Display for CableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One tunnel: several to one remote cluster, over several families or paths, must stay tellable apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CableId {
    /// The remote cluster.
    pub cluster: ClusterId,
    /// The family of what goes through it.
    pub family: Family,
    /// The remote end.
    pub path: CableName,
}

/// What carries a cable, as Endpoints name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backend {
    /// Unencrypted VXLAN.
    Vxlan,
    /// WireGuard.
    Wireguard,
    /// IPsec by libreswan.
    Libreswan,
    /// A driver that this version does not know.
    Other(String),
}

impl Backend {
    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Vxlan => "vxlan",
            Self::Wireguard => "wireguard",
            Self::Libreswan => "libreswan",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for Backend {
    fn from(name: &str) -> Self {
        match name {
            "vxlan" => Self::Vxlan,
            "wireguard" => Self::Wireguard,
            "libreswan" => Self::Libreswan,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One end of a cable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The name of the Kubernetes object, for messages.
    pub object: String,
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The identity of the end.
    pub cable_name: CableName,
    /// The gateway node.
    pub hostname: HostName,
    /// What is reached through it, in the published order (IPsec connection indices follow it).
    pub subnets: Vec<IpNet>,
    /// Addresses of the node's uplink.
    pub private_ips: PerFamily<IpAddr>,
    /// Addresses as seen from outside.
    pub public_ips: PerFamily<IpAddr>,
    /// Addresses that answer probes through the cable.
    pub health_check_ips: PerFamily<IpAddr>,
    /// Whether a NAT is in front of the node.
    pub nat_enabled: bool,
    /// The cable driver.
    pub backend: Backend,
    /// The UDP port of the tunnel (`udp-port`, default 4500).
    pub udp_port: u16,
    /// The UDP port of NAT discovery; absent means that the peer does not take part.
    pub nat_discovery_port: Option<u16>,
    /// The local link of the cable, where the driver has one (`interface-name`).
    pub interface_name: Option<IfName>,
    /// What a WireGuard cable knows this end by (`publicKey`).
    pub public_key: Option<PublicKey>,
    /// Whether it wants to be called rather than to call (`preferred-server`); absent with drivers that do not say.
    pub preferred_server: Option<bool>,
    /// Which cluster really wrote it.
    pub cluster_uid: Option<ClusterUid>,
    /// The takeover that it stems from; absent for Go members.
    pub epoch: Option<Epoch>,
    /// Seconds since the Unix epoch at which the object was made: the order among Endpoints without an epoch.
    pub created: i64,
}

/// The tunnel port where an Endpoint names none.
pub const DEFAULT_UDP_PORT: u16 = 4500;

impl Endpoint {
    /// The subnets as a set.
    pub fn subnet_set(&self) -> CidrSet {
        self.subnets.iter().copied().collect()
    }

    /// The address that a peer without NAT between sends to.
    pub fn reachable_ip(&self, family: Family) -> Option<IpAddr> {
        let private = self.private_ips.get(family);
        if self.nat_enabled { self.public_ips.get(family).or(private).copied() } else { private.copied() }
    }

    /// Tells whether this Endpoint is followed rather than `other` of the same cluster: the highest epoch wins,
    /// one with an epoch wins over one without, among those without the newest wins; names break ties.
    pub fn supersedes(&self, other: &Self) -> bool {
        let rank = |endpoint: &Self| (endpoint.epoch, endpoint.created);
        (rank(self), &self.cable_name) > (rank(other), &other.cable_name)
    }
}
