//! The writer of the node's RouteAgent object: the only one there is.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use subm_api::{RouteAgent, RouteAgentStatus, keys};
use subm_kube::{ApiError, Key, Objects, Writer};
use subm_runtime::Report;
use subm_runtime::icmp::Probes;
use subm_types::CableId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::observed::Seen;
use crate::status::{Findings, is_news, status};
use crate::sysctls::{self, Saved};
use crate::view::State;

/// Changes that follow each other within this time are one write.
const SETTLE: Duration = Duration::from_millis(200);
/// What a daemon that has just started does not know yet is not told.
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LAST_DELAY: Duration = Duration::from_secs(30);

/// Where the status comes from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) state: watch::Receiver<State>,
    pub(crate) report: watch::Receiver<Report>,
    pub(crate) probes: watch::Receiver<Probes<CableId>>,
    pub(crate) seen: watch::Receiver<Seen>,
    /// The object as it stands.
    pub(crate) own: watch::Receiver<Objects<RouteAgent>>,
}

/// Keeps the object true.
#[derive(Debug)]
pub(crate) struct Publisher {
    writer: Writer,
    key: Key,
    plugin: String,
    sources: Sources,
    /// How often mere round-trip times are written.
    refresh: Duration,
    begun: Instant,
    written: Instant,
    failures: u32,
}

impl Publisher {
    pub(crate) fn new(writer: Writer, key: Key, plugin: String, sources: Sources) -> Self {
        let (refresh, now) = (Duration::from_mins(1), Instant::now());
        Self { writer, key, plugin, sources, refresh, begun: now, written: now, failures: 0 }
    }

    /// How often mere round-trip times are written.
    pub(crate) const fn refresh_every(mut self, refresh: Duration) -> Self {
        self.refresh = refresh;
        self
    }

    pub(crate) async fn run(mut self) {
        while self.has_reason().await {
            sleep(SETTLE).await;
            let Some(object) = self.wanted() else {
                self.count_as_written();
                continue;
            };
            let live = self.live();
            match self.writer.apply(&object, live.as_ref()).await {
                Ok(_) => self.succeeded(),
                Err(error) => self.failed(&error).await,
            }
        }
    }

    /// Waits until there may be something to write; `false` when nothing can come any more.
    async fn has_reason(&mut self) -> bool {
        let (due, refresh) = (self.begun + PATIENCE, self.written + self.refresh);
        tokio::select! {
            changed = self.changed() => changed.is_ok(),
            () = sleep_until(refresh) => true,
            () = sleep_until(due), if Instant::now() < due => true,
        }
    }

    /// A status that is as it should be needs no look before the next refresh.
    fn count_as_written(&mut self) {
        if self.is_old() {
            self.written = Instant::now();
        }
    }

    fn is_old(&self) -> bool {
        self.written.elapsed() >= self.refresh
    }

    fn succeeded(&mut self) {
        if self.failures > 0 {
            info!(object = %self.key, "RouteAgent is written again");
        }
        (self.written, self.failures) = (Instant::now(), 0);
    }

    async fn failed(&mut self, error: &ApiError) {
        if self.failures == 0 {
            warn!(object = %self.key, %error, "RouteAgent cannot be written, trying again");
        }
        let delay = (FIRST_DELAY * 2_u32.saturating_pow(self.failures.min(6))).min(LAST_DELAY);
        self.failures = self.failures.saturating_add(1);
        sleep(delay).await;
        self.sources.state.mark_changed();
    }

    async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        let Sources { state, report, probes, seen, own } = &mut self.sources;
        tokio::select! {
            changed = state.changed() => changed,
            changed = report.changed() => changed,
            changed = probes.changed() => changed,
            changed = seen.changed() => changed,
            changed = own.changed() => changed,
        }
    }

    fn live(&self) -> Option<RouteAgent> {
        self.sources.own.borrow().get(&self.key).cloned()
    }

    /// The object, if it has to be written. Never before the present one was read: it holds what was saved.
    fn wanted(&mut self) -> Option<RouteAgent> {
        if !self.sources.own.borrow_and_update().is_complete() {
            return None;
        }
        let live = self.live();
        let before = live.as_ref().map(|live| live.status.clone()).unwrap_or_default();
        let state = self.sources.state.borrow_and_update().clone();
        let report = self.sources.report.borrow_and_update().clone();
        let probes = self.sources.probes.borrow_and_update().clone();
        let seen = self.sources.seen.borrow_and_update().clone();
        let now = Timestamp::now();
        let status = match &state.outlook {
            Some(outlook) => {
                let found = Findings { outlook, report: &report, probes: &probes };
                status(&found, &before.conditions, now)
            }
            None if self.begun.elapsed() >= PATIENCE => waiting(before.clone(), &state.waiting, now),
            None => return None,
        };
        let saved = with_older(&saved(live.as_ref()), &seen.saved);
        let object = self.object(status, &saved);
        let same = live.as_ref().is_some_and(|live| {
            let annotated = live.metadata.annotations.as_ref();
            let wanted = object.metadata.annotations.iter().flatten();
            let same = wanted
                .into_iter()
                .all(|(name, value)| annotated.and_then(|all| all.get(name)) == Some(value));
            same && !is_news(&live.status, &object.status)
        });
        (!same || self.is_old()).then_some(object)
    }

    fn object(&self, status: RouteAgentStatus, saved: &Saved) -> RouteAgent {
        let annotations = [
            (keys::NETWORK_PLUGIN.to_owned(), self.plugin.clone()),
            (keys::SAVED_SYSCTLS.to_owned(), sysctls::write(saved)),
        ];
        let metadata = ObjectMeta {
            name: Some(self.key.name.clone()),
            namespace: Some(self.key.namespace.clone()),
            annotations: Some(annotations.into()),
            ..ObjectMeta::default()
        };
        RouteAgent { metadata, status }
    }
}

/// What the object remembers of kernel parameters.
pub(crate) fn saved(live: Option<&RouteAgent>) -> Saved {
    let annotations = live.and_then(|live| live.metadata.annotations.as_ref());
    let text = annotations.and_then(|annotations| annotations.get(keys::SAVED_SYSCTLS));
    text.map(|text| sysctls::read(text)).unwrap_or_default()
}

/// The first value found is the one that counts.
fn with_older(older: &Saved, newer: &Saved) -> Saved {
    let mut all = newer.clone();
    all.extend(older.iter().map(|(key, value)| (key.clone(), *value)));
    all
}

/// The last status, with the reason why there is no newer one.
fn waiting(before: RouteAgentStatus, reasons: &[String], now: Timestamp) -> RouteAgentStatus {
    let message = format!("nothing is planned: {}", reasons.join("; "));
    let mut conditions = before.conditions;
    let since = conditions.iter().find(|old| old.type_ == "Ready" && old.status == "False");
    let since = since.map_or(Time(now), |old| old.last_transition_time.clone());
    conditions.retain(|condition| condition.type_ != "Ready");
    conditions.push(Condition {
        type_: "Ready".to_owned(),
        status: "False".to_owned(),
        reason: "Waiting".to_owned(),
        message: message.clone(),
        last_transition_time: since,
        observed_generation: None,
    });
    conditions.sort_by(|one, other| one.type_.cmp(&other.type_));
    let version = env!("CARGO_PKG_VERSION").to_owned();
    RouteAgentStatus {
        version,
        status_failure: message,
        remote_endpoints: before.remote_endpoints,
        conditions,
    }
}
