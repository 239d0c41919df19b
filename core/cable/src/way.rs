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
    /// The way that was found to an end, in the family in which there is one.
    pub(crate) fn found_to(&self, endpoint: &Endpoint) -> Option<Way> {
        let over =
            |family| self.found(endpoint, family).filter(|_| self.local.private_ips.get(family).is_some());
        Family::ALL.into_iter().find_map(over)
    }

    fn found(&self, endpoint: &Endpoint, family: Family) -> Option<Way> {
        let (cluster, path) = (endpoint.cluster.clone(), endpoint.cable_name.clone());
        let told = |way: &Way| {
            [endpoint.private_ips, endpoint.public_ips]
                .iter()
                .any(|ips| ips.get(family) == Some(&way.address))
        };
        // What was found of an address that the end has no more is of no use.
        self.ways.get(&CableId { cluster, family, path }).copied().filter(told)
    }

    /// The way to an Endpoint in a family: what was found, and until something is, what the Endpoint says.
    pub(crate) fn way_to(&self, endpoint: &Endpoint, family: Family) -> Option<Way> {
        self.found(endpoint, family).or_else(|| {
            let address = endpoint.reachable_ip(family)?;
            Some(Way { address, nat: endpoint.private_ips.get(family) != Some(&address) })
        })
    }
}
