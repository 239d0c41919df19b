//! Everything that can change what the gateway knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use subm_api::{ClusterSpec, EndpointSpec, check, keys};
use subm_cable::{Way, WireguardKeys};
use subm_kube::Event;
use subm_plan::HostFacts;
use subm_probe::public_address::{Resolver, Told};
use subm_runtime::Dirty;
use subm_sync::{Snapshot, Takeover};
use subm_types::{CableId, ClusterUid, IkeSecret, Problem};

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
    /// The takeover with the highest epoch, here or on the hub.
    LatestTakeover(Option<Takeover>),
    /// The lease.
    Leadership(Leadership),
    /// The keys of WireGuard cables.
    Keys(Box<WireguardKeys>),
    /// The secret by which ends of IPsec cables know each other.
    IkeSecret(IkeSecret),
    /// Since when the IKE daemon runs, in Unix seconds.
    IkeSince(Option<i64>),
    /// What the kernel lacks.
    Missing(Vec<Problem>),
    /// How others are reached, and what keeps that from being found out.
    Ways(BTreeMap<CableId, Way>, Vec<Problem>),
    /// How others were reached before this process began.
    LastWays(BTreeMap<CableId, Way>),
    /// What was said of our public address.
    PublicAddress(Resolver, Told),
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
            Input::LatestTakeover(latest) => set(&mut self.latest_takeover, latest),
            Input::Leadership(leadership) => set(&mut self.leadership, leadership),
            Input::Keys(keys) => set(&mut self.wireguard, Some(*keys)),
            Input::IkeSecret(secret) => set(&mut self.ike_secret, Some(secret)),
            Input::IkeSince(since) => set(&mut self.ike_since, since),
            Input::Missing(missing) => set(&mut self.missing, missing),
            Input::Ways(ways, problems) => {
                // What is found out now counts, also when it is forgotten again.
                self.last_ways.iter_mut().for_each(|last| last.retain(|id, _| !ways.contains_key(id)));
                let ways = set(&mut self.ways, ways);
                if set(&mut self.discovery, problems) == Dirty::Yes { Dirty::Yes } else { ways }
            }
            Input::LastWays(ways) => set(&mut self.last_ways, Some(ways)),
            // What it said before stands until it says something else.
            Input::PublicAddress(resolver, Told::Slow) if self.answers.contains_key(&resolver) => Dirty::No,
            Input::PublicAddress(resolver, told) => {
                if self.answers.insert(resolver, told.clone()) == Some(told) { Dirty::No } else { Dirty::Yes }
            }
        }
    }
}

impl View {
    /// Only what plans are made of counts: whatever else changes on the way of an Endpoint, such as our own counters
    /// or its Cluster, must not keep the Endpoint waiting for its turn.
    fn home_changed(&mut self, home: Arc<Snapshot>) -> Dirty {
        let own = self.config.cluster.as_str();
        let same = self.home.as_ref().is_some_and(|before| Matter::of(before, own) == Matter::of(&home, own));
        self.home = Some(home);
        if same { Dirty::No } else { Dirty::Yes }
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

type Annotations = BTreeMap<String, String>;

/// What plans are made of.
#[derive(PartialEq)]
struct Matter<'a> {
    /// Endpoints by name, with their annotations.
    endpoints: BTreeMap<&'a str, (&'a EndpointSpec, Option<&'a Annotations>)>,
    /// Of other clusters that have some, what they claim, with the UID. Our own claim is a setting.
    claims: Vec<(Option<&'a str>, &'a ClusterSpec)>,
}

impl<'a> Matter<'a> {
    fn of(snapshot: &'a Snapshot, own: &str) -> Self {
        let endpoints = snapshot.endpoints.iter();
        let joined: BTreeSet<&str> = endpoints.clone().map(|one| one.spec.cluster_id.as_str()).collect();
        let endpoints = endpoints.map(|one| {
            let name = one.metadata.name.as_deref().unwrap_or_default();
            (name, (&one.spec, one.metadata.annotations.as_ref()))
        });
        let clusters = snapshot.clusters.iter().filter(|one| {
            let id = one.spec.cluster_id.as_str();
            id != own && joined.contains(id)
        });
        let claims = clusters.map(|one| (check::annotation(&one.metadata, keys::CLUSTER_UID), &one.spec));
        Self { endpoints: endpoints.collect(), claims: claims.collect() }
    }
}

fn set<T: PartialEq>(place: &mut T, value: T) -> Dirty {
    let dirty = Dirty::differs(place, &value);
    *place = value;
    dirty
}
