use super::*;
use std::collections::BTreeMap;

use subm_plan::{NodePlan, StepFailure};
use subm_probe::Moment;
use subm_route::{ProbeTarget, RoutePlan};
use subm_types::{Backend, CableName, Endpoint, Family, HostName, PerFamily};

fn endpoint() -> Endpoint {
    Endpoint {
        object: "west-cable".to_owned(),
        cluster: "west".parse().unwrap(),
        cable_name: CableName("cable".to_owned()),
        hostname: HostName("west-gateway".to_owned()),
        subnets: vec!["10.2.0.0/16".parse().unwrap()],
        private_ips: PerFamily::of(["172.19.0.2".parse().unwrap()]),
        public_ips: PerFamily::default(),
        health_check_ips: PerFamily::of(["10.2.0.1".parse().unwrap()]),
        nat_enabled: false,
        backend: Backend::Vxlan,
        udp_port: 4500,
        nat_discovery_port: None,
        interface_name: None,
        public_key: None,
        preferred_server: None,
        cluster_uid: None,
        epoch: None,
        created: 0,
    }
}

fn cable() -> CableId {
    let endpoint = endpoint();
    CableId { cluster: endpoint.cluster, family: Family::V4, path: endpoint.cable_name }
}

fn outlook() -> Outlook {
    let good = |kind| Condition { kind, holds: true, reason: "Good", message: String::new() };
    let target = ProbeTarget { cable: cable(), destination: "10.2.0.1".parse().unwrap(), source: None };
    let plan = RoutePlan {
        node: NodePlan::default(),
        role: Role::Worker { gateway: subm_route::NodeName("east-gateway".to_owned()) },
        remotes: vec![endpoint()],
        targets: vec![target],
        conditions: ["CNIInterfaceFound", "GatewayFound", "OverlayPlanned"].map(good).into(),
    };
    let (problems, specs) = (Vec::new(), BTreeMap::new());
    Outlook { plan, problems, specs, nodes: 2, generation: 1, probing: true }
}

fn converged() -> Report {
    Report { generation: 1, converged: true, ..Report::default() }
}

fn probes(verdict: Verdict) -> Probes<CableId> {
    let probe = Probe { verdict, ..Probe::default() };
    Probes { at: Moment::default(), paths: BTreeMap::from([(cable(), probe)]), troubles: Vec::new() }
}

fn told(outlook: &Outlook, report: &Report, verdict: Verdict) -> RouteAgentStatus {
    let probes = probes(verdict);
    status(&Findings { outlook, report, probes: &probes }, &[], Timestamp::UNIX_EPOCH)
}

fn condition<'a>(status: &'a RouteAgentStatus, kind: &str) -> &'a ApiCondition {
    status.conditions.iter().find(|condition| condition.type_ == kind).unwrap()
}

#[test]
fn connected_means_that_probes_are_answered() {
    for (verdict, word) in [
        (Verdict::Pending, ConnectionStatus::Connecting),
        (Verdict::Alive, ConnectionStatus::Connected),
        (Verdict::Dead, ConnectionStatus::Error),
    ] {
        let remote = told(&outlook(), &converged(), verdict).remote_endpoints.remove(0);
        assert_eq!(remote.status, word);
        assert_eq!(remote.status_message.is_empty(), word == ConnectionStatus::Connected);
    }
}

#[test]
fn what_is_not_probed_is_never_connected() {
    let mut silent = outlook();
    silent.probing = false;
    let mut gateway = outlook();
    (gateway.plan.role, gateway.plan.targets) = (Role::Gateway, Vec::new());
    for outlook in [silent, gateway] {
        let remote = told(&outlook, &converged(), Verdict::Alive).remote_endpoints.remove(0);
        assert_eq!(remote.status, ConnectionStatus::None);
        assert!(remote.status_message.starts_with("not probed"), "{}", remote.status_message);
    }
}

#[test]
fn a_step_that_the_kernel_refuses_makes_the_node_not_ready() {
    let failure = StepFailure { step: "ip link add vx-submariner".to_owned(), reason: "EPERM".to_owned() };
    let report = Report { failures: vec![failure], converged: false, ..converged() };
    let status = told(&outlook(), &report, Verdict::Alive);
    assert!(status.status_failure.contains("ip link add vx-submariner: EPERM"), "{}", status.status_failure);
    assert_eq!(condition(&status, "Ready").status, "False");
    assert_eq!(condition(&told(&outlook(), &converged(), Verdict::Alive), "Ready").status, "True");
}

#[test]
fn a_condition_that_stays_keeps_its_time() {
    let (outlook, report, probes) = (outlook(), converged(), probes(Verdict::Alive));
    let found = Findings { outlook: &outlook, report: &report, probes: &probes };
    let first = status(&found, &[], Timestamp::UNIX_EPOCH);
    let later = status(&found, &first.conditions, Timestamp::from_second(100).unwrap());
    assert_eq!(first, later);
    assert!(!is_news(&first, &later));
    let broken = Report { trouble: None, generation: 0, ..converged() };
    let found = Findings { report: &broken, ..found };
    let changed = status(&found, &first.conditions, Timestamp::from_second(100).unwrap());
    assert_eq!(condition(&changed, "Ready").last_transition_time.0.as_second(), 100);
    assert_eq!(condition(&changed, "GatewayFound").last_transition_time.0.as_second(), 0);
    assert!(is_news(&first, &changed));
}

#[test]
fn mere_round_trip_times_are_no_news() {
    let one = told(&outlook(), &converged(), Verdict::Alive);
    let mut other = one.clone();
    other.remote_endpoints[0].latency_rtt = Some(LatencyRtt::default());
    assert!(!is_news(&one, &other));
}
