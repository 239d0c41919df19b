//! Whether paths are alive: echo requests at a steady pace, and how many in a row stayed unanswered.
//!
//! Two paces stand side by side. A [`Pace`] of ours decides alive or dead within a second; the user's interval
//! decides which round-trip times enter the statistics.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::{Echo, Latency, LatencyStatistics, Moment};

/// How often a path is probed, and how many probes in a row may stay unanswered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pace {
    /// The time between probes.
    pub interval: Duration,
    /// Losses in a row that make it dead.
    pub losses: u32,
}

impl Pace {
    /// The pace between gateways: dead after one second.
    pub const CABLE: Self = Self { interval: Duration::from_millis(100), losses: 10 };
    /// The pace from other nodes, of which there are many for each gateway.
    pub const NODE: Self = Self { interval: Duration::from_secs(1), losses: 5 };
}

/// What is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The address that answers.
    pub to: IpAddr,
    /// The address to ask from; `None` leaves it to the route.
    pub from: Option<IpAddr>,
    /// How often.
    pub pace: Pace,
    /// How often a round-trip time enters the statistics.
    pub sample_interval: Duration,
}

/// Whether a path is alive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// No probe was answered yet, and too few were sent to say that none will be.
    #[default]
    Pending,
    /// Probes are answered.
    Alive,
    /// As many as allowed stayed unanswered in a row.
    Dead,
}

/// What is known of one path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Probe {
    /// Whether it is alive.
    pub verdict: Verdict,
    /// Probes sent since the last answer.
    pub unanswered: u32,
    /// When the last answer came.
    pub answered: Option<Moment>,
    /// When the first probe went out.
    pub begun: Option<Moment>,
    /// Round-trip times.
    pub latency: Option<Latency>,
}

/// A request to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// To whom.
    pub to: IpAddr,
    /// From which address, where it matters.
    pub from: Option<IpAddr>,
    /// The message.
    pub echo: Echo,
}

#[derive(Debug)]
struct Path {
    target: Target,
    next: Moment,
    next_sample: Moment,
    probe: Probe,
    statistics: LatencyStatistics,
}

#[derive(Debug)]
struct Outstanding<K> {
    key: K,
    sent: Moment,
}

/// Probes any number of paths, each known by a key.
#[derive(Debug)]
pub struct Liveness<K> {
    identifier: u16,
    nonce: u64,
    sequence: u16,
    paths: BTreeMap<K, Path>,
    outstanding: BTreeMap<u16, Outstanding<K>>,
    order: VecDeque<u16>,
    transmits: VecDeque<Transmit>,
    changed: BTreeSet<K>,
}

/// A reply older than this is of no use to anyone.
const PATIENCE: Duration = Duration::from_secs(10);
/// No more requests than this are remembered.
const MEMORY: usize = 16_384;

impl<K: Ord + Clone> Liveness<K> {
    /// Probes nothing yet. `identifier` and `nonce` mark its requests; draw them at random.
    pub const fn new(identifier: u16, nonce: u64) -> Self {
        Self {
            identifier,
            nonce,
            sequence: 0,
            paths: BTreeMap::new(),
            outstanding: BTreeMap::new(),
            order: VecDeque::new(),
            transmits: VecDeque::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Says what is probed from now on. A path whose addresses did not change keeps what is known of it.
    pub fn set_targets(&mut self, now: Moment, targets: &BTreeMap<K, Target>) {
        let gone: Vec<K> = self.paths.keys().filter(|key| !targets.contains_key(key)).cloned().collect();
        for key in gone {
            self.paths.remove(&key);
            self.changed.insert(key);
        }
        for (key, target) in targets {
            match self.paths.get_mut(key) {
                Some(path) if (path.target.to, path.target.from) == (target.to, target.from) => {
                    path.target = *target;
                    path.next = path.next.min(now + target.pace.interval);
                }
                _ => {
                    self.paths.insert(key.clone(), Path::new(*target, now));
                    self.changed.insert(key.clone());
                }
            }
        }
        let Self { outstanding, paths, .. } = self;
        outstanding
            .retain(|_, request| paths.get(&request.key).is_some_and(|path| path.begun_by(request.sent)));
    }

    /// Queues the requests that are due. Those that were missed are not made up for.
    pub fn handle_timeout(&mut self, now: Moment) {
        let due: Vec<K> =
            self.paths.iter().filter(|(_, path)| path.next <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            self.request(now, key);
        }
        self.forget(now);
    }

    fn request(&mut self, now: Moment, key: K) {
        self.sequence = self.sequence.wrapping_add(1);
        let Some(path) = self.paths.get_mut(&key) else { return };
        let echo = Echo {
            identifier: self.identifier,
            sequence: self.sequence,
            payload: self.nonce.to_be_bytes().to_vec(),
        };
        self.transmits.push_back(Transmit { to: path.target.to, from: path.target.from, echo });
        if path.send(now) {
            self.changed.insert(key.clone());
        }
        self.outstanding.insert(self.sequence, Outstanding { key, sent: now });
        self.order.push_back(self.sequence);
    }

    fn forget(&mut self, now: Moment) {
        while let Some(&sequence) = self.order.front() {
            let old =
                self.outstanding.get(&sequence).is_none_or(|request| now.since(request.sent) > PATIENCE);
            if !old && self.order.len() <= MEMORY {
                break;
            }
            self.order.pop_front();
            self.outstanding.remove(&sequence);
        }
    }

    /// Takes a reply. One that answers no question of ours, or comes from elsewhere, is ignored.
    pub fn handle_reply(&mut self, now: Moment, from: IpAddr, echo: &Echo) {
        if echo.payload != self.nonce.to_be_bytes() {
            return;
        }
        let expected = |request: &Outstanding<K>| {
            self.paths.get(&request.key).is_some_and(|path| path.target.to == from)
        };
        if !self.outstanding.get(&echo.sequence).is_some_and(expected) {
            return;
        }
        let Some(request) = self.outstanding.remove(&echo.sequence) else { return };
        if let Some(path) = self.paths.get_mut(&request.key)
            && path.receive(now, request.sent)
        {
            self.changed.insert(request.key);
        }
    }

    /// The next request to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.paths.values().map(|path| path.next).min()
    }

    /// The next path that came, went, or whose verdict changed.
    pub fn poll_changed(&mut self) -> Option<K> {
        self.changed.pop_first()
    }

    /// What is known of a path.
    pub fn probe(&self, key: &K) -> Option<Probe> {
        self.paths.get(key).map(Path::report)
    }

    /// What is known of all paths.
    pub fn probes(&self) -> BTreeMap<K, Probe> {
        self.paths.iter().map(|(key, path)| (key.clone(), path.report())).collect()
    }
}

impl Path {
    fn new(target: Target, now: Moment) -> Self {
        Self {
            target,
            next: now,
            next_sample: now,
            probe: Probe::default(),
            statistics: LatencyStatistics::default(),
        }
    }

    /// Tells whether a request of this time is this path's and not that of one that stood here before.
    fn begun_by(&self, sent: Moment) -> bool {
        self.probe.begun.is_some_and(|begun| begun <= sent)
    }

    fn send(&mut self, now: Moment) -> bool {
        let interval = self.target.pace.interval;
        let on_time = self.next + interval;
        self.next = if on_time > now { on_time } else { now + interval };
        self.probe.begun.get_or_insert(now);
        let dead = self.probe.unanswered >= self.target.pace.losses;
        self.probe.unanswered = self.probe.unanswered.saturating_add(1);
        self.judge(if dead { Verdict::Dead } else { self.probe.verdict })
    }

    fn receive(&mut self, now: Moment, sent: Moment) -> bool {
        self.probe.unanswered = 0;
        self.probe.answered = Some(now);
        if now >= self.next_sample {
            self.statistics.add(now.since(sent));
            self.next_sample = now + self.target.sample_interval;
        }
        self.judge(Verdict::Alive)
    }

    fn judge(&mut self, verdict: Verdict) -> bool {
        let changed = self.probe.verdict != verdict;
        self.probe.verdict = verdict;
        changed
    }

    fn report(&self) -> Probe {
        Probe { latency: self.statistics.latency(), ..self.probe }
    }
}

#[cfg(test)]
#[path = "liveness_tests.rs"]
mod tests;
