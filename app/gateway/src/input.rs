//! Everything that can change what the gateway knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use subm_api::{ClusterSpec, EndpointSpec, check, keys};
use subm_kube::Event;
use subm_plan::HostFacts;
use subm_runtime::Dirty;
use subm_sync::Snapshot;
use subm_types::{ClusterUid, Epoch, Problem};

use crate::node::NodeSettings;
use crate::view::{Leadership, View};

/// One change.
#[derive(Debug)]
pub(crate) enum Input {
    /// The host's network.
    Facts(Box<HostFacts>),
    /// News of the Node object.
    Node(Box<Event<Node>>),
    /// The UID of `kube-system`.
    Uid(ClusterUid),
    /// The objects at home.
    Home(Arc<Snapshot>),
    /// The highest epoch of any Endpoint of ours, here or on the hub.
    HighestEpoch(Option<Epoch>),
    /// The lease.
    Leadership(Leadership),
    /// What the kernel lacks.
    Missing(Vec<Problem>),
}

impl subm_runtime::View for View {
    type Input = Input;

    fn apply(&mut self, input: Input) -> Dirty {
        match input {
            Input::Facts(facts) => {
                let dirty = Dirty::differs(&self.facts.as_ref(), &Some(&*facts));
                self.set_facts(*facts);
                dirty
            }
            Input::Node(event) => self.node_event(*event),
            Input::Uid(uid) => set(&mut self.uid, Some(uid)),
            Input::Home(home) => self.home_changed(home),
            Input::HighestEpoch(epoch) => set(&mut self.highest_epoch, epoch),
            Input::Leadership(leadership) => set(&mut self.leadership, leadership),
            Input::Missing(missing) => set(&mut self.missing, missing),
        }
    }
}

impl View {
    /// Only what plans are made of counts: whatever else changes on the way of an Endpoint, such as our own counters
    /// or its Cluster, must not keep the Endpoint waiting for its turn.
    fn home_changed(&mut self, home: Arc<Snapshot>) -> Dirty {
        let before = self.home.replace(Arc::clone(&home));
        let own = self.config.cluster.as_str();
        match before {
            Some(before) => Dirty::differs(&matter(&before, own), &matter(&home, own)),
            None => Dirty::Yes,
        }
    }

    /// The last settings of the node stand when its object cannot be read or is gone.
    fn node_event(&mut self, event: Event<Node>) -> Dirty {
        let node = match event {
            Event::Applied(node) => Some(node),
            Event::Snapshot { objects, .. } => objects.into_iter().next(),
            Event::Unreadable(_) | Event::Deleted(_) | Event::Unavailable(_) => None,
        };
        match node {
            // INVARIANT: the host name stays, for the lease is held under it.
            Some(node) => {
                let mut settings = NodeSettings::of(&node);
                if let Some(before) = &self.node {
                    settings.hostname.clone_from(&before.hostname);
                }
                set(&mut self.node, Some(settings))
            }
            None => Dirty::No,
        }
    }
}

type Body<'a, S> = (Option<&'a str>, &'a S, Option<&'a BTreeMap<String, String>>);

/// What plans are made of: Endpoints, and of clusters that have some, what they claim. Our own claim is a setting.
fn matter<'a>(
    snapshot: &'a Snapshot,
    own: &str,
) -> (Vec<Body<'a, EndpointSpec>>, Vec<(Option<&'a str>, &'a ClusterSpec)>) {
    let endpoints = snapshot.endpoints.iter();
    let joined: BTreeSet<&str> = endpoints.clone().map(|one| one.spec.cluster_id.as_str()).collect();
    let clusters = snapshot.clusters.iter().filter(|one| {
        let id = one.spec.cluster_id.as_str();
        id != own && joined.contains(id)
    });
    let endpoints = endpoints
        .map(|one| (one.metadata.name.as_deref(), &one.spec, one.metadata.annotations.as_ref()))
        .collect();
    let claims =
        clusters.map(|one| (check::annotation(&one.metadata, keys::CLUSTER_UID), &one.spec)).collect();
    (endpoints, claims)
}

fn set<T: PartialEq>(place: &mut T, value: T) -> Dirty {
    let dirty = Dirty::differs(place, &value);
    *place = value;
    dirty
}
