//! The writer of this node's Gateway object: the only one there is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use subm_api::{Gateway, GatewayStatus, keys, names};
use subm_ipsec::IpsecReport;
use subm_kube::{ApiError, Key, Objects, Writer};
use subm_plan::Evidence;
use subm_runtime::Report;
use subm_runtime::icmp::Probes;
use subm_types::{CableId, HostName};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::conditions::{Conditions, Surroundings};
use crate::heartbeats::Heartbeats;
use crate::metrics::Iterations;
use crate::status::Sources;
use crate::view::{Leadership, Outcome, View};

/// COMPAT: a Gateway that was not written for three of these counts as dead.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Changes that follow each other within this time are one write.
const SETTLE: Duration = Duration::from_millis(50);
const RETRY: Duration = Duration::from_secs(1);
/// What a process that has just started does not know yet is not told: a restart must not look like an outage.
const PATIENCE: Duration = Duration::from_secs(3);
const GLANCE: Duration = Duration::from_millis(100);

/// What is known, and what followed from it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) view: View,
    pub(crate) outcome: Outcome,
    /// Since when each cable is planned, in Unix seconds.
    pub(crate) established: BTreeMap<CableId, i64>,
}

/// Where the status comes from.
#[derive(Debug, Clone)]
pub(crate) struct Feeds {
    pub(crate) known: watch::Receiver<Option<Arc<Known>>>,
    pub(crate) surroundings: watch::Receiver<Surroundings>,
    pub(crate) report: watch::Receiver<Report>,
    pub(crate) probes: watch::Receiver<Probes<CableId>>,
    /// What cables tell of themselves.
    pub(crate) evidence: watch::Receiver<Evidence>,
    /// What became of IPsec connections.
    pub(crate) ipsec: watch::Receiver<IpsecReport>,
    /// The Gateways as they stand.
    pub(crate) gateways: watch::Receiver<Objects<Gateway>>,
}

/// Keeps the object true.
#[derive(Debug)]
pub(crate) struct Publisher {
    writer: Writer,
    feeds: Feeds,
    iterations: Iterations,
    conditions: Conditions,
    /// What was last written, without what changes all the time.
    written: Option<GatewayStatus>,
    heartbeats: Heartbeats,
    begun: Instant,
    failing: bool,
}

impl Publisher {
    pub(crate) fn new(writer: Writer, feeds: Feeds, iterations: Iterations) -> Self {
        let conditions = Conditions::default();
        let (heartbeats, begun) = (Heartbeats::default(), Instant::now());
        Self { writer, feeds, iterations, conditions, written: None, heartbeats, begun, failing: false }
    }

    pub(crate) async fn run(mut self) {
        let mut due = Instant::now();
        loop {
            tokio::select! {
                changed = self.changed() => if changed.is_err() { return },
                () = sleep_until(due) => {}
            }
            sleep(SETTLE).await;
            due = match self.status() {
                Some((hostname, status)) => self.round(&hostname, &status, due).await,
                None => Instant::now() + GLANCE,
            };
        }
    }

    /// Writes if there is news or it is time, and says when it is time again.
    async fn round(&mut self, hostname: &HostName, status: &GatewayStatus, due: Instant) -> Instant {
        if Instant::now() < due && self.written.as_ref() == Some(&steady(status)) {
            return due;
        }
        self.iterations.count();
        let written = self.write(hostname, status).await;
        let pause = if written.is_ok() { HEARTBEAT } else { RETRY };
        if written.is_err() {
            self.heartbeats.begin_anew();
        }
        self.note(written, status);
        for gateway in self.dead(hostname) {
            remove(&self.writer, &gateway).await;
        }
        Instant::now() + pause
    }

    /// One line when writing begins to fail, and one when it works again.
    fn note(&mut self, written: Result<(), ApiError>, status: &GatewayStatus) {
        let failed = std::mem::replace(&mut self.failing, written.is_err());
        match written {
            Ok(()) => self.written = Some(steady(status)),
            Err(error) if !failed => warn!(%error, "the Gateway object cannot be written, trying again"),
            Err(_) => {}
        }
        if failed && !self.failing {
            say_written_again();
        }
    }

    async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        let Feeds { known, surroundings, report, probes, ipsec, .. } = &mut self.feeds;
        tokio::select! {
            changed = surroundings.changed() => changed,
            changed = known.changed() => changed,
            changed = report.changed() => changed,
            changed = ipsec.changed() => changed,
            changed = probes.changed() => changed,
        }
    }

    fn status(&mut self) -> Option<(HostName, GatewayStatus)> {
        let known = self.feeds.known.borrow_and_update().clone()?;
        let hostname = known.view.node.as_ref()?.hostname.clone();
        let report = self.feeds.report.borrow_and_update().clone();
        let probes = self.feeds.probes.borrow_and_update().clone();
        let evidence = self.feeds.evidence.borrow().clone();
        let ipsec = self.feeds.ipsec.borrow_and_update().clone();
        let sources = Sources {
            view: &known.view,
            outcome: &known.outcome,
            report: &report,
            probes: &probes,
            evidence: &evidence,
            ipsec: &ipsec,
        };
        let surroundings = self.feeds.surroundings.borrow_and_update().clone();
        let live = self.feeds.gateways.borrow_and_update().clone();
        let fresh = self.written.is_none() && self.begun.elapsed() < PATIENCE;
        if fresh && (sources.is_settling() || !live.is_complete()) {
            return None;
        }
        let (mut status, findings) = (sources.status(), sources.findings(&surroundings));
        if let Some(before) = live.get(&self.key(&hostname)).filter(|_| self.written.is_none()) {
            self.conditions.seed(&before.status.conditions, &findings);
        }
        status.conditions = self.conditions.update(findings, &Time(Timestamp::now()));
        Some((hostname, status))
    }

    async fn write(&self, hostname: &HostName, status: &GatewayStatus) -> Result<(), ApiError> {
        let now = Timestamp::now().as_second().to_string();
        let Key { namespace, name } = self.key(hostname);
        let metadata = ObjectMeta {
            name: Some(name),
            namespace: Some(namespace),
            annotations: Some([(keys::UPDATE_TIMESTAMP.to_owned(), now)].into()),
            ..ObjectMeta::default()
        };
        let gateway = Gateway { metadata, status: status.clone() };
        let live = self.feeds.gateways.borrow().get(&Key::of(&gateway)).cloned();
        self.writer.apply(&gateway, live.as_ref()).await.map(drop)
    }

    fn key(&self, hostname: &HostName) -> Key {
        Key::new(&self.writer.connection().namespace, names::gateway_object_name(&hostname.0))
    }

    /// The objects of gateways that are gone, if it is up to us.
    fn dead(&mut self, hostname: &HostName) -> Vec<Gateway> {
        let known = self.feeds.known.borrow().clone();
        let active = known.is_some_and(|known| known.view.leadership == Leadership::Ours);
        let own = names::gateway_object_name(&hostname.0);
        let gateways = self.feeds.gateways.borrow();
        let others = gateways.all().iter().filter(|(key, _)| key.name != own);
        let dead = self.heartbeats.dead(others, Instant::now());
        if active { dead } else { Vec::new() }
    }
}

fn say_written_again() {
    info!("the Gateway object is written again");
}

async fn remove(writer: &Writer, gateway: &Gateway) {
    let name = Key::of(gateway);
    let failure = writer.delete(gateway).await.err().map(|error| error.to_string());
    info!(gateway = %name, failure, "removing the Gateway of a gateway that is gone");
}

/// The status without round-trip times and spans of silence: those are told with the heartbeat.
fn steady(status: &GatewayStatus) -> GatewayStatus {
    let mut steady = status.clone();
    for connection in &mut steady.connections {
        connection.latency_rtt = None;
        connection.status_message.clear();
    }
    steady
}
