//! Changes to one side, done in their order, and what came of each.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::core::ObjectMeta;
use kube::core::params::Preconditions;
use subm_api::{Cluster, Endpoint};
use subm_sync::{Change, Object, ObjectKind, ObjectRef};
use tokio::time::Instant;

use crate::{ApiError, Key, Writer};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LAST_DELAY: Duration = Duration::from_secs(5);
/// In the long run an object is written no more often than this, whatever others make of it on the other side.
const PACE: Duration = Duration::from_millis(50);
/// So many writes may follow each other at once.
const BURST: u32 = 40;

/// An object on one side.
pub(super) type Id = (ObjectKind, String);

/// Which objects of a side must wait, because they failed or were written too often, and until when.
#[derive(Debug, Default)]
pub(super) struct Retries(BTreeMap<Id, Turn>);

#[derive(Debug, Clone, Copy)]
struct Turn {
    failures: u32,
    at: Instant,
    /// When all writes until now would have been made, had they kept the pace.
    paced: Instant,
}

/// Both sides' retries.
#[derive(Debug, Default)]
pub(super) struct Patience {
    pub(super) hub: Retries,
    pub(super) home: Retries,
}

#[derive(Debug)]
pub(super) struct Batch(Vec<Change>);

/// What came of a batch.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) clusters: Vec<Cluster>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) deleted: Vec<ObjectRef>,
    pub(super) failed: Vec<(Id, ApiError)>,
    /// Not tried because of what failed before.
    pub(super) put_off: Vec<Id>,
}

impl Patience {
    /// When something is to be tried again that was not allowed at `now`.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let turns = self.hub.0.values().chain(self.home.0.values());
        turns.map(|turn| turn.at).filter(|at| *at > now).min()
    }
}

impl Retries {
    fn allows(&self, id: &Id, now: Instant) -> bool {
        self.0.get(id).is_none_or(|turn| turn.at <= now)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes in what came of a batch.
    pub(super) fn learn(&mut self, done: &Done) {
        let clusters = done.clusters.iter().map(|object| (ObjectKind::Cluster, name(&object.metadata)));
        let endpoints = done.endpoints.iter().map(|object| (ObjectKind::Endpoint, name(&object.metadata)));
        let deleted = done.deleted.iter().map(|object| (object.kind, object.name.clone()));
        let now = Instant::now();
        self.0.retain(|_, turn| turn.failures > 0 || turn.paced > now);
        let fresh = Turn { failures: 0, at: now, paced: now };
        for id in clusters.chain(endpoints).chain(deleted) {
            let turn = self.0.entry(id).or_insert(fresh);
            let paced = turn.paced.max(now) + PACE;
            *turn = Turn { failures: 0, at: paced.checked_sub(PACE * BURST).unwrap_or(now), paced };
        }
        for id in done.failed.iter().map(|(id, _)| id).chain(&done.put_off) {
            let turn = self.0.entry(id.clone()).or_insert(fresh);
            turn.at = now + (FIRST_DELAY * (1 << turn.failures.min(10))).min(LAST_DELAY);
            turn.failures = turn.failures.saturating_add(1);
        }
    }
}

fn name(metadata: &ObjectMeta) -> String {
    metadata.name.clone().unwrap_or_default()
}

fn id(change: &Change) -> Id {
    match change {
        Change::Write(Object::Cluster(object)) => (ObjectKind::Cluster, name(&object.metadata)),
        Change::Write(Object::Endpoint(object)) => (ObjectKind::Endpoint, name(&object.metadata)),
        Change::Delete(object) => (object.kind, object.name.clone()),
    }
}

impl Batch {
    /// Those changes that may be tried now; none while what failed before is not yet due.
    pub(super) fn of(changes: Vec<Change>, retries: &Retries, now: Instant) -> Option<Self> {
        let due: Vec<_> = changes.into_iter().filter(|change| retries.allows(&id(change), now)).collect();
        Some(Self(due)).filter(|batch| !batch.0.is_empty())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Does them. A failed write does not keep others back, but deletions wait until no write fails; a server that
    /// does not answer is not asked again.
    pub(super) async fn run(self, writer: Writer) -> Done {
        let mut done = Done::default();
        let mut deaf = false;
        for change in self.0 {
            let deletion = matches!(change, Change::Delete(_));
            if deaf || (deletion && !done.failed.is_empty()) {
                done.put_off.push(id(&change));
                continue;
            }
            let of = id(&change);
            if let Err(error) = done.take(&writer, change).await {
                deaf = !error.is_about_the_object();
                done.failed.push((of, error));
            }
        }
        done
    }
}

impl Done {
    async fn take(&mut self, writer: &Writer, change: Change) -> Result<(), ApiError> {
        match change {
            Change::Write(Object::Cluster(object)) => self.clusters.push(writer.put(&object).await?),
            Change::Write(Object::Endpoint(object)) => self.endpoints.push(writer.put(&object).await?),
            Change::Delete(object) => {
                let key = Key::new(&object.namespace, &object.name);
                let seen = Preconditions {
                    uid: object.uid.clone(),
                    resource_version: object.resource_version.clone(),
                };
                match object.kind {
                    ObjectKind::Cluster => writer.delete_version::<Cluster>(&key, seen).await?,
                    ObjectKind::Endpoint => writer.delete_version::<Endpoint>(&key, seen).await?,
                }
                self.deleted.push(object);
            }
        }
        Ok(())
    }
}
