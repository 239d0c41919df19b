//! What a node knows, as plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use subm_plan::{HostFacts, SysctlKey};
use subm_types::{CidrSet, ClusterId, Endpoint, HostName, PerFamily, Problem};

/// The name of a Node object.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(pub String);

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node of this cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The name of its object.
    pub name: NodeName,
    /// Its label `kubernetes.io/hostname`.
    pub hostname: HostName,
    /// Its addresses of type `InternalIP`, the first of each family.
    pub internal_ips: PerFamily<IpAddr>,
    /// Seconds since the Unix epoch at which the object was made.
    pub created: i64,
}

/// Who connects the pods of this cluster, as the operator found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkPlugin {
    /// One that this version knows to work with plain routes and NAT.
    Known(&'static str),
    /// Any other; it is treated like `generic`.
    Unknown(String),
}

impl NetworkPlugin {
    /// Plug-ins that leave forwarding to the kernel of the node.
    ///
    /// COMPAT: the spelling is that of `SUBMARINER_NETWORKPLUGIN`.
    pub const KNOWN: &[&str] =
        &["generic", "calico", "canal-flannel", "flannel", "kindnet", "OpenShiftSDN", "weave-net"];
}

impl From<&str> for NetworkPlugin {
    /// Empty is `generic`; case does not matter.
    fn from(name: &str) -> Self {
        let name = if name.is_empty() { "generic" } else { name };
        match Self::KNOWN.iter().find(|known| known.eq_ignore_ascii_case(name)) {
            Some(known) => Self::Known(known),
            None => Self::Unknown(name.to_owned()),
        }
    }
}

/// What the kernel of a node may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// VXLAN devices: the overlay.
    Vxlan,
    /// nftables tables of family `inet`: everything about packets.
    PacketFilter,
    /// NAT chains in such tables.
    Nat,
    /// Setting the TCP maximum segment size from the route's MTU.
    MssClamp,
}

/// Everything that can influence a node's plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// This node.
    pub node: NodeName,
    /// This cluster.
    pub cluster: ClusterId,
    /// Its pods' networks.
    pub cluster_cidrs: CidrSet,
    /// Its services' networks.
    pub service_cidrs: CidrSet,
    /// Who connects its pods.
    pub plugin: NetworkPlugin,
    /// Its nodes, in any order.
    pub nodes: Vec<Node>,
    /// All Endpoints that could be read, its own and others', in any order.
    pub endpoints: Vec<Endpoint>,
    /// What other clusters say of themselves in their Cluster objects: these networks stay closed while a cluster
    /// has no Endpoint, such as between two gateways.
    pub claims: BTreeMap<ClusterId, CidrSet>,
    /// What was wrong with objects that could not be read.
    pub unreadable: Vec<Problem>,
    /// The host's network.
    pub facts: HostFacts,
    /// What the kernel lacks, each with what it would need.
    pub missing: BTreeMap<Feature, String>,
    /// Kernel parameters whose first value was kept because this project changed them.
    pub taken_over: BTreeSet<SysctlKey>,
}

impl NodeView {
    /// The addresses of this cluster's pods and services.
    pub fn local_cidrs(&self) -> CidrSet {
        self.cluster_cidrs.union(&self.service_cidrs)
    }

    /// Tells whether the kernel has a feature.
    pub fn has(&self, feature: Feature) -> bool {
        !self.missing.contains_key(&feature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_network_plugin_keeps_its_name() {
        assert_eq!(NetworkPlugin::from(""), NetworkPlugin::Known("generic"));
        assert_eq!(NetworkPlugin::from("Calico"), NetworkPlugin::Known("calico"));
        assert_eq!(NetworkPlugin::from("antrea"), NetworkPlugin::Unknown("antrea".to_owned()));
    }
}
