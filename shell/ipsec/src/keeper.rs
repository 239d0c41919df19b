//! The thread that makes the daemon what the plan says, and keeps it so.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use subm_kernel::Associations;
use subm_plan::StepFailure;
use subm_plan::ipsec::{Association, FoundDaemon, IpsecEvidence, IpsecPlan, IpsecState, IpsecStep, diff};
use subm_plan::numbers::IPSEC_INTERFACE;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::pluto::Pluto;
use crate::{IpsecError, Places};

/// How often the kernel is asked: it tells of deleted associations and counts bytes.
const GLANCE: Duration = Duration::from_millis(500);
/// How often the daemon is asked though nothing happened, and how often while something is on its way.
const RESYNC: Duration = Duration::from_secs(10);
const UNSETTLED: Duration = Duration::from_secs(1);
/// The daemon tries on by itself; it is reminded of a connection no more often than this.
const REMIND: Duration = Duration::from_secs(5);
/// A start that failed is tried again after this.
const START_AGAIN: Duration = Duration::from_secs(5);
const ORDERS: usize = 16;

/// How a keeper works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The daemon's files.
    pub places: Places,
    /// Whether the daemon tells everything that it does.
    pub debug: bool,
    /// Whether steps are only told.
    pub dry_run: bool,
}

/// What came of the plans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpsecReport {
    /// Whether a plan was looked at.
    pub looked: bool,
    /// What is known of each connection.
    pub evidence: IpsecEvidence,
    /// The steps that could not be taken when last tried.
    pub failures: Vec<StepFailure>,
    /// Why the daemon could not be looked at, if so.
    pub trouble: Option<String>,
    /// Since when the daemon runs, in Unix seconds.
    pub since: Option<i64>,
    /// The version of libreswan, as far as it could be read.
    pub version: Option<(u32, u32)>,
    /// How many steps were taken in all.
    pub taken: u64,
}

enum Order {
    Keep(IpsecPlan),
    Retire,
    ShutDown(SyncSender<Result<(), String>>),
}

/// A handle on the thread; when it is gone the thread ends and leaves the daemon as it is.
#[derive(Debug, Clone)]
pub struct Keeper {
    orders: SyncSender<Order>,
    report: watch::Receiver<IpsecReport>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keep(_) => "Keep",
            Self::Retire => "Retire",
            Self::ShutDown(_) => "ShutDown",
        })
    }
}

impl Keeper {
    /// Starts the thread in the network namespace of the caller. Until the first plan it changes nothing.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let (orders, received) = sync_channel(ORDERS);
        let (publish, report) = watch::channel(IpsecReport::default());
        let body = move || Worker::new(settings, publish).run(&received);
        std::thread::Builder::new().name("keep-ipsec".to_owned()).spawn(body)?;
        Ok(Self { orders, report })
    }

    /// Says what the daemon is to keep from now on.
    pub fn set_plan(&self, plan: IpsecPlan) {
        self.send(Order::Keep(plan));
    }

    /// Says that there is no use for the daemon: one of ours that runs is ended.
    pub fn retire(&self) {
        self.send(Order::Retire);
    }

    /// What came of the plans.
    pub fn report(&self) -> watch::Receiver<IpsecReport> {
        self.report.clone()
    }

    /// Ends the daemon and removes its files; waits for that.
    pub fn shut_down(&self) -> Result<(), String> {
        let (answer, answered) = sync_channel(1);
        self.send(Order::ShutDown(answer));
        answered.recv().unwrap_or_else(|_| Err("the thread ended".to_owned()))
    }

    /// Waits where the thread is behind, which is with an order or two: it takes the latest only.
    fn send(&self, order: Order) {
        if self.orders.send(order).is_err() {
            warn!("the thread that keeps IPsec connections has ended");
        }
    }
}

struct Worker {
    settings: Settings,
    pluto: Pluto,
    associations: Option<Associations>,
    published: watch::Sender<IpsecReport>,
    report: IpsecReport,
    plan: Option<IpsecPlan>,
    /// What the daemon said last.
    daemon: Option<FoundDaemon>,
    /// The associations that the kernel had then.
    known: BTreeSet<Association>,
    asked: Option<Instant>,
    unsettled: bool,
    reminded: BTreeMap<String, Instant>,
    started: Option<Instant>,
}

impl Worker {
    fn new(settings: Settings, publish: watch::Sender<IpsecReport>) -> Self {
        let pluto = Pluto::new(settings.places.clone(), settings.debug);
        Self {
            settings,
            pluto,
            associations: None,
            published: publish,
            report: IpsecReport::default(),
            plan: None,
            daemon: None,
            known: BTreeSet::new(),
            asked: None,
            unsettled: true,
            reminded: BTreeMap::new(),
            started: None,
        }
    }

    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let mut news = false;
            match orders.recv_timeout(GLANCE) {
                Ok(order) => {
                    let all = std::iter::once(order).chain(orders.try_iter());
                    all.for_each(|order| news |= self.take(order));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.plan.is_some() {
                self.look(news);
                self.publish();
            }
        }
    }

    fn publish(&self) {
        self.published.send_if_modified(|published| {
            let news = *published != self.report;
            published.clone_from(&self.report);
            news
        });
    }

    /// Whether there is a new plan.
    fn take(&mut self, order: Order) -> bool {
        match order {
            Order::Keep(plan) => {
                let news = self.plan.as_ref() != Some(&plan);
                self.plan = Some(plan);
                return news;
            }
            Order::Retire => self.retire(),
            Order::ShutDown(answer) => {
                self.plan = None;
                let ended = self.pluto.shut_down().and_then(|()| self.settings.places.remove());
                // Who asked may have gone.
                drop(answer.send(ended.map_err(|error| error.to_string())));
            }
        }
        false
    }

    fn retire(&mut self) {
        self.plan = None;
        if !self.settings.places.is_served() || self.settings.dry_run {
            return;
        }
        match self.pluto.shut_down() {
            Ok(()) => log_good("pluto is not needed any more and was ended"),
            Err(error) => log_bad(&error, "pluto is not needed any more and does not end"),
        }
    }

    fn look(&mut self, news: bool) {
        let associations = match self.kernel() {
            Ok(associations) => associations,
            Err(error) => return self.in_trouble(&error),
        };
        let alive = self.daemon.is_some() == self.settings.places.is_served();
        let same = self.known.iter().eq(associations.keys());
        let pause = if self.unsettled { UNSETTLED } else { RESYNC };
        let rested = self.asked.is_some_and(|asked| asked.elapsed() < pause);
        if news || !alive || !same || !rested {
            self.settings.places.limit_log();
            self.asked = Some(Instant::now());
            self.known = associations.keys().copied().collect();
            match self.pluto.status() {
                Ok(daemon) => self.daemon = daemon,
                Err(error) => return self.in_trouble(&error),
            }
            self.converge(&associations);
        }
        self.tell(associations);
    }

    fn kernel(&mut self) -> Result<BTreeMap<Association, u64>, IpsecError> {
        if self.associations.is_none() {
            self.associations = Some(Associations::open()?);
        }
        let listed = self.associations.as_ref().map(|one| one.list(IPSEC_INTERFACE));
        Ok(listed.transpose()?.unwrap_or_default())
    }

    fn state(&self, associations: BTreeMap<Association, u64>) -> IpsecState {
        IpsecState { daemon: self.daemon.clone(), secret: self.pluto.secret(), associations }
    }

    fn converge(&mut self, associations: &BTreeMap<Association, u64>) {
        if self.report.trouble.take().is_some() {
            log_good("pluto can be looked at again");
        }
        let state = self.state(associations.clone());
        let steps = self.plan.as_ref().map(|plan| diff(&state, plan)).unwrap_or_default();
        self.unsettled = !steps.is_empty();
        let failures = std::mem::take(&mut self.report.failures);
        for step in steps {
            if self.settings.dry_run {
                log_dry(&step);
            } else if self.is_due(&step) {
                self.apply(&step, &failures);
            } else {
                // A step that rests has still failed.
                let name = step.to_string();
                self.report.failures.extend(failures.iter().filter(|one| one.step == name).cloned());
            }
        }
        let present = |name: &String| state.daemon.iter().any(|one| one.connections.contains_key(name));
        self.reminded.retain(|name, _| present(name));
    }

    /// Whether enough time went by since the step was last tried.
    fn is_due(&mut self, step: &IpsecStep) -> bool {
        let now = Instant::now();
        let rested =
            |last: Option<&Instant>, pause| last.is_none_or(|last| now.duration_since(*last) > pause);
        match step {
            IpsecStep::Initiate(name) => {
                let due = rested(self.reminded.get(name.as_str()), REMIND);
                if due {
                    self.reminded.insert(name.as_str().to_owned(), now);
                }
                due
            }
            IpsecStep::Start => {
                let due = rested(self.started.as_ref(), START_AGAIN);
                if due {
                    self.started = Some(now);
                }
                due
            }
            IpsecStep::LoadSecret(_) | IpsecStep::Listen | IpsecStep::Delete(_) | IpsecStep::Add(..) => true,
        }
    }

    fn apply(&mut self, step: &IpsecStep, before: &[StepFailure]) {
        match self.pluto.take(step) {
            Ok(()) => {
                log_taken(step);
                self.report.taken += 1;
                // A daemon that was just started has everything to learn.
                if matches!(step, IpsecStep::Start) {
                    self.asked = None;
                }
            }
            Err(error) => {
                let failure = StepFailure { step: step.to_string(), reason: error.to_string() };
                if !before.contains(&failure) {
                    log_failed(&failure);
                }
                self.report.failures.push(failure);
            }
        }
    }

    fn tell(&mut self, associations: BTreeMap<Association, u64>) {
        self.report.looked = true;
        self.report.since = self.daemon.as_ref().and(self.pluto.places().since());
        self.report.version = self.daemon.as_ref().and_then(|daemon| daemon.version);
        self.report.evidence = self.state(associations).evidence();
    }

    /// What was known of the connections is not any more.
    fn in_trouble(&mut self, error: &IpsecError) {
        let said = error.to_string();
        if self.report.trouble.as_ref() != Some(&said) {
            warn!(error = %said, "cannot look at pluto, trying again");
        }
        self.report.looked = true;
        self.report.trouble = Some(said);
        self.report.evidence.clear();
        self.unsettled = true;
    }
}

fn log_good(what: &str) {
    info!("{what}");
}

fn log_bad(error: &IpsecError, what: &str) {
    warn!(%error, "{what}");
}

fn log_dry(step: &IpsecStep) {
    info!(%step, "dry run: would take this step");
}

fn log_taken(step: &IpsecStep) {
    info!(%step, "step taken");
}

fn log_failed(failure: &StepFailure) {
    warn!(step = %failure.step, error = %failure.reason, "step failed, trying again later");
}

#[cfg(test)]
mod tests {
    use subm_plan::ipsec::{ConnectionName, IkeId, IkeProof, IpsecConnection, IpsecEnd, IpsecRole};
    use subm_types::Family;

    use super::*;

    fn connections() -> BTreeMap<ConnectionName, IpsecConnection> {
        let end = |address: &str, network: &str| IpsecEnd {
            address: Some(address.parse().unwrap()),
            id: IkeId::Address(address.parse().unwrap()),
            network: network.parse().unwrap(),
            port: None,
        };
        let connection = IpsecConnection {
            role: IpsecRole::Peer,
            proof: IkeProof::Secret,
            local: end("172.18.0.2", "10.1.0.0/16"),
            remote: end("172.18.0.3", "10.2.0.0/16"),
            encapsulated: false,
            interface: IPSEC_INTERFACE,
        };
        let name = ConnectionName::of("submariner-cable-west-172-18-0-3", Family::V4, (0, 0));
        [(name.unwrap(), connection)].into()
    }

    #[test]
    fn a_step_that_failed_stays_told_until_it_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        // No daemon starts in a folder that cannot be made.
        let places = Places::new(file.join("ipsec"), None);
        let settings = Settings { places, debug: false, dry_run: false };
        let mut worker = Worker::new(settings, watch::channel(IpsecReport::default()).0);
        worker.plan = Some(IpsecPlan { connections: connections(), ..IpsecPlan::default() });
        worker.converge(&BTreeMap::new());
        let first = worker.report.failures.clone();
        let started = worker.started;
        assert_eq!(first.len(), 1, "{first:?}");
        worker.converge(&BTreeMap::new());
        assert_eq!(worker.started, started, "it was tried again too soon");
        assert_eq!(worker.report.failures, first);
    }
}
