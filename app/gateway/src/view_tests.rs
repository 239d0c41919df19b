//! What follows from what is known.

use std::time::Duration;

use insta::assert_snapshot;
use subm_api::keys;
use subm_plan::LinkFacts;
use subm_probe::LeaseTiming;
use subm_types::{Backend, Epoch, IfName, Mtu};

use super::*;
use crate::settings::{HealthCheck, Task};

pub(crate) fn config() -> Config {
    Config {
        cluster: "east".parse().unwrap(),
        namespace: "submariner-operator".to_owned(),
        cluster_cidrs: vec!["10.1.0.0/16".parse().unwrap()],
        service_cidrs: vec!["100.1.0.0/16".parse().unwrap()],
        driver: Backend::Vxlan,
        wireguard_carrier: subm_cable::WireguardCarrier::Best,
        public_ip: "ipv4:203.0.113.1".to_owned(),
        nat_enabled: false,
        air_gapped: false,
        in_clear: subm_cable::InClear::Private,
        udp_port: 4500,
        psk: crate::settings::Psk::Unset,
        ipsec: crate::settings::IpsecConfig::default(),
        hub: subm_kube::HubSettings::default(),
        lease: LeaseTiming::DEFAULT,
        health: Some(HealthCheck { interval: Duration::from_secs(1), losses: 5 }),
        node_name: "gw-1".to_owned(),
        pod_name: None,
        metrics_port: 0,
        task: Task::Run,
        kubeconfig: None,
    }
}

pub(crate) fn facts() -> HostFacts {
    let link = |index, address: &str| LinkFacts {
        index,
        mtu: Some(Mtu(1500)),
        up: true,
        addresses: vec![address.parse().unwrap()],
        ..LinkFacts::default()
    };
    HostFacts {
        links: [("eth0", link(2, "172.18.0.2/16")), ("cni0", link(3, "10.1.0.1/24"))]
            .map(|(name, link)| (name.parse().unwrap(), link))
            .into(),
        default_route: PerFamily { v4: Some(IfName::constant("eth0")), v6: None },
        tun: true,
        wireguard: false,
        rp_filter_all: None,
        preferred_source: PerFamily::of(["172.18.0.2".parse().unwrap()]),
        ipv6_forwarding: Some(0),
    }
}

pub(crate) fn endpoint(cluster: &str, host: &str, private: &str, epoch: u64) -> subm_api::Endpoint {
    let id: ClusterId = cluster.parse().unwrap();
    let (pods, cable_name) = match cluster {
        "east" => ("10.1.0.0/16", subm_api::names::cable_name(&id, private.parse().unwrap())),
        _ => ("10.2.0.0/16", subm_api::names::cable_name(&id, private.parse().unwrap())),
    };
    let mut object = subm_api::Endpoint {
        spec: EndpointSpec {
            cluster_id: cluster.to_owned(),
            cable_name,
            hostname: host.to_owned(),
            subnets: vec![pods.to_owned()],
            private_ip: private.to_owned(),
            backend: "vxlan".to_owned(),
            ..EndpointSpec::default()
        },
        ..subm_api::Endpoint::default()
    };
    let annotations = [
        (keys::CLUSTER_UID.to_owned(), format!("uid-{cluster}")),
        (keys::EPOCH.to_owned(), epoch.to_string()),
    ];
    object.metadata.name = subm_api::names::endpoint_object_name(&object.spec).ok();
    object.metadata.annotations = Some(annotations.into());
    object
}

pub(crate) fn home(endpoints: Vec<subm_api::Endpoint>) -> Arc<Snapshot> {
    let completeness = subm_sync::Completeness::Complete;
    Arc::new(Snapshot { endpoints, clusters: Vec::new(), completeness })
}

pub(crate) fn active(endpoints: Vec<subm_api::Endpoint>) -> View {
    let mut view = View::new(config());
    view.set_facts(facts());
    view.node = Some(NodeSettings { hostname: HostName("gw-1".to_owned()), ..NodeSettings::default() });
    view.uid = Some(ClusterUid("uid-east".to_owned()));
    view.home = Some(home(endpoints));
    view.leadership = Leadership::Ours;
    view.last_ways = Some(BTreeMap::new());
    view
}

fn takeover(private: &str, host: &str, epoch: u64) -> Takeover {
    let cable_name = format!("submariner-cable-east-{}", private.replace('.', "-"));
    Takeover {
        epoch: Epoch(epoch),
        cable_name: subm_types::CableName(cable_name),
        hostname: HostName(host.to_owned()),
    }
}

fn published(view: &View) -> (Epoch, EndpointSpec) {
    match view.outcome().publication {
        Publication::Publish(published) => {
            let endpoint = published.endpoints.into_iter().next().unwrap();
            (endpoint.epoch, endpoint.spec)
        }
        other @ (Publication::Hold | Publication::Withdraw) => panic!("{other:?}"),
    }
}

pub(crate) fn west() -> subm_api::Endpoint {
    endpoint("west", "gw-w", "172.18.0.3", 1)
}

#[test]
fn the_active_gateway_publishes_its_end_and_keeps_cables() {
    let view = active(vec![west()]);
    let (epoch, spec) = published(&view);
    assert_eq!(epoch, Epoch(1));
    assert_snapshot!(serde_json::to_string_pretty(&spec).unwrap(), @r#"
{
  "cluster_id": "east",
  "cable_name": "submariner-cable-east-172-18-0-2",
  "healthCheckIP": "10.1.0.1",
  "healthCheckIPs": [
    "10.1.0.1"
  ],
  "hostname": "gw-1",
  "subnets": [
    "100.1.0.0/16",
    "10.1.0.0/16"
  ],
  "private_ip": "172.18.0.2",
  "privateIPs": [
    "172.18.0.2"
  ],
  "public_ip": "203.0.113.1",
  "publicIPs": [
    "203.0.113.1"
  ],
  "nat_enabled": false,
  "backend": "vxlan",
  "backend_config": {
    "natt-discovery-port": "4490",
    "udp-port": "4500"
  }
}
"#);
    assert_snapshot!(view.outcome().node_plan().unwrap(), @r"
    link vxlan-tunnel vxlan id 1000 dstport 4500 nolearning mtu 1450 address 02:63:ac:12:00:02 up
    address 241.18.0.2/8 dev vxlan-tunnel
    sysctl net.ipv4.conf.vxlan-tunnel.rp_filter = 2
    sysctl net.ipv4.conf.vxlan-tunnel.forwarding = 1
    fdb 00:00:00:00:00:00 dev vxlan-tunnel dst 172.18.0.3 self permanent
    route 10.2.0.0/16 via 241.18.0.3 dev vxlan-tunnel onlink table 101 src 10.1.0.1 metric 50
    ");
}

#[test]
fn nothing_is_planned_or_published_before_everything_is_known() {
    let complete = active(vec![west()]);
    let lacking: [fn(&mut View); 3] =
        [|view| view.home = None, |view| view.node = None, |view| view.facts = None];
    for lack in lacking {
        let mut view = complete.clone();
        lack(&mut view);
        let outcome = view.outcome();
        assert_eq!((outcome.cables, outcome.publication), (Cables::Hold, Publication::Hold));
    }
    let mut nameless = complete.clone();
    nameless.uid = None;
    let outcome = nameless.outcome();
    assert_eq!(outcome.publication, Publication::Hold);
    assert_ne!(outcome.cables, Cables::Hold);
}

#[test]
fn a_takeover_raises_the_epoch_and_a_restart_does_not() {
    let others = endpoint("east", "gw-2", "172.18.0.9", 4);
    assert_eq!(published(&active(vec![others.clone()])).0, Epoch(5));
    let ours = endpoint("east", "gw-1", "172.18.0.2", 5);
    assert_eq!(published(&active(vec![others, ours.clone()])).0, Epoch(5));
    let mut view = active(vec![ours]);
    view.latest_takeover = Some(takeover("172.18.0.2", "gw-1", 5));
    assert_eq!(published(&view).0, Epoch(5));
    view.latest_takeover = Some(takeover("172.18.0.9", "gw-2", 8));
    assert_eq!(published(&view).0, Epoch(9));
}

#[test]
fn an_endpoint_of_ours_that_only_the_hub_has_yet_is_no_new_takeover() {
    let others = endpoint("east", "gw-2", "172.18.0.9", 4);
    let mut view = active(vec![others]);
    assert_eq!(published(&view).0, Epoch(5));
    view.latest_takeover = Some(takeover("172.18.0.2", "gw-1", 5));
    assert_eq!(published(&view).0, Epoch(5));
    view.home = Some(home(vec![]));
    assert_eq!(published(&view).0, Epoch(5));
}

#[test]
fn a_gateway_without_the_lease_leaves_the_cables_until_a_successor_is_published() {
    let ours = endpoint("east", "gw-1", "172.18.0.2", 5);
    for leadership in [Leadership::Unknown, Leadership::Others] {
        let mut view = active(vec![west(), ours.clone()]);
        view.leadership = leadership;
        assert_eq!(view.outcome().cables, Cables::Hold);
        view.home = Some(home(vec![west()]));
        assert_eq!(view.outcome().cables, Cables::Hold);
        let successor = endpoint("east", "gw-2", "172.18.0.9", 6);
        view.home = Some(home(vec![west(), ours.clone(), successor]));
        assert_eq!(view.outcome().cables, Cables::HandOver);
        assert_eq!(view.outcome().node_plan(), Some(NodePlan::default()));
        assert_eq!(view.outcome().publication, Publication::Hold);
    }
}

#[test]
fn a_default_route_that_is_away_for_a_moment_changes_no_name() {
    let mut view = active(vec![west()]);
    let before = published(&view).1.cable_name;
    view.set_facts(HostFacts { preferred_source: PerFamily::default(), ..facts() });
    assert_eq!(published(&view).1.cable_name, before);
}

#[test]
fn bad_objects_are_named_and_leave_the_good_ones() {
    let mut broken = endpoint("north", "gw-n", "172.18.0.4", 1);
    broken.spec.subnets = vec!["10.3.0.0/16".to_owned(), "10.4/16".to_owned()];
    let overlapping = endpoint("zulu", "gw-z", "172.18.0.5", 1);
    let double = endpoint("east", "gw-x", "172.18.0.7", 9);
    let mut double = double;
    double.metadata.annotations = Some([(keys::CLUSTER_UID.to_owned(), "uid-other".to_owned())].into());
    let outcome = active(vec![broken, overlapping, west(), double]).outcome();
    let Cables::Keep(plan) = outcome.cables else { panic!("no cables") };
    assert_eq!(plan.tunnels.len(), 1);
    let said: Vec<String> = outcome.problems.iter().map(ToString::to_string).collect();
    assert_snapshot!(said.join("\n"), @r#"
    Endpoint east-submariner-cable-east-172-18-0-7 field spec.cluster_id: another cluster, of UID uid-other, uses the id east, which is this cluster's; let one of the two leave and join again under another cluster id
    Endpoint north-submariner-cable-north-172-18-0-4 field spec.subnets[1]: "10.4/16" is no network; correct the networks that this cluster was joined with, in the form 10.0.0.0/16
    Endpoint zulu-submariner-cable-zulu-172-18-0-5 field spec.subnets: 10.2.0.0/16 overlaps 10.2.0.0/16 of cluster west; give one of the clusters other CIDRs, or join both with Globalnet
    "#);
}

/// Whoever is asked for the public address fails.
fn nobody_answers(view: &mut View) {
    use subm_probe::public_address::{Heard, Told};
    for resolver in view.resolvers().resolvers {
        view.answers.insert(resolver, Told::Heard(Heard::failed("nobody is there")));
    }
}

#[test]
fn what_the_node_lacks_is_named() {
    let mut view = active(vec![]);
    view.config.public_ip = "api:ifconfig.me".to_owned();
    view.config.air_gapped = false;
    let mut bare = facts();
    bare.links.remove(&IfName::constant("cni0"));
    view.set_facts(bare);
    nobody_answers(&mut view);
    let (_, spec) = published(&view);
    assert_eq!((spec.health_check_ip.as_str(), spec.public_ip.as_str()), ("", ""));
    let reasons: Vec<&str> = view.outcome().problems.iter().map(|problem| problem.reason).collect();
    assert_eq!(reasons, ["NoHealthCheckAddress", "UnresolvedPublicIP"]);
}

#[test]
fn an_unknown_public_address_is_a_problem_only_where_somebody_could_tell_it() {
    let reasons = |public_ip: &str, nat_enabled, air_gapped| {
        let mut view = active(vec![]);
        view.config = Config { public_ip: public_ip.to_owned(), nat_enabled, air_gapped, ..view.config };
        assert_eq!(view.outcome().problems, [], "whoever was asked just now may still answer");
        nobody_answers(&mut view);
        let outcome = view.outcome();
        outcome.problems.iter().map(|problem| problem.reason).collect::<Vec<_>>()
    };
    assert_eq!(reasons("", true, false), ["UnresolvedPublicIP"]);
    assert_eq!(reasons("", false, false), [""; 0]);
    assert_eq!(reasons("api:ifconfig.me", false, false), ["UnresolvedPublicIP"]);
    assert_eq!(reasons("api:ifconfig.me", true, true), [""; 0]);
}

/// Where the cable to west goes; nothing where nothing is planned.
fn used(view: &View) -> Option<(String, bool)> {
    let Cables::Keep(plan) = view.outcome().cables else { return None };
    plan.tunnels.values().next().map(|tunnel| (tunnel.using_ip.to_string(), tunnel.using_nat))
}

#[test]
fn after_a_restart_a_cable_goes_on_by_the_way_that_the_gateway_object_tells() {
    use subm_runtime::View as _;

    use crate::discovery::last_ways;
    use crate::input::Input;

    let mut remote = west();
    remote.spec.public_ip = "100.64.0.9".to_owned();
    let mut view = active(vec![remote.clone()]);
    view.last_ways = None;
    assert_eq!(used(&view), None, "what stands is not led elsewhere before that is read");
    let mut gateway = subm_api::Gateway::default();
    gateway.status.connections.push(subm_api::connection::Connection {
        endpoint: remote.spec.clone(),
        using_ip: "100.64.0.9".to_owned(),
        using_nat: true,
        ..Default::default()
    });
    view.apply(Input::LastWays(last_ways(&gateway)));
    let last = Some(("100.64.0.9".to_owned(), true));
    assert_eq!(used(&view), last);
    // An answer counts more, and when it is forgotten the Endpoint does.
    let id = last_ways(&gateway).into_keys().next().unwrap();
    let private = Way { address: "172.18.0.3".parse().unwrap(), nat: false };
    view.apply(Input::Ways([(id, private)].into(), Vec::new()));
    assert_eq!(used(&view), Some(("172.18.0.3".to_owned(), false)));
    view.apply(Input::Ways(BTreeMap::new(), Vec::new()));
    assert_eq!(used(&view), Some(("172.18.0.3".to_owned(), false)));
}
