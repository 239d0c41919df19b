//! What the Gateway object says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use subm_api::EndpointSpec;
use subm_api::connection::{Connection, ConnectionStatus, LatencyRtt};
use subm_api::duration::GoDuration;
use subm_api::gateway::{GatewayStatus, HaStatus};
use subm_cable::{Probed, Refused, State, Status, Tunnel, Unprobed, driver, unprobed};
use subm_ipsec::IpsecReport;
use subm_plan::ipsec::PairEvidence;
use subm_plan::{Evidence, PeerEvidence, StepFailure};
use subm_probe::{Latency, Probe, Verdict};
use subm_runtime::Report;
use subm_runtime::icmp::Probes;
use subm_types::{CableId, Family, Problem};

use crate::carrier;
use crate::conditions::{Finding, Holds, Reasons, SHOWN, Surroundings};
use crate::view::{Cables, Leadership, Outcome, View};

/// Everything that the status speaks of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    /// What is known.
    pub(crate) view: &'a View,
    /// What followed from it.
    pub(crate) outcome: &'a Outcome,
    /// What became of the plan in the kernel.
    pub(crate) report: &'a Report,
    /// What probes found.
    pub(crate) probes: &'a Probes<CableId>,
    /// What cables tell of themselves.
    pub(crate) evidence: &'a Evidence,
    /// What became of IPsec connections.
    pub(crate) ipsec: &'a IpsecReport,
}

/// What went through a tunnel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Bytes received.
    pub(crate) received: u64,
    /// Bytes sent.
    pub(crate) sent: u64,
}

/// How one cable stands.
#[derive(Debug, Clone)]
pub(crate) struct CableState {
    /// As the Gateway says it.
    pub(crate) connection: Connection,
    /// What its own driver counts.
    pub(crate) traffic: Option<Traffic>,
    /// How long its last handshake is past, where there are some.
    pub(crate) handshake: Option<Duration>,
}

/// Problems that keep this gateway from its work, rather than one remote from being reached.
const OUR_OWN: [&str; 12] = [
    "MissingKernelFeature",
    "UnknownCableDriver",
    "NoWireguardKey",
    "NoKernelWireguard",
    "UnknownWireguardCarrier",
    "NoIpsecSecret",
    "NoUplinkAddress",
    "FamilyWithoutUplink",
    "SmallUplinkMTU",
    "InvalidNodeSetting",
    "UnresolvedPublicIP",
    "NoHealthCheckAddress",
];
/// Problems of which the hub's own conditions tell.
const HUB: [&str; 1] = ["HubEmptiedOrRestored"];
const CLUSTER_ID: [&str; 2] = ["DuplicateClusterID", "NameTaken"];

impl Sources<'_> {
    /// The status, its conditions without their times.
    pub(crate) fn status(&self) -> GatewayStatus {
        let active = self.view.leadership == Leadership::Ours;
        GatewayStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ha_status: if active { HaStatus::Active } else { HaStatus::Passive },
            local_endpoint: self.outcome.own_end.clone().unwrap_or_else(|| self.nameless_end()),
            status_failure: self.failure(),
            connections: self.connections(),
            conditions: Vec::new(),
        }
    }

    /// What can be said of our end before it has an address.
    fn nameless_end(&self) -> EndpointSpec {
        let config = &self.view.config;
        EndpointSpec {
            cluster_id: config.cluster.to_string(),
            hostname: self.view.node.as_ref().map(|node| node.hostname.0.clone()).unwrap_or_default(),
            subnets: config.networks().iter().map(ToString::to_string).collect(),
            backend: config.driver.to_string(),
            ..EndpointSpec::default()
        }
    }

    /// Tells whether something that a process learns within moments of its start is not known yet.
    pub(crate) fn is_settling(&self) -> bool {
        let connecting = |one: &Connection| one.status == ConnectionStatus::Connecting;
        self.view.leadership == Leadership::Unknown
            || self.outcome.own_end.is_none()
            || self.connections().iter().any(connecting)
    }

    /// The tunnels and how they stand, and those that there cannot be, in the order of their clusters.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.cables().into_values().map(|cable| cable.connection).collect()
    }

    /// What went through the pairs of subnets of a tunnel.
    fn pairs(&self, tunnel: &Tunnel) -> Option<Traffic> {
        if tunnel.pairs.is_empty() {
            return None;
        }
        let pairs = tunnel.pairs.iter().filter_map(|pair| self.ipsec.evidence.get(pair.name.as_str()));
        let sum = |sum: Traffic, pair: &PairEvidence| Traffic {
            received: sum.received.saturating_add(pair.received),
            sent: sum.sent.saturating_add(pair.sent),
        };
        Some(pairs.fold(Traffic::default(), sum))
    }

    /// The connections with what is told of each beside.
    pub(crate) fn cables(&self) -> BTreeMap<CableId, CableState> {
        let Cables::Keep(plan) = &self.outcome.cables else { return BTreeMap::new() };
        // What tunnels have in common is told with the first.
        let mut told = BTreeSet::new();
        let mut first = |tunnel: &Tunnel| told.insert(tunnel.peer?).then(|| self.peer(tunnel)).flatten();
        let tunnels = plan.tunnels.iter().map(|(id, tunnel)| {
            let peer = first(tunnel);
            let of_peer = |peer: PeerEvidence| Traffic { received: peer.received, sent: peer.sent };
            let state = CableState {
                connection: self.connection(id, tunnel),
                traffic: self.pairs(tunnel).or_else(|| peer.map(of_peer)),
                handshake: peer.and_then(|peer| peer.handshake),
            };
            (id.clone(), state)
        });
        let mut out: BTreeMap<CableId, CableState> = tunnels.collect();
        for (id, refused) in &plan.refused {
            let connection = self.refused(refused);
            out.entry(id.clone()).or_insert(CableState { connection, traffic: None, handshake: None });
        }
        out
    }

    fn refused(&self, Refused { endpoint, problem }: &Refused) -> Connection {
        Connection {
            status: ConnectionStatus::Error,
            status_message: format!("no cable: {}; {}", problem.what, problem.remedy),
            endpoint: self.outcome.remotes.get(&endpoint.object).cloned().unwrap_or_default(),
            using_ip: String::new(),
            using_nat: false,
            latency_rtt: None,
        }
    }

    fn peer(&self, tunnel: &Tunnel) -> Option<PeerEvidence> {
        self.evidence.get(&tunnel.peer?).copied()
    }

    fn connection(&self, id: &CableId, tunnel: &Tunnel) -> Connection {
        let probe = self.probes.paths.get(id).copied();
        let probed = self.probed(tunnel, probe);
        let cable = driver(&self.view.config.driver);
        let status = cable.map_or_else(
            || Status::from_probes(probed, unprobed),
            |cable| {
                let status = cable.status(tunnel, probed, self.peer(tunnel));
                cable.refine(status, tunnel, &self.ipsec.evidence)
            },
        );
        Connection {
            status: match status.state {
                State::Connected => ConnectionStatus::Connected,
                State::Connecting => ConnectionStatus::Connecting,
                State::Error => ConnectionStatus::Error,
                State::Unknown => ConnectionStatus::None,
            },
            status_message: status.message,
            endpoint: self.outcome.remotes.get(&tunnel.endpoint.object).cloned().unwrap_or_default(),
            using_ip: tunnel.using_ip.to_string(),
            using_nat: tunnel.using_nat,
            latency_rtt: probe.and_then(|probe| probe.latency).map(latency),
        }
    }

    fn probed(&self, tunnel: &Tunnel, probe: Option<Probe>) -> Probed {
        let Some(check) = self.view.config.health else { return Probed::No(Unprobed::SwitchedOff) };
        let Some(addresses) = tunnel.probe else { return Probed::No(Unprobed::NoAddress) };
        let family = Family::of(addresses.to);
        if self.probes.troubles.iter().any(|trouble| trouble.family == family) {
            return Probed::No(Unprobed::NoSocket);
        }
        let allowed = check.allowed_silence();
        match probe.unwrap_or_default() {
            Probe { verdict: Verdict::Pending, .. } => Probed::Pending(addresses.to),
            Probe { verdict: Verdict::Alive, .. } => Probed::Answered,
            Probe { verdict: Verdict::Dead, answered, begun, .. } => {
                let since = answered.or(begun).unwrap_or(self.probes.at);
                Probed::Silent { address: addresses.to, span: self.probes.at.since(since), allowed }
            }
        }
    }

    /// What keeps the gateway from its work, in one text; empty when nothing does.
    fn failure(&self) -> String {
        let mut said: Vec<String> = Vec::new();
        if self.view.leadership == Leadership::Ours {
            const FATAL: [&str; 5] = [
                "MissingKernelFeature",
                "UnknownCableDriver",
                "NoWireguardKey",
                "NoIpsecSecret",
                "NoUplinkAddress",
            ];
            let fatal =
                |reason: &str, object: &str| FATAL.contains(&reason) && !object.starts_with("Endpoint ");
            let problems = self.outcome.problems.iter();
            said.extend(problems.filter(|one| fatal(one.reason, &one.object)).map(ToString::to_string));
            said.extend(self.report.trouble.iter().map(ToString::to_string));
            said.extend(self.ipsec.trouble.iter().cloned());
            said.extend(self.failed_steps());
        }
        said.join("; ")
    }

    /// As many of the steps that fail as fit into an object.
    fn failed_steps(&self) -> Vec<String> {
        let failures: Vec<&StepFailure> = self.report.failures.iter().chain(&self.ipsec.failures).collect();
        let line = |failure: &&StepFailure| format!("{}: {}", failure.step, failure.reason);
        let mut lines: Vec<String> = failures.iter().take(SHOWN).map(line).collect();
        lines.extend((failures.len() > SHOWN).then(|| format!("and {} more", failures.len() - SHOWN)));
        lines
    }

    /// What a person should know.
    pub(crate) fn findings(&self, surroundings: &Surroundings) -> Vec<Finding> {
        let problems: Vec<Problem> =
            self.outcome.problems.iter().chain(&surroundings.problems).cloned().collect();
        let own: Vec<&'static str> = OUR_OWN.into_iter().chain(CLUSTER_ID).chain(HUB).collect();
        let mut out: Vec<Finding> = surroundings.findings.values().cloned().collect();
        out.push(Finding::without("ClusterIDUnique", &problems, Reasons::Of(&CLUSTER_ID)));
        out.push(Finding::without("EndpointsAccepted", &problems, Reasons::NotOf(&own)));
        out.push(Finding::without("Configured", &problems, Reasons::Of(&OUR_OWN)));
        out.push(self.data_path());
        out.push(self.probing());
        out.extend(self.view.public_address_finding());
        out.extend(carrier::finding(self.outcome));
        if driver(&self.view.config.driver).is_some_and(|cable| !cable.encrypts()) {
            let message = format!(
                "cable driver {} sends everything between clusters in clear; choose another where others may listen",
                self.view.config.driver
            );
            out.push(Finding::holds("Unencrypted", "CableDriver", message));
        }
        out
    }

    fn data_path(&self) -> Finding {
        const KIND: &str = "DataPathProgrammed";
        if let Some(trouble) = &self.report.trouble {
            return Finding::fails(KIND, "KernelUnavailable", trouble.to_string());
        }
        if let Some(link) = self.report.foreign_links.first() {
            let what = format!("link {link} is there and is not ours; rename or remove it");
            return Finding::fails(KIND, "ForeignLink", what);
        }
        if let Some(trouble) = &self.ipsec.trouble {
            return Finding::fails(KIND, "IKEDaemonUnavailable", trouble.clone());
        }
        if !(self.report.failures.is_empty() && self.ipsec.failures.is_empty()) {
            return Finding::fails(KIND, "StepsFailed", self.failed_steps().join("\n"));
        }
        match (&self.outcome.cables, self.report.generation) {
            (Cables::Hold, 0) => Finding::unknown(KIND, "NothingPlanned", "nothing is planned yet"),
            _ if self.report.converged => Finding::holds(KIND, "Converged", ""),
            _ => Finding { holds: Holds::Unknown, ..Finding::holds(KIND, "Converging", "") },
        }
    }

    fn probing(&self) -> Finding {
        const KIND: &str = "CablesProbed";
        match (&self.view.config.health, self.probes.troubles.first()) {
            (None, _) => Finding::fails(KIND, "SwitchedOff", "SUBMARINER_HEALTHCHECKENABLED is false"),
            (Some(_), Some(trouble)) => Finding::fails(KIND, "NoSocket", trouble.reason.clone()),
            (Some(_), None) => Finding::holds(KIND, "AsExpected", ""),
        }
    }
}

fn latency(latency: Latency) -> LatencyRtt {
    let text = |span: Duration| Some(GoDuration::from(span));
    LatencyRtt {
        last: text(latency.last),
        min: text(latency.min),
        average: text(latency.average),
        max: text(latency.max),
        std_dev: text(latency.std_dev),
    }
}

#[cfg(test)]
mod tests {
    use subm_probe::Moment;
    use subm_runtime::icmp::NoSocket;

    use super::*;
    use crate::view::tests::{active, west};

    fn seconds(count: u64) -> Moment {
        Moment(Duration::from_secs(count))
    }

    fn probes(outcome: &Outcome, probe: Probe) -> Probes<CableId> {
        let Cables::Keep(plan) = &outcome.cables else { panic!("no cables") };
        let paths: BTreeMap<CableId, Probe> = plan.tunnels.keys().map(|id| (id.clone(), probe)).collect();
        Probes { at: seconds(100), paths, troubles: Vec::new() }
    }

    fn said(view: &View, report: &Report, adjust: impl FnOnce(&mut Probes<CableId>), probe: Probe) -> String {
        let outcome = view.outcome();
        let mut probes = probes(&outcome, probe);
        adjust(&mut probes);
        let sources = Sources {
            view,
            outcome: &outcome,
            report,
            probes: &probes,
            evidence: &Evidence::new(),
            ipsec: &IpsecReport::default(),
        };
        let connection = sources.connections().into_iter().next().unwrap();
        assert_eq!(connection.endpoint.cluster_id, "west");
        format!("{} {}", connection.status.as_str(), connection.status_message)
    }

    #[test]
    fn connected_is_said_only_while_probes_are_answered() {
        let mut remote = west();
        remote.spec.health_check_ip = "10.2.0.1".to_owned();
        let (mut view, report) = (active(vec![remote]), Report::default());
        let dead =
            |since| Probe { verdict: Verdict::Dead, answered: Some(seconds(since)), ..Probe::default() };
        let alive = Probe { verdict: Verdict::Alive, answered: Some(seconds(100)), ..Probe::default() };
        let say = |view: &View, probe| said(view, &report, |_| {}, probe);
        assert_eq!(say(&view, alive), "connected ");
        assert_eq!(say(&view, Probe::default()), "connecting waiting for the first answer from 10.2.0.1");
        assert_eq!(say(&view, dead(98)), "error no answer from 10.2.0.1 for 2.0 s");
        let words = "error Failed to successfully ping the remote endpoint IP \"10.2.0.1\"";
        assert_eq!(say(&view, dead(90)), words);
        let without_socket = |probes: &mut Probes<CableId>| {
            probes.troubles.push(NoSocket { family: Family::V4, reason: "forbidden".to_owned() });
        };
        let words = "none not probed (this gateway cannot open an ICMP socket), nothing measured";
        assert_eq!(said(&view, &report, without_socket, dead(90)), words);
        view.config.health = None;
        assert_eq!(say(&view, alive), "none not probed, nothing measured");
    }

    #[test]
    fn what_keeps_the_active_gateway_from_its_work_is_its_failure() {
        let failure = StepFailure { step: "ip link add".to_owned(), reason: "not supported".to_owned() };
        let report = Report { failures: vec![failure], ..Report::default() };
        let mut view = active(vec![west()]);
        let failure = |view: &View| {
            let outcome = view.outcome();
            let probes = Probes { at: seconds(1), paths: BTreeMap::new(), troubles: Vec::new() };
            Sources {
                view,
                outcome: &outcome,
                report: &report,
                probes: &probes,
                evidence: &Evidence::new(),
                ipsec: &IpsecReport::default(),
            }
            .status()
            .status_failure
        };
        assert_eq!(failure(&view), "ip link add: not supported");
        view.config.driver = subm_types::Backend::Other("carrier-pigeon".to_owned());
        assert!(failure(&view).contains("cable driver"), "{}", failure(&view));
        view.leadership = Leadership::Others;
        assert_eq!(failure(&view), "");
    }

    #[test]
    fn thousands_of_failures_do_not_burst_the_object() {
        let failure = |number| StepFailure { step: format!("step {number}"), reason: "refused".to_owned() };
        let report = Report { failures: (0..5000).map(failure).collect(), ..Report::default() };
        let view = active(vec![west()]);
        let outcome = view.outcome();
        let probes = Probes { at: seconds(1), paths: BTreeMap::new(), troubles: Vec::new() };
        let sources = Sources {
            view: &view,
            outcome: &outcome,
            report: &report,
            probes: &probes,
            evidence: &Evidence::new(),
            ipsec: &IpsecReport::default(),
        };
        let failure = sources.status().status_failure;
        assert!(failure.len() < 1000 && failure.ends_with("and 4980 more"), "{failure}");
        let findings = sources.findings(&Surroundings::default());
        let told = findings.iter().find(|one| one.kind == "DataPathProgrammed").unwrap();
        assert!(told.message.len() < 1000, "{}", told.message);
    }

    #[test]
    fn conditions_tell_problems_of_others_from_our_own() {
        let mut broken = west();
        broken.spec.subnets = vec!["nonsense".to_owned()];
        let mut view = active(vec![broken]);
        view.config.public_ip = "ipv4:300.0.0.1".to_owned();
        let outcome = view.outcome();
        let probes = Probes { at: seconds(1), paths: BTreeMap::new(), troubles: Vec::new() };
        let report = Report { generation: 1, converged: true, ..Report::default() };
        let sources = Sources {
            view: &view,
            outcome: &outcome,
            report: &report,
            probes: &probes,
            evidence: &Evidence::new(),
            ipsec: &IpsecReport::default(),
        };
        let findings = sources.findings(&Surroundings::default());
        let holds: BTreeMap<&str, &str> = findings.iter().map(|one| (one.kind, one.holds.as_str())).collect();
        let expected = [
            ("CablesProbed", "True"),
            ("ClusterIDUnique", "True"),
            ("Configured", "False"),
            ("DataPathProgrammed", "True"),
            ("EndpointsAccepted", "False"),
            ("PublicAddressKnown", "False"),
            ("Unencrypted", "True"),
        ];
        assert_eq!(holds, BTreeMap::from(expected));
        let told = findings.iter().find(|one| one.kind == "EndpointsAccepted").unwrap();
        assert!(
            told.message.contains("spec.subnets[0]") && told.message.contains("west"),
            "{}",
            told.message
        );
    }
}
