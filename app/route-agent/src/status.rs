//! What the node's RouteAgent object says.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as ApiCondition, Time};
use subm_api::route_agent::{RemoteEndpoint, RouteAgentStatus};
use subm_api::{ConnectionStatus, EndpointSpec, GoDuration, LatencyRtt};
use subm_probe::{Latency, Probe, Verdict};
use subm_route::{Condition, Role};
use subm_runtime::Report;
use subm_runtime::icmp::Probes;
use subm_types::CableId;

use crate::view::Outlook;

/// Everything that the object is made of.
pub(crate) struct Findings<'a> {
    /// What was planned.
    pub(crate) outlook: &'a Outlook,
    /// What came of it.
    pub(crate) report: &'a Report,
    /// What probes found.
    pub(crate) probes: &'a Probes<CableId>,
}

/// The status; conditions that did not change keep their time.
pub(crate) fn status(found: &Findings<'_>, before: &[ApiCondition], now: Timestamp) -> RouteAgentStatus {
    let mut conditions = found.outlook.plan.conditions.clone();
    let programmed = programmed(found.report, found.outlook.generation);
    let status_failure = if programmed.holds { String::new() } else { programmed.message.clone() };
    conditions.push(programmed);
    conditions.push(ready(&conditions));
    conditions.sort_by_key(|condition| condition.kind);
    RouteAgentStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        status_failure,
        remote_endpoints: remote_endpoints(found),
        conditions: conditions.iter().map(|condition| dated(condition, before, now)).collect(),
    }
}

/// Tells whether two statuses differ in more than round-trip times.
pub(crate) fn is_news(old: &RouteAgentStatus, new: &RouteAgentStatus) -> bool {
    let without_times = |status: &RouteAgentStatus| {
        let mut status = status.clone();
        for remote in &mut status.remote_endpoints {
            remote.latency_rtt = None;
        }
        status
    };
    without_times(old) != without_times(new)
}

fn programmed(report: &Report, generation: u64) -> Condition {
    const KIND: &str = "DataPathProgrammed";
    let bad = |reason, message| Condition { kind: KIND, holds: false, reason, message };
    if let Some(trouble) = &report.trouble {
        return bad("KernelNotReadable", format!("{trouble}; see that the process may use netlink"));
    }
    if !report.foreign_links.is_empty() {
        let names: Vec<_> = report.foreign_links.iter().map(ToString::to_string).collect();
        let message = format!("link {} is somebody else's; rename or delete it", names.join(", "));
        return bad("ForeignLink", message);
    }
    if let Some(failure) = report.failures.first() {
        let more = report.failures.len() - 1;
        return bad("StepFailed", format!("{}: {}; {more} more", failure.step, failure.reason));
    }
    if report.generation < generation {
        return bad("Programming", "the last plan is being programmed".to_owned());
    }
    let message = "the kernel is what the plan says".to_owned();
    Condition { kind: KIND, holds: true, reason: "Programmed", message }
}

/// Ready is a node whose own processes and pods have their way to remote clusters.
fn ready(conditions: &[Condition]) -> Condition {
    const NEEDED: [&str; 4] = ["CNIInterfaceFound", "DataPathProgrammed", "GatewayFound", "OverlayPlanned"];
    let missing: Vec<&str> = conditions
        .iter()
        .filter(|condition| NEEDED.contains(&condition.kind) && !condition.holds)
        .map(|condition| condition.kind)
        .collect();
    let (holds, reason, message) = if missing.is_empty() {
        (true, "Ready", "this node has its way to remote clusters".to_owned())
    } else {
        (false, "NotReady", format!("not so: {}", missing.join(", ")))
    };
    Condition { kind: "Ready", holds, reason, message }
}

fn dated(condition: &Condition, before: &[ApiCondition], now: Timestamp) -> ApiCondition {
    let status = if condition.holds { "True" } else { "False" };
    let same = before.iter().find(|old| old.type_ == condition.kind && old.status == status);
    ApiCondition {
        type_: condition.kind.to_owned(),
        status: status.to_owned(),
        reason: condition.reason.to_owned(),
        message: condition.message.clone(),
        last_transition_time: same.map_or(Time(now), |old| old.last_transition_time.clone()),
        observed_generation: None,
    }
}

fn remote_endpoints(found: &Findings<'_>) -> Vec<RemoteEndpoint> {
    let mut out = Vec::new();
    for endpoint in &found.outlook.plan.remotes {
        let spec = found.outlook.specs.get(&endpoint.object).cloned().unwrap_or_default();
        let targets = found.outlook.plan.targets.iter();
        let cables: Vec<&CableId> =
            targets.map(|target| &target.cable).filter(|cable| cable.path == endpoint.cable_name).collect();
        if cables.is_empty() {
            out.push(unprobed(found.outlook, spec));
        } else {
            out.extend(cables.into_iter().map(|cable| remote_endpoint(found, cable, spec.clone())));
        }
    }
    out
}

fn unprobed(outlook: &Outlook, spec: EndpointSpec) -> RemoteEndpoint {
    let answering = !(spec.health_check_ips.is_empty() && spec.health_check_ip.is_empty());
    let why = if outlook.plan.role == Role::Gateway {
        "not probed: this node is the gateway, whose Gateway object tells of its cables"
    } else if answering {
        "not probed: its healthCheckIPs are of another address family than this cluster's networks"
    } else {
        "not probed: the Endpoint has no healthCheckIP"
    };
    none(why.to_owned(), spec)
}

const fn none(status_message: String, spec: EndpointSpec) -> RemoteEndpoint {
    RemoteEndpoint { status: ConnectionStatus::None, status_message, spec, latency_rtt: None }
}

fn remote_endpoint(found: &Findings<'_>, cable: &CableId, spec: EndpointSpec) -> RemoteEndpoint {
    if !found.outlook.probing {
        return none("not probed".to_owned(), spec);
    }
    if let Some(trouble) = found.probes.troubles.iter().find(|trouble| trouble.family == cable.family) {
        return none(format!("not probed: {}", trouble.reason), spec);
    }
    let probe = found.probes.paths.get(cable).copied().unwrap_or_default();
    let (status, status_message) = match probe.verdict {
        Verdict::Pending => (ConnectionStatus::Connecting, "no probe was answered yet".to_owned()),
        Verdict::Alive => (ConnectionStatus::Connected, String::new()),
        Verdict::Dead => (ConnectionStatus::Error, dead(found.outlook, cable, &probe)),
    };
    RemoteEndpoint { status, status_message, spec, latency_rtt: probe.latency.map(latency) }
}

/// Says nothing that changes with every probe.
fn dead(outlook: &Outlook, cable: &CableId, probe: &Probe) -> String {
    let address = outlook.plan.targets.iter().find(|target| target.cable == *cable);
    let address = address.map(|target| target.destination.to_string()).unwrap_or_default();
    if probe.answered.is_some() {
        format!("{address} no longer answers probes from this node; see the gateways of both clusters")
    } else {
        format!("{address} never answered a probe from this node; see the gateways of both clusters")
    }
}

fn latency(latency: Latency) -> LatencyRtt {
    let text = |duration| Some(GoDuration::from(duration));
    LatencyRtt {
        last: text(latency.last),
        min: text(latency.min),
        average: text(latency.average),
        max: text(latency.max),
        std_dev: text(latency.std_dev),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
