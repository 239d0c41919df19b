//! What is told to those who measure.

use super::*;
use subm_plan::PeerEvidence;
use subm_runtime::icmp::Probes;

use subm_types::{PresharedKey, PrivateKey, PublicKey};

use crate::view::Cables;
use crate::view::tests::{active, endpoint, west};

#[tokio::test]
async fn a_plan_is_timed_until_the_kernel_is_what_that_plan_says() {
    let mut registry = Registry::default();
    let latency = Histogram::new([1.0]);
    registry.register("seconds", "Seconds", latency.clone());
    let counted = || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text.lines().find_map(|line| line.strip_prefix("seconds_count ")?.parse::<u64>().ok()).unwrap()
    };
    let (plan, generation) = watch::channel(1);
    let earlier = Report { generation: 1, converged: true, ..Report::default() };
    let (tell, report) = watch::channel(earlier.clone());
    let timing = tokio::spawn(time_plans(generation, report, latency));
    plan.send(2).unwrap();
    tell.send(Report { taken: 1, ..earlier.clone() }).unwrap();
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert_eq!(counted(), 0);
    tell.send(Report { generation: 2, ..earlier }).unwrap();
    drop(tell);
    timing.await.unwrap();
    assert_eq!(counted(), 1);
}

/// Everything that a gateway with one cable of each kind and a standby tells.
fn everything() -> String {
    let (private, theirs) = (PrivateKey::new([1; 32]), PublicKey([2; 32]));
    let mut remote = west();
    remote.spec.health_check_ip = "10.2.0.1".to_owned();
    remote.spec.backend = "wireguard".to_owned();
    remote.spec.backend_config.insert("publicKey".to_owned(), theirs.to_string());
    let mut stranger = endpoint("north", "gw-n", "172.18.0.4", 1);
    stranger.spec.subnets = vec!["10.3.0.0/16".to_owned()];
    stranger.spec.backend = "amneziawg".to_owned();
    let mut view = active(vec![remote, stranger]);
    view.config.driver = subm_types::Backend::Wireguard;
    let (public, preshared) = (subm_noise::public_key(&private), PresharedKey::new([3; 32]));
    view.wireguard = Some(subm_cable::WireguardKeys { private, public, preshared });
    let outcome = view.outcome();
    let Cables::Keep(plan) = &outcome.cables else { panic!("no cables") };
    let established = plan.tunnels.keys().map(|id| (id.clone(), 1_700_000_000)).collect();
    let milliseconds = std::time::Duration::from_millis;
    let latency = subm_probe::Latency { last: milliseconds(5), ..subm_probe::Latency::default() };
    let probe = subm_probe::Probe {
        verdict: subm_probe::Verdict::Alive,
        latency: Some(latency),
        ..subm_probe::Probe::default()
    };
    let probes = Probes {
        at: subm_probe::Moment::default(),
        paths: plan.tunnels.keys().map(|id| (id.clone(), probe)).collect(),
        troubles: Vec::new(),
    };
    let evidence =
        PeerEvidence { handshake: Some(milliseconds(1500)), received: 10, sent: 20, endpoint: None };
    let known = Arc::new(Known { view, outcome, established });
    let gateways = || {
        let mut objects = Objects::default();
        objects.apply(subm_kube::Event::Snapshot { objects: vec![gateway_object()], unreadable: Vec::new() });
        objects
    };
    let feeds = Feeds {
        known: watch::channel(Some(known)).1,
        surroundings: watch::channel(crate::conditions::Surroundings::default()).1,
        report: watch::channel(Report::default()).1,
        probes: watch::channel(probes).1,
        evidence: watch::channel([(theirs, evidence)].into()).1,
        ipsec: watch::channel(subm_ipsec::IpsecReport::default()).1,
        gateways: watch::channel(gateways()).1,
    };
    let mut registry = Registry::default();
    subm_runtime::metrics::register_report(&mut registry, feeds.report.clone());
    drop(register(&mut registry, feeds, Iterations::default()));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}

fn gateway_object() -> Gateway {
    let mut gateway = Gateway::default();
    gateway.metadata.name = Some("gw-1".to_owned());
    gateway.metadata.namespace = Some("submariner-operator".to_owned());
    gateway.metadata.creation_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time("2026-01-01T00:00:00Z".parse().unwrap()));
    gateway.status.local_endpoint.hostname = "gw-1".to_owned();
    let endpoint = west().spec;
    gateway.status.connections.push(Connection { endpoint, ..Connection::default() });
    gateway
}

/// The samples of a figure.
fn samples<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
    text.lines().filter(of).collect()
}

#[test]
fn every_cable_is_told_once_with_its_present_status_and_labels() {
    let text = everything();
    let labels = r#"cable_driver="wireguard",local_cluster="east",local_hostname="gw-1",local_endpoint_ip="203.0.113.1",remote_cluster="west",remote_hostname="gw-w",remote_endpoint_ip="""#;
    assert_eq!(
        samples(&text, "submariner_connection_latency_seconds"),
        [format!("submariner_connection_latency_seconds{{{labels}}} 0.005")]
    );
    let connections = samples(&text, "submariner_connections");
    assert!(connections.iter().any(|line| line.contains(labels) && line.contains(r#"status="connected""#)));
    let refused =
        |line: &&&str| line.contains(r#"remote_cluster="north""#) && line.contains(r#"status="error""#);
    assert_eq!((connections.len(), connections.iter().filter(refused).count()), (2, 1), "{connections:?}");
    assert_eq!(samples(&text, "submariner_connections_short").len(), 2);
    assert_eq!(samples(&text, "submariner_gateways"), ["submariner_gateways 1"]);
    assert_eq!(
        samples(&text, "submariner_gateway_sync_iterations"),
        ["submariner_gateway_sync_iterations 0"]
    );
    assert_eq!(samples(&text, "submariner_requested_connections").len(), 1);
}

/// The page as it should be.
fn page() -> String {
    let text = everything();
    let mut rows: Vec<String> = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, help) = line.split_once(' ').unwrap();
        let kind = text.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).unwrap();
        let figure = catalogue::ALL.iter().find(|figure| figure.name == name);
        let whose = match figure.map(|figure| figure.origin) {
            Some(catalogue::Origin::Gateway) => "Go's gateway",
            Some(catalogue::Origin::Operator) => "Go's operator",
            Some(catalogue::Origin::Ours) | None => "ours",
        };
        let shown = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        rows.push(format!(
            "| `{shown}` | {kind} | {} | {whose} | {} |",
            labels(&text, &shown),
            help.trim_end_matches('.')
        ));
    }
    for figure in catalogue::ALL {
        let told = rows.iter().any(|row| row.contains(&format!("`{}`", figure.name)));
        assert!(told, "{} is never told", figure.name);
    }
    rows.sort();
    format!("{HEAD}{}\n", rows.join("\n"))
}

const HEAD: &str = "# Metrics of the gateway

`GET /metrics` on the port of `SUBMARINER_METRICSPORT` (32780), in the format of OpenMetrics. This page is made by a
test of `app/gateway` (`UPDATE=1 cargo nextest run -p submariner-gateway -E 'test(metrics)'`).

*cable* stands for the labels `cable_driver`, `local_cluster`, `local_hostname`, `local_endpoint_ip`, `remote_cluster`,
`remote_hostname`, `remote_endpoint_ip`; addresses are the public ones, and empty where there is none. A cable of both
families is told once for each; what both have in common (bytes, handshakes) once. A status that has passed is not told. Bytes and handshakes are told
by `wireguard`; `vxlan` counts neither.

| Name | Type | Labels | Whose name | Meaning |
|---|---|---|---|---|
";

fn labels(text: &str, name: &str) -> String {
    let sample = text.lines().find(|line| line.starts_with(&format!("{name}{{")));
    let Some((_, rest)) = sample.and_then(|line| line.split_once('{')) else { return String::new() };
    let names: Vec<&str> = rest
        .split('}')
        .next()
        .unwrap_or_default()
        .split(',')
        .filter_map(|one| Some(one.split_once('=')?.0))
        .collect();
    match names.as_slice() {
        [first, .., last] if names.len() >= 7 && *first == "cable_driver" => {
            if *last == "status" {
                "*cable*, `status`".to_owned()
            } else {
                "*cable*".to_owned()
            }
        }
        _ => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}

#[test]
fn the_page_of_metrics_names_all_that_is_told() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), page(), "UPDATE=1 writes it anew");
}
