//! Where a remote gateway is reached.

use std::net::IpAddr;

use subm_types::{CableId, Endpoint, Family};

use crate::GatewayView;

/// The outer way to a remote gateway, as NAT discovery found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// Where packets are sent.
    pub address: IpAddr,
    /// Whether a NAT lies between.
    pub nat: bool,
}

impl GatewayView {
    /// The way to an Endpoint in a family: what was found, and until something is, what the Endpoint says.
    pub(crate) fn way_to(&self, endpoint: &Endpoint, family: Family) -> Option<Way> {
        let (cluster, path) = (endpoint.cluster.clone(), endpoint.cable_name.clone());
        let found = self.ways.get(&CableId { cluster, family, path }).copied();
        found.or_else(|| {
            let address = endpoint.reachable_ip(family)?;
            Some(Way { address, nat: endpoint.private_ips.get(family) != Some(&address) })
        })
    }
}
