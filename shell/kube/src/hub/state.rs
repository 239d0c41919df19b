//! Both sides as last seen, and what is told of the hub.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::Resource;
use subm_api::{Cluster, Endpoint};
use subm_sync::{Completeness, HubTrust, ObjectKind, ObjectRef, Own, Snapshot, Takeover};
use subm_types::Problem;

use super::batch::{Done, Id};
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
    /// The takeover with the highest epoch of any Endpoint of ours, on either side.
    pub latest_takeover: Option<Takeover>,
}

/// One side.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    clusters: Objects<Cluster>,
    endpoints: Objects<Endpoint>,
    heard: Heard,
}

/// What the watch told since the running batch began.
#[derive(Debug)]
enum Heard {
    /// Of these objects.
    Of(BTreeSet<Id>),
    /// Of all.
    All,
}

impl Default for Heard {
    fn default() -> Self {
        Self::Of(BTreeSet::new())
    }
}

impl Heard {
    fn note<K>(&mut self, kind: ObjectKind, event: &Event<K>, name: impl Fn(&K) -> String) {
        let name = match event {
            Event::Snapshot { .. } => {
                *self = Self::All;
                return;
            }
            Event::Applied(object) => name(object),
            Event::Unreadable(of) => of.key.name.clone(),
            Event::Deleted(key) => key.name.clone(),
            Event::Unavailable(_) => return,
        };
        if let Self::Of(names) = self {
            names.insert((kind, name));
        }
    }

    fn has(&self, kind: ObjectKind, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(names) => names.contains(&(kind, name.to_owned())),
        }
    }
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

    /// Takes in what the watch tells of Clusters.
    pub(super) fn cluster(&mut self, event: Event<Cluster>) {
        self.heard.note(ObjectKind::Cluster, &event, |object| Key::of(object).name);
        self.clusters.apply(event);
    }

    /// Takes in what the watch tells of Endpoints.
    pub(super) fn endpoint(&mut self, event: Event<Endpoint>) {
        self.heard.note(ObjectKind::Endpoint, &event, |object| Key::of(object).name);
        self.endpoints.apply(event);
    }

    /// A batch begins: from now on the watch may tell of what comes after its writes.
    pub(super) fn begin(&mut self) {
        self.heard = Heard::default();
    }

    /// Takes in what our own writes made, so that the next plan need not wait for the watch to tell.
    ///
    /// INVARIANT: not of objects that the watch told of meanwhile. What it told may be newer than our write, and it is
    /// not told twice: the object would stay wrong here until the next complete list.
    pub(super) fn learn(&mut self, done: &mut Done) {
        for object in done.clusters.drain(..) {
            if !self.heard.has(ObjectKind::Cluster, &Key::of(&object).name) {
                self.clusters.apply(Event::Applied(object));
            }
        }
        for object in done.endpoints.drain(..) {
            if !self.heard.has(ObjectKind::Endpoint, &Key::of(&object).name) {
                self.endpoints.apply(Event::Applied(object));
            }
        }
        for ObjectRef { kind, namespace, name, .. } in done.deleted.drain(..) {
            if self.heard.has(kind, &name) {
                continue;
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(hostname: &str) -> Endpoint {
        let mut endpoint = Endpoint::default();
        endpoint.metadata.name = Some("east".to_owned());
        endpoint.spec.hostname = hostname.to_owned();
        endpoint
    }

    fn hostnames(mirror: &Mirror) -> Vec<String> {
        mirror.snapshot().endpoints.iter().map(|endpoint| endpoint.spec.hostname.clone()).collect()
    }

    fn written(hostname: &str) -> Done {
        Done { endpoints: vec![endpoint(hostname)], ..Done::default() }
    }

    #[test]
    fn what_we_wrote_is_known_before_the_watch_tells() {
        let mut mirror = Mirror::default();
        mirror.begin();
        mirror.learn(&mut written("ours"));
        assert_eq!(hostnames(&mirror), ["ours"]);
    }

    #[test]
    fn what_others_wrote_after_us_stands_though_our_answer_comes_later() {
        let told: [fn() -> Event<Endpoint>; 3] = [
            || Event::Applied(endpoint("theirs")),
            || Event::Deleted(Key::new("", "east")),
            || Event::Snapshot { objects: Vec::new(), unreadable: Vec::new() },
        ];
        for (told, left) in told.into_iter().zip([vec!["theirs"], vec![], vec![]]) {
            let mut mirror = Mirror::default();
            mirror.begin();
            mirror.endpoint(Event::Applied(endpoint("ours")));
            mirror.endpoint(told());
            mirror.learn(&mut written("ours"));
            assert_eq!(hostnames(&mirror), left);
        }
        let deleted = ObjectRef {
            kind: ObjectKind::Endpoint,
            namespace: String::new(),
            name: "east".to_owned(),
            uid: None,
            resource_version: None,
        };
        let mut mirror = Mirror::default();
        mirror.begin();
        mirror.endpoint(Event::Deleted(Key::new("", "east")));
        mirror.endpoint(Event::Applied(endpoint("made anew")));
        mirror.learn(&mut Done { deleted: vec![deleted], ..Done::default() });
        assert_eq!(hostnames(&mirror), ["made anew"]);
    }

    #[test]
    fn what_was_told_before_a_batch_does_not_hide_its_outcome() {
        let mut mirror = Mirror::default();
        mirror.endpoint(Event::Applied(endpoint("before")));
        mirror.begin();
        mirror.learn(&mut written("ours"));
        assert_eq!(hostnames(&mirror), ["ours"]);
    }
}
