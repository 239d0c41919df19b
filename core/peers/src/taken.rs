//! Whose networks are taken.

use std::collections::BTreeMap;

use ipnet::IpNet;
use subm_types::{ClusterId, Endpoint};

/// Networks of followed Endpoints, with their clusters.
///
/// INVARIANT: no two share addresses, so that those which overlap a network stand beside it in the order.
#[derive(Debug, Default)]
pub(crate) struct Taken(BTreeMap<IpNet, ClusterId>);

impl Taken {
    /// Adds the networks of an Endpoint to which there is no objection.
    pub(crate) fn take(&mut self, endpoint: &Endpoint) {
        self.0.extend(endpoint.subnet_set().iter().map(|net| (net, endpoint.cluster.clone())));
    }

    /// Tells whether exactly this network is taken.
    pub(crate) fn has(&self, net: &IpNet) -> bool {
        self.0.contains_key(net)
    }

    /// The first network of another cluster that shares addresses with this one.
    pub(crate) fn by_another_than(&self, cluster: &ClusterId, net: &IpNet) -> Option<(IpNet, &ClusterId)> {
        let around = self.0.range(..net).next_back().filter(|(taken, _)| taken.contains(net));
        let inside = self.0.range(net..).take_while(|(taken, _)| net.contains(*taken));
        let other = around.into_iter().chain(inside).find(|(_, whose)| *whose != cluster);
        other.map(|(taken, whose)| (*taken, whose))
    }
}
