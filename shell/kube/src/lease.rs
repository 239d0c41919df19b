//! The lease that makes one gateway the active one: `subm_probe` decides, the API server arbitrates.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use subm_probe::{Decision, Election, LeaseRecord, LeaseTiming, Moment};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{info, warn};

use crate::{ApiError, Connection, Key, Writer};

/// COMPAT: the name of the gateways' lease.
pub const GATEWAY_LEASE: &str = "submariner-gateway-lock";

/// How long giving the lease back may take.
const RELEASE: Duration = Duration::from_secs(2);

/// One candidate.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The lease, in the connection's namespace.
    pub lease: String,
    /// Who we are.
    pub identity: String,
    /// The durations.
    pub timing: LeaseTiming,
}

impl Candidate {
    /// COMPAT: how a gateway of this host calls itself.
    pub fn gateway(hostname: &str, timing: LeaseTiming) -> Self {
        let identity = format!("{hostname}-submariner-gateway");
        Self { lease: GATEWAY_LEASE.to_owned(), identity, timing }
    }
}

/// Whether we are the active one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leadership {
    /// Whether we hold the lease.
    pub leader: bool,
    /// Who held it when we last looked.
    pub holder: Option<String>,
    /// How often the holder changed.
    pub transitions: i32,
    /// Why the lease could not be read or written the last time.
    pub trouble: Option<ApiError>,
}

struct Campaign {
    writer: Writer,
    candidate: Candidate,
    election: Election,
    begin: Instant,
    trouble: Option<ApiError>,
    transitions: i32,
}

/// Stands for election until `stop`, then gives the lease back; tells every change.
pub async fn campaign(
    connection: &Connection,
    candidate: Candidate,
    tell: watch::Sender<Leadership>,
    stop: impl Future<Output = ()> + Send,
) {
    let writer = Writer::new(connection, "submariner-gateway");
    let election = Election::new(candidate.identity.clone(), candidate.timing, Moment::default());
    let mut campaign =
        Campaign { writer, candidate, election, begin: Instant::now(), trouble: None, transitions: 0 };
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = campaign.round(&tell) => {}
            () = &mut stop => break,
        }
    }
    campaign.release(&tell).await;
}

impl Campaign {
    fn now(&self) -> Moment {
        Moment(self.begin.elapsed())
    }

    /// One attempt, and the wait for the next.
    async fn round(&mut self, tell: &watch::Sender<Leadership>) {
        if self.election.begin_attempt(self.now()) {
            // Holding ends on time, however long the server is silent.
            let patience = self.candidate.timing.renew_deadline;
            let until = self.election.held_until().unwrap_or(self.now() + patience);
            let limit = self.begin + until.0;
            let attempt = timeout_at(limit, self.attempt()).await;
            self.trouble = match attempt {
                Ok(Ok(())) => None,
                Ok(Err(error)) => {
                    self.election.handle_failed();
                    // Another one was quicker: no trouble, the next look shows who.
                    Some(error).filter(|error| !error.is_conflict())
                }
                Err(_) => {
                    self.election.handle_failed();
                    self.trouble.take().or_else(|| Some(self.silent(patience)))
                }
            };
        }
        self.tell(tell);
        sleep_until(self.begin + self.election.poll_timeout().0).await;
        self.tell(tell);
    }

    async fn attempt(&mut self) -> Result<(), ApiError> {
        let key = Key::new(&self.writer.connection().namespace, &self.candidate.lease);
        let live: Option<Lease> = self.writer.get(&key).await?;
        let decision = self.election.handle_read(self.now(), live.as_ref().map(record));
        let spec = live.as_ref().and_then(|lease| lease.spec.clone()).unwrap_or_default();
        self.transitions = spec.lease_transitions.unwrap_or_default();
        let spec = match decision {
            Decision::Wait => return Ok(()),
            Decision::Acquire { transitions } => self.acquired(transitions),
            Decision::Renew => {
                LeaseSpec { acquire_time: spec.acquire_time.clone(), ..self.acquired(self.transitions) }
            }
        };
        let written = self.write(&key, live.as_ref(), spec).await?;
        let record = record(&written);
        self.transitions = record.transitions;
        self.election.handle_written(record, self.now());
        Ok(())
    }

    async fn write(&self, key: &Key, live: Option<&Lease>, spec: LeaseSpec) -> Result<Lease, ApiError> {
        let fresh = || ObjectMeta {
            name: Some(key.name.clone()),
            namespace: Some(key.namespace.clone()),
            ..ObjectMeta::default()
        };
        let metadata = live.map_or_else(fresh, |lease| lease.metadata.clone());
        self.writer.put(&Lease { metadata, spec: Some(spec) }).await
    }

    fn acquired(&self, transitions: i32) -> LeaseSpec {
        let now = Some(MicroTime(Timestamp::now()));
        LeaseSpec {
            holder_identity: Some(self.candidate.identity.clone()),
            lease_duration_seconds: i32::try_from(self.candidate.timing.duration.as_secs()).ok(),
            acquire_time: now.clone(),
            renew_time: now,
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    /// COMPAT: a released lease has no holder and lasts one second, as Go's client-go writes it.
    async fn release(mut self, tell: &watch::Sender<Leadership>) {
        let released = self.election.release();
        self.tell(tell);
        let Some(record) = released else { return };
        let limit = Instant::now() + RELEASE;
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            ..self.acquired(record.transitions)
        };
        let key = Key::new(&self.writer.connection().namespace, &self.candidate.lease);
        let mut seen = Lease::default();
        (seen.metadata.name, seen.metadata.namespace) = (Some(key.name.clone()), Some(key.namespace.clone()));
        seen.metadata.resource_version = Some(record.version);
        let written = timeout_at(limit, self.write(&key, Some(&seen), spec)).await;
        let failure = written.map_or_else(|_| Some(self.silent(RELEASE)), Result::err);
        let failure = failure.map(|error| error.to_string());
        info!(released = failure.is_none(), error = failure, "lease given back");
    }

    fn tell(&self, tell: &watch::Sender<Leadership>) {
        let leadership = Leadership {
            leader: self.election.holds(self.now()),
            holder: self.election.seen_holder().map(str::to_owned),
            transitions: self.transitions,
            trouble: self.trouble.clone(),
        };
        tell.send_if_modified(|told| {
            let news = *told != leadership;
            log(told, &leadership);
            *told = leadership;
            news
        });
    }

    fn silent(&self, patience: Duration) -> ApiError {
        let key = Key::new(&self.writer.connection().namespace, &self.candidate.lease);
        ApiError::Unreachable {
            server: self.writer.connection().server.clone(),
            action: Box::new(crate::request::action::<Lease>("get", &key)),
            reason: format!("no answer within {} s", patience.as_secs()),
        }
    }
}

fn log(before: &Leadership, now: &Leadership) {
    if before.leader != now.leader {
        info!(leader = now.leader, holder = now.holder.as_deref(), "leadership changed");
    }
    let news = now.trouble.as_ref().filter(|_| before.trouble != now.trouble);
    news.inspect(|error| warn!(%error, "lease cannot be read or written"));
}

fn record(lease: &Lease) -> LeaseRecord {
    let spec = lease.spec.clone().unwrap_or_default();
    LeaseRecord {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        transitions: spec.lease_transitions.unwrap_or_default(),
        duration: spec
            .lease_duration_seconds
            .and_then(|secs| u64::try_from(secs).ok())
            .map(Duration::from_secs),
    }
}
