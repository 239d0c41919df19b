//! Probes by ICMP echo: the sockets and the clock around [`subm_probe::Liveness`].

mod socket;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use subm_probe::{Echo, Liveness, Moment, Probe, Target, Transmit};
use subm_types::{Family, PerFamily};
use tokio::sync::watch;
use tokio::time::sleep_until;
use tracing::{debug, warn};

use crate::{Task, clock};
use socket::IcmpSocket;

/// How often what is known is brought up to date while no verdict changes.
const REFRESH: Duration = Duration::from_secs(1);

/// Why probes of a family cannot be sent at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSocket {
    /// The family.
    pub family: Family,
    /// The kernel's words, and what to do.
    pub reason: String,
}

/// What is known of all paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probes<K> {
    /// When it was so.
    pub at: Moment,
    /// The paths.
    pub paths: BTreeMap<K, Probe>,
    /// What keeps probes from being sent.
    pub troubles: Vec<NoSocket>,
}

/// Probes any number of paths from one socket per family, as long as it lives.
#[derive(Debug)]
pub struct Prober<K> {
    targets: watch::Sender<BTreeMap<K, Target>>,
    probes: watch::Receiver<Probes<K>>,
    _task: Task,
}

impl<K: Ord + Clone + Send + Sync + 'static> Prober<K> {
    /// Starts on the current runtime and probes nothing yet.
    pub fn start() -> Self {
        let (targets, wanted) = watch::channel(BTreeMap::new());
        let empty = Probes { at: clock::now(), paths: BTreeMap::new(), troubles: Vec::new() };
        let (publish, probes) = watch::channel(empty);
        let task = Task::spawn("icmp", Asker::new(wanted, publish).run());
        Self { targets, probes, _task: task }
    }

    /// Says what is probed from now on. A path whose addresses did not change keeps what is known of it.
    pub fn set_targets(&self, targets: BTreeMap<K, Target>) {
        self.targets.send_if_modified(|present| {
            let news = *present != targets;
            *present = targets;
            news
        });
    }

    /// What is known: watchers are told at once of changed verdicts; round-trip times are at most a second old.
    pub fn probes(&self) -> watch::Receiver<Probes<K>> {
        self.probes.clone()
    }
}

struct Asker<K> {
    wanted: watch::Receiver<BTreeMap<K, Target>>,
    publish: watch::Sender<Probes<K>>,
    liveness: Liveness<K>,
    identifier: u16,
    sockets: PerFamily<IcmpSocket>,
    troubles: Vec<NoSocket>,
}

impl<K: Ord + Clone> Asker<K> {
    fn new(wanted: watch::Receiver<BTreeMap<K, Target>>, publish: watch::Sender<Probes<K>>) -> Self {
        let random = RandomState::new();
        let nonce = random.hash_one(0_u8);
        let identifier = u16::try_from(random.hash_one(1_u8) & 0xffff).unwrap_or(1);
        let liveness = Liveness::new(identifier, nonce);
        Self { wanted, publish, liveness, identifier, sockets: PerFamily::default(), troubles: Vec::new() }
    }

    async fn run(mut self) {
        let mut refresh = tokio::time::interval(REFRESH);
        refresh.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.liveness.handle_timeout(clock::now());
            while let Some(transmit) = self.liveness.poll_transmit() {
                self.send(&transmit);
            }
            self.tell_changes();
            let next = self.liveness.poll_timeout();
            tokio::select! {
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.take_targets(),
                    Err(_) => return,
                },
                () = sleep_until(clock::instant(next.unwrap_or_default())), if next.is_some() => {}
                replies = replies(self.sockets.v4.as_ref()) => self.take_replies(&replies),
                replies = replies(self.sockets.v6.as_ref()) => self.take_replies(&replies),
                _ = refresh.tick() => self.refresh(),
            }
        }
    }

    fn take_targets(&mut self) {
        let targets = self.wanted.borrow_and_update().clone();
        for family in [Family::V4, Family::V6] {
            let needed = targets.values().any(|target| Family::of(target.to) == family);
            if needed && self.sockets.get(family).is_none() {
                self.open(family);
            }
        }
        self.liveness.set_targets(clock::now(), &targets);
    }

    fn open(&mut self, family: Family) {
        let before = self.troubles.iter().any(|trouble| trouble.family == family);
        self.troubles.retain(|trouble| trouble.family != family);
        match IcmpSocket::open(family, self.identifier) {
            Ok(socket) => self.sockets.set(family, socket),
            Err(error) => {
                let reason =
                    format!("{error}; give the process CAP_NET_RAW or its group net.ipv4.ping_group_range");
                if !before {
                    warn!(?family, error = %reason, "no ICMP socket, paths of this family are not probed");
                }
                self.troubles.push(NoSocket { family, reason });
            }
        }
    }

    fn send(&self, transmit: &Transmit) {
        let Some(socket) = self.sockets.get(Family::of(transmit.to)) else { return };
        if let Err(error) = socket.send(transmit) {
            // No way to the target is a loss like any other: the verdict says it.
            debug!(to = %transmit.to, %error, "echo request not sent");
        }
    }

    fn take_replies(&mut self, replies: &[(IpAddr, Echo)]) {
        let now = clock::now();
        for (from, echo) in replies {
            self.liveness.handle_reply(now, *from, echo);
        }
    }

    fn tell_changes(&mut self) {
        let mut changed = false;
        while self.liveness.poll_changed().is_some() {
            changed = true;
        }
        if changed {
            self.publish.send_replace(self.known());
        }
    }

    fn refresh(&mut self) {
        for family in self.troubles.iter().map(|trouble| trouble.family).collect::<Vec<_>>() {
            self.open(family);
        }
        self.publish.send_if_modified(|published| {
            let news = published.troubles != self.troubles;
            *published = self.known();
            news
        });
    }

    fn known(&self) -> Probes<K> {
        Probes { at: clock::now(), paths: self.liveness.probes(), troubles: self.troubles.clone() }
    }
}

/// Waits for replies; for ever without a socket.
async fn replies(socket: Option<&IcmpSocket>) -> Vec<(IpAddr, Echo)> {
    match socket {
        Some(socket) => socket.replies().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subm_probe::{Pace, Verdict};

    fn target(to: &str, from: Option<&str>) -> Target {
        let from = from.map(|address| address.parse().unwrap());
        Target { to: to.parse().unwrap(), from, pace: Pace::CABLE, sample_interval: REFRESH }
    }

    #[tokio::test]
    async fn those_who_answer_are_alive_and_those_who_cannot_be_reached_are_dead() {
        let prober = Prober::start();
        let mut known = prober.probes();
        // KERNEL: a socket may not send to the broadcast address unless it asked to, so nothing leaves.
        let targets = [
            ("near", target("127.0.0.1", Some("127.0.0.2"))),
            ("nearer", target("127.0.0.3", None)),
            ("nowhere", target("255.255.255.255", None)),
        ];
        prober.set_targets(targets.into());
        let told = known.wait_for(|probes| {
            let is = |key, verdict| probes.paths.get(key).is_some_and(|probe| probe.verdict == verdict);
            let all =
                is("near", Verdict::Alive) && is("nearer", Verdict::Alive) && is("nowhere", Verdict::Dead);
            all || !probes.troubles.is_empty()
        });
        let told = tokio::time::timeout(Duration::from_secs(20), told).await.unwrap().unwrap().clone();
        assert_eq!(told.troubles, [], "sockets need CAP_NET_RAW or net.ipv4.ping_group_range");
        assert!(told.paths["near"].latency.is_some());
        prober.set_targets(BTreeMap::new());
        known.wait_for(|probes| probes.paths.is_empty()).await.unwrap();
    }
}
