//! Both snapshots, by name, and what in them is ours.

use std::collections::BTreeMap;

use subm_api::{Cluster, Endpoint, Kind, keys, names};
use subm_types::{CableName, ClusterUid, Epoch, HostName};

use crate::object::{Synced, name_of, origin, uid_of};
use crate::view::{Completeness, Own, Snapshot, Takeover};

pub(crate) type Named<'a, K> = BTreeMap<&'a str, &'a K>;

/// The hub and home as the planners look at them.
pub(crate) struct Sides<'a> {
    pub(crate) own: &'a Own,
    pub(crate) hub_clusters: Named<'a, Cluster>,
    pub(crate) hub_endpoints: Named<'a, Endpoint>,
    pub(crate) home_clusters: Named<'a, Cluster>,
    pub(crate) home_endpoints: Named<'a, Endpoint>,
    pub(crate) hub_complete: bool,
    /// The UID of another cluster that uses our id, with the kind and name of the object that says so.
    pub(crate) duplicate: Option<(ClusterUid, String)>,
}

impl<'a> Sides<'a> {
    pub(crate) fn new(hub: &'a Snapshot, home: &'a Snapshot, own: &'a Own) -> Self {
        let hub_clusters = named(&hub.clusters, &own.hub_namespace);
        let hub_endpoints = named(&hub.endpoints, &own.hub_namespace);
        let duplicate = foreign(&hub_clusters, own).or_else(|| foreign(&hub_endpoints, own));
        Self {
            own,
            hub_clusters,
            hub_endpoints,
            home_clusters: named(&home.clusters, &own.home_namespace),
            home_endpoints: named(&home.endpoints, &own.home_namespace),
            hub_complete: hub.completeness == Completeness::Complete,
            duplicate,
        }
    }

    pub(crate) fn own_cluster_name(&self) -> String {
        names::cluster_object_name(&self.own.cluster)
    }

    /// Our Cluster on the hub, if the object of that name is ours.
    pub(crate) fn own_hub_cluster(&self) -> Option<&'a Cluster> {
        let cluster = self.hub_clusters.get(self.own_cluster_name().as_str()).copied()?;
        Some(cluster).filter(|cluster| self.ours_on_hub(*cluster))
    }

    /// Our Cluster at home.
    pub(crate) fn own_home_cluster(&self) -> Option<&'a Cluster> {
        let cluster = self.home_clusters.get(self.own_cluster_name().as_str()).copied()?;
        Some(cluster).filter(|cluster| self.ours_at_home(*cluster))
    }

    /// Tells whether an object on the hub is of this very cluster, and not of another one with its id.
    pub(crate) fn ours_on_hub<K: Kind>(&self, object: &K) -> bool {
        origin(object) == Some(self.own.cluster.as_str())
            && uid_of(object).map_or(self.duplicate.is_none(), |uid| uid == self.own.uid)
    }

    /// Tells whether an object at home is our own and no copy.
    pub(crate) fn ours_at_home<K: Synced>(&self, object: &K) -> bool {
        origin(object).is_none() && object.cluster_id() == self.own.cluster.as_str()
    }

    /// The Endpoint of ours with the highest epoch, on either side.
    pub(crate) fn latest_takeover(&self) -> Option<Takeover> {
        let hub = self.hub_endpoints.values().filter(|object| self.ours_on_hub(**object));
        let home = self.home_endpoints.values().filter(|object| self.ours_at_home(**object));
        let takeover = |object: &&Endpoint| {
            Some(Takeover {
                epoch: epoch_of(object)?,
                cable_name: CableName(object.spec.cable_name.clone()),
                hostname: HostName(object.spec.hostname.clone()),
            })
        };
        hub.chain(home).filter_map(takeover).max()
    }
}

pub(crate) fn epoch_of(endpoint: &Endpoint) -> Option<Epoch> {
    subm_api::check::annotation(&endpoint.metadata, keys::EPOCH)?.parse().ok().map(Epoch)
}

fn named<'a, K: Kind>(objects: &'a [K], namespace: &str) -> Named<'a, K> {
    let here = |object: &&K| object.metadata().namespace.as_deref().is_none_or(|found| found == namespace);
    objects.iter().filter(here).map(|object| (name_of(object), object)).collect()
}

fn foreign<K: Kind>(objects: &Named<'_, K>, own: &Own) -> Option<(ClusterUid, String)> {
    objects.values().filter(|object| origin(**object) == Some(own.cluster.as_str())).find_map(|object| {
        let uid = uid_of(*object).filter(|uid| *uid != own.uid)?;
        Some((uid, format!("{} {}", K::KIND, name_of(*object))))
    })
}
