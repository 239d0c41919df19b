//! The synchronisation with the hub: watches both sides, asks `subm_sync` what to do, does it at once.

mod batch;
mod epoch;
mod state;

use std::sync::Arc;

use futures::future::{BoxFuture, Fuse, FusedFuture as _};
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use subm_api::names::cluster_object_name;
use subm_sync::{Completeness, Own, Publication, Snapshot, SyncPlan, latest_takeover, plan};
use tokio::sync::watch;
use tokio::time::sleep_until;
use tracing::{debug, warn};

use crate::{ApiError, Connection, Event, Watch, Writer};
use batch::{Batch, Done, Patience};
use epoch::HubEvent;
use state::{Mirror, Told};

pub use state::HubState;

/// A handle on the synchronisation.
#[derive(Debug)]
pub struct HubSync {
    own: watch::Sender<Own>,
    state: watch::Receiver<HubState>,
    home: watch::Receiver<Arc<Snapshot>>,
}

impl HubSync {
    /// The synchronisation as a future that never ends, and a handle on it. Dropping the future stops everything and
    /// changes nothing on either side.
    pub fn new(
        hub: &Connection,
        home: &Connection,
        own: Own,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (own, wanted) = watch::channel(own);
        let (tell, state) = watch::channel(HubState::default());
        let (show, snapshot) = watch::channel(Arc::default());
        let syncer = Syncer {
            hub_writer: Writer::new(hub, "submariner-gateway"),
            home_writer: Writer::new(home, "submariner-gateway"),
            hub: Mirror::default(),
            home: Mirror::default(),
            wanted,
            tell,
            show,
            told: Told::default(),
            patience: Patience::default(),
        };
        (Self { own, state, home: snapshot }, syncer.run())
    }

    /// Says what this cluster wants others to know from now on.
    pub fn publish(&self, publication: Publication) {
        self.own.send_if_modified(|own| {
            let news = own.publication != publication;
            own.publication = publication;
            news
        });
    }

    /// How the hub is, and what is wrong with what others or we wrote.
    pub fn state(&self) -> watch::Receiver<HubState> {
        self.state.clone()
    }

    /// The Clusters and Endpoints at home, ours and copies of others'.
    pub fn home(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.home.clone()
    }
}

struct Syncer {
    hub_writer: Writer,
    home_writer: Writer,
    hub: Mirror,
    home: Mirror,
    wanted: watch::Receiver<Own>,
    tell: watch::Sender<HubState>,
    show: watch::Sender<Arc<Snapshot>>,
    told: Told,
    patience: Patience,
}

/// So many events are taken in before the next plan.
const CHUNK: usize = 256;

type Running = Fuse<BoxFuture<'static, Done>>;

impl Syncer {
    async fn run(mut self) {
        let (hub, home) = (self.hub_writer.connection().clone(), self.home_writer.connection().clone());
        let own = cluster_object_name(&self.wanted.borrow().cluster);
        // What came at once is decided of at once: a member that writes in a flood costs one plan for many events.
        let mut hub_events = epoch::events(&hub, own).ready_chunks(CHUNK).boxed();
        let mut home_clusters = Watch::namespaced(&home).events().ready_chunks(CHUNK).boxed();
        let mut home_endpoints = Watch::namespaced(&home).events().ready_chunks(CHUNK).boxed();
        let (mut on_hub, mut at_home): (Running, Running) = (Fuse::terminated(), Fuse::terminated());
        loop {
            let next = self.decide(&mut on_hub, &mut at_home);
            tokio::select! {
                Some(events) = hub_events.next() => events.into_iter().for_each(|event| self.heard(event)),
                Some(events) = home_endpoints.next() => {
                    for event in events {
                        self.home.endpoint(event);
                    }
                }
                Some(events) = home_clusters.next() => {
                    for event in events {
                        self.home.cluster(event);
                    }
                }
                done = &mut at_home => self.finished_at_home(done),
                done = &mut on_hub => self.finished_on_hub(done),
                changed = self.wanted.changed() => if changed.is_err() { return },
                () = sleep_until(next.unwrap_or_else(tokio::time::Instant::now)), if next.is_some() => {}
            }
        }
    }

    /// Takes in what the hub said. When it is back, what could not be written is tried at once.
    fn heard(&mut self, event: HubEvent) {
        if !matches!(event, HubEvent::Unavailable(_)) {
            self.told.contact();
        }
        match event {
            HubEvent::Both(both) => {
                let (clusters, endpoints) = *both;
                if self.hub.unavailable().is_some() {
                    self.patience.hub.clear();
                }
                self.hub.cluster(clusters);
                self.hub.endpoint(endpoints);
            }
            HubEvent::Cluster(event) => self.hub.cluster(event),
            HubEvent::Endpoint(event) => self.hub.endpoint(event),
            HubEvent::Unavailable(error) => {
                self.hub.cluster(Event::Unavailable(error.clone()));
                self.hub.endpoint(Event::Unavailable(error));
            }
        }
    }

    /// Starts what is to be done on sides that are idle, and says when to look again.
    fn decide(&mut self, on_hub: &mut Running, at_home: &mut Running) -> Option<tokio::time::Instant> {
        let own = self.wanted.borrow_and_update().clone();
        let home = self.home.snapshot();
        let hub = self.hub.snapshot_with(&home, &own);
        let decided = plan(&hub, &home, &own);
        self.publish(&decided, &hub, home.clone(), &own);
        let SyncPlan { marks, hub, home, .. } = decided;
        let marking = !marks.is_empty();
        let home = if marking { marks } else { home };
        let now = tokio::time::Instant::now();
        if at_home.is_terminated()
            && let Some(batch) = Batch::of(home, &self.patience.home, now)
        {
            self.home.begin();
            *at_home = start(batch, &self.home_writer);
        }
        if on_hub.is_terminated()
            && !marking
            && let Some(batch) = Batch::of(hub, &self.patience.hub, now)
        {
            self.hub.begin();
            *on_hub = start(batch, &self.hub_writer);
        }
        self.patience.next(now)
    }
}

impl Syncer {
    fn publish(&mut self, decided: &SyncPlan, hub: &Snapshot, home: Snapshot, own: &Own) {
        let unavailable = self.hub.unavailable().cloned();
        let connected = unavailable.is_none() && hub.completeness == Completeness::Complete;
        self.told.connected_since =
            connected.then(|| self.told.connected_since.unwrap_or_else(Timestamp::now));
        let mut problems = decided.problems.clone();
        problems.extend(self.hub.problems().chain(self.home.problems()).cloned());
        problems.sort();
        problems.dedup();
        let state = HubState {
            connected_since: self.told.connected_since,
            last_contact: self.told.last_contact,
            unavailable,
            trust: decided.trust,
            problems,
            failures: self.told.hub_failures.iter().chain(&self.told.home_failures).cloned().collect(),
            settled: decided.is_settled() && home.completeness == Completeness::Complete,
            latest_takeover: latest_takeover(hub, &home, own),
        };
        self.tell.send_if_modified(|told| {
            let last_contact = told.last_contact;
            let news = *told != HubState { last_contact, ..state.clone() };
            *told = state;
            news
        });
        self.show.send_if_modified(|shown| {
            let news = **shown != home;
            if news {
                *shown = Arc::new(home);
            }
            news
        });
    }

    fn finished_at_home(&mut self, mut done: Done) {
        self.patience.home.learn(&done);
        self.told.home_failures = failures(&mut done, &self.told.home_failures);
        self.home.learn(&mut done);
    }

    fn finished_on_hub(&mut self, mut done: Done) {
        self.patience.hub.learn(&done);
        self.told.hub_failures = failures(&mut done, &self.told.hub_failures);
        if !(done.clusters.is_empty() && done.endpoints.is_empty() && done.deleted.is_empty()) {
            self.told.contact();
        }
        self.hub.learn(&mut done);
    }
}

fn start(batch: Batch, writer: &Writer) -> Running {
    debug!(server = %writer.connection().server, changes = batch.len(), "writing");
    batch.run(writer.clone()).boxed().fuse()
}

/// What failed and is worth telling: that somebody else was quicker is not.
fn failures(done: &mut Done, before: &[ApiError]) -> Vec<ApiError> {
    let failed = done.failed.drain(..).map(|(_, error)| error).filter(|error| !error.is_conflict());
    let failed: Vec<_> = failed.collect();
    for error in failed.iter().filter(|error| !before.contains(error)) {
        warn!(%error, "cannot synchronise an object, trying again");
    }
    failed
}
