//! Both sides as last seen, and what is told of the hub.

use jiff::Timestamp;
use kube::Resource;
use subm_api::{Cluster, Endpoint};
use subm_sync::{Completeness, HubTrust, ObjectKind, ObjectRef, Own, Snapshot};
use subm_types::{Epoch, Problem};

use super::batch::Done;
use crate::{ApiError, Event, Key, Objects};

/// How the hub is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HubState {
    /// Since when the hub is watched without a break; `None` while it is not.
    pub connected_since: Option<Timestamp>,
    /// When the hub last said anything.
    pub last_contact: Option<Timestamp>,
    /// Why it cannot be watched.
    pub unavailable: Option<ApiError>,
    /// How far what is absent there may be taken for withdrawn.
    pub trust: HubTrust,
    /// What is wrong with objects on the hub or at home.
    pub problems: Vec<Problem>,
    /// What could not be written or deleted when last tried, on either side.
    pub failures: Vec<ApiError>,
    /// Whether nothing is left to be written or deleted.
    pub settled: bool,
    /// The highest epoch of any Endpoint of ours, on either side.
    pub highest_epoch: Option<Epoch>,
}

/// One side.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    pub(super) clusters: Objects<Cluster>,
    pub(super) endpoints: Objects<Endpoint>,
}

impl Mirror {
    pub(super) fn snapshot(&self) -> Snapshot {
        let complete = self.clusters.is_complete() && self.endpoints.is_complete();
        Snapshot {
            clusters: self.clusters.values().cloned().collect(),
            endpoints: self.endpoints.values().cloned().collect(),
            completeness: if complete { Completeness::Complete } else { Completeness::Partial },
        }
    }

    /// The hub's side, where an object that cannot be read and never could counts as what its copy at home says: it
    /// is there, so its copy must not go.
    pub(super) fn snapshot_with(&self, home: &Snapshot, own: &Own) -> Snapshot {
        let mut hub = self.snapshot();
        stand_in(&self.clusters, &home.clusters, &mut hub.clusters, own);
        stand_in(&self.endpoints, &home.endpoints, &mut hub.endpoints, own);
        hub
    }

    /// Takes in what our own writes made, so that the next plan need not wait for the watch to tell.
    pub(super) fn learn(&mut self, done: &mut Done) {
        for object in done.clusters.drain(..) {
            self.clusters.apply(Event::Applied(object));
        }
        for object in done.endpoints.drain(..) {
            self.endpoints.apply(Event::Applied(object));
        }
        for ObjectRef { kind, namespace, name, .. } in done.deleted.drain(..) {
            let key = Key { namespace, name };
            match kind {
                ObjectKind::Cluster => self.clusters.apply(Event::Deleted(key)),
                ObjectKind::Endpoint => self.endpoints.apply(Event::Deleted(key)),
            };
        }
    }

    pub(super) fn unavailable(&self) -> Option<&ApiError> {
        self.clusters.unavailable().or_else(|| self.endpoints.unavailable())
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.clusters.problems().chain(self.endpoints.problems())
    }
}

fn stand_in<K: Resource + Clone + PartialEq>(hub: &Objects<K>, home: &[K], into: &mut Vec<K>, own: &Own) {
    for key in hub.unreadable().keys().filter(|key| hub.get(key).is_none()) {
        let copy = home.iter().find(|object| object.meta().name.as_deref() == Some(key.name.as_str()));
        if let Some(copy) = copy {
            let mut original = copy.clone();
            original.meta_mut().namespace = Some(own.hub_namespace.clone());
            into.push(original);
        }
    }
}

/// What was told of the hub before.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) connected_since: Option<Timestamp>,
    pub(super) last_contact: Option<Timestamp>,
    pub(super) hub_failures: Vec<ApiError>,
    pub(super) home_failures: Vec<ApiError>,
}

impl Told {
    pub(super) fn contact(&mut self) {
        self.last_contact = Some(Timestamp::now());
    }
}
