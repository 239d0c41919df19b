//! What the synchronisation decides from.

use std::collections::BTreeMap;

use subm_api::{Cluster, ClusterSpec, Endpoint, EndpointSpec};
use subm_types::{CableName, ClusterId, ClusterUid, Epoch, HostName};

/// Whether a snapshot is everything that there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Completeness {
    /// An initial list is still missing, so absence means nothing.
    #[default]
    Partial,
    /// Every kind was listed in full at least once, and watched since.
    Complete,
}

/// The objects of one namespace, on the hub or at home, in any order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// Every Cluster that was seen.
    pub clusters: Vec<Cluster>,
    /// Every Endpoint that was seen.
    pub endpoints: Vec<Endpoint>,
    /// Whether these are all.
    pub completeness: Completeness,
}

/// Who we are and what we want to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    /// Our cluster id.
    pub cluster: ClusterId,
    /// The UID of our `kube-system` namespace.
    pub uid: ClusterUid,
    /// Where objects live on the hub.
    pub hub_namespace: String,
    /// Where objects live at home.
    pub home_namespace: String,
    /// What to publish.
    pub publication: Publication,
}

/// What this cluster wants others to know.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Publication {
    /// It is not known yet: what was published stands, and others' objects are followed.
    #[default]
    Hold,
    /// This, and nothing else of ours.
    Publish(Published),
    /// The cluster leaves: everything of ours goes from the hub, and every object and copy at home.
    Withdraw,
}

/// Our own objects before they have names and metadata; `cluster_id` is filled in from [`Own::cluster`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Published {
    /// Our networks.
    pub cluster: ClusterSpec,
    /// The ends of our cables. While there are none, older Endpoints of ours stay.
    pub endpoints: Vec<PublishedEndpoint>,
}

/// One end of a cable of ours.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PublishedEndpoint {
    /// The Endpoint.
    pub spec: EndpointSpec,
    /// The takeover that it stems from: higher than every earlier one, see [`crate::latest_takeover`].
    pub epoch: Epoch,
    /// More annotations with keys of `submariner.io`, for example announcements of keys.
    pub annotations: BTreeMap<String, String>,
}

/// Which gateway took over, and with which epoch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Takeover {
    /// The epoch.
    pub epoch: Epoch,
    /// Its end of the cables.
    pub cable_name: CableName,
    /// Its node.
    pub hostname: HostName,
}
