//! What is known before anything is believed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use subm_types::{CidrSet, ClusterId, ClusterUid, Endpoint};

/// What a cluster says of itself in its Cluster object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// Every network by which others reach it.
    pub networks: CidrSet,
    /// Which cluster wrote it.
    pub uid: Option<ClusterUid>,
}

/// A host of this cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// How messages call it: `node east-worker`.
    pub name: String,
    /// One of its addresses.
    pub address: IpAddr,
}

/// This cluster, and what is published.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// The id of this cluster.
    pub cluster: &'a ClusterId,
    /// What tells it from another cluster of this id, once it is known.
    pub uid: Option<&'a ClusterUid>,
    /// The networks of its pods and services.
    pub networks: CidrSet,
    /// Its hosts, as far as they are known.
    pub hosts: Vec<Host>,
    /// The networks in which this host meets others without a router: whoever took these would cut it off.
    pub uplinks: CidrSet,
    /// All Endpoints that could be read, our own too, in any order.
    pub endpoints: &'a [Endpoint],
    /// What the clusters claim, as far as it is known.
    pub claims: &'a BTreeMap<ClusterId, Claim>,
}
