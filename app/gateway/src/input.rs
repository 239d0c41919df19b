//! Everything that can change what the gateway knows.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use subm_kube::Event;
use subm_plan::HostFacts;
use subm_runtime::Dirty;
use subm_sync::Snapshot;
use subm_types::{ClusterUid, Problem};

use crate::conditions::Finding;
use crate::node::NodeSettings;
use crate::view::{HubFacts, Leadership, View};

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
    /// The hub.
    Hub(Box<HubFacts>),
    /// The lease.
    Leadership(Leadership),
    /// What the kernel lacks.
    Missing(Vec<Problem>),
    /// Something about our surroundings.
    Finding(Finding),
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
            Input::Home(home) => set(&mut self.home, Some(home)),
            Input::Hub(hub) => set(&mut self.hub, *hub),
            Input::Leadership(leadership) => set(&mut self.leadership, leadership),
            Input::Missing(missing) => set(&mut self.missing, missing),
            Input::Finding(finding) => {
                let dirty = Dirty::differs(&self.findings.get(finding.kind), &Some(&finding));
                self.findings.insert(finding.kind, finding);
                dirty
            }
        }
    }
}

impl View {
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

fn set<T: PartialEq>(place: &mut T, value: T) -> Dirty {
    let dirty = Dirty::differs(place, &value);
    *place = value;
    dirty
}
