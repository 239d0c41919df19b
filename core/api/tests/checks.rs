//! What a stranger published is either right or named: object, field, value, remedy.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Value, json};
use subm_api::{Claims, Cluster, Endpoint, Gateway, Kind, RouteAgent, read};
use subm_types::{Backend, Epoch, Problem};

fn sample() -> Value {
    json!({
        "metadata": {"name": "west-cable", "creationTimestamp": "2026-01-02T03:04:05Z",
                     "annotations": {"submariner.io/cluster-uid": "u-1", "submariner.io/epoch": "7"}},
        "spec": {
            "cluster_id": "west", "cable_name": "submariner-cable-west-10-2-0-1", "hostname": "node-1",
            "subnets": ["10.120.0.0/16", "10.20.1.2/16"], "private_ip": "10.2.0.1", "privateIPs": ["10.2.0.1", "fd00::1"],
            "public_ip": "", "nat_enabled": false, "backend": "vxlan", "healthCheckIP": "10.20.0.1",
            "backend_config": {"udp-port": "4501", "natt-discovery-port": "4490"},
        },
    })
}

fn check(object: Value) -> Result<subm_types::Endpoint, Vec<Problem>> {
    subm_types::Endpoint::try_from(&read::<Endpoint>(object).unwrap())
}

#[test]
fn a_good_endpoint_becomes_ours() {
    let endpoint = check(sample()).unwrap();
    assert_eq!(endpoint.subnets, ["10.120.0.0/16".parse().unwrap(), "10.20.0.0/16".parse().unwrap()]);
    let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
    assert_eq!((endpoint.private_ips.v4, endpoint.private_ips.v6), (address("10.2.0.1"), address("fd00::1")));
    assert_eq!((endpoint.public_ips.v4, endpoint.health_check_ips.v4), (None, address("10.20.0.1")));
    assert_eq!((endpoint.udp_port, endpoint.nat_discovery_port), (4501, Some(4490)));
    assert_eq!((endpoint.backend, endpoint.epoch), (Backend::Vxlan, Some(Epoch(7))));
    assert_eq!((endpoint.cluster_uid.unwrap().0.as_str(), endpoint.created), ("u-1", 1_767_323_045));
}

#[test]
fn each_fault_names_object_field_value_and_remedy() {
    let long: Vec<String> =
        (0..300).map(|index| format!("10.{}.{}.0/24", index / 250, index % 250)).collect();
    for (pointer, value, field, reason, shown) in [
        ("/spec/subnets/1", json!("10.20.0.0/33"), "spec.subnets[1]", "InvalidCIDR", "10.20.0.0/33"),
        ("/spec/subnets/0", json!("0.0.0.0/0"), "spec.subnets[0]", "ReservedCIDR", "0.0.0.0/0"),
        ("/spec/subnets/0", json!("127.0.0.0/30"), "spec.subnets[0]", "ReservedCIDR", "loopback"),
        ("/spec/subnets/0", json!("240.1.0.0/16"), "spec.subnets[0]", "ReservedCIDR", "tunnels"),
        ("/spec/subnets/0", json!("192.88.99.0/25"), "spec.subnets[0]", "ReservedCIDR", "6to4"),
        ("/spec/subnets/0", json!("2002:c058:6301::/64"), "spec.subnets[0]", "ReservedCIDR", "6to4"),
        ("/spec/subnets/0", json!("fd00:100:200::/112"), "spec.subnets[0]", "ReservedCIDR", "tunnels"),
        ("/spec/subnets/0", json!("::ffff:10.0.0.0/104"), "spec.subnets[0]", "ReservedCIDR", "IPv4"),
        ("/spec/subnets/0", json!("128.0.0.0/3"), "spec.subnets[0]", "TooLargeCIDR", "128.0.0.0/3"),
        ("/spec/subnets/0", json!("4000::/3"), "spec.subnets[0]", "TooLargeCIDR", "4000::/3"),
        ("/spec/subnets", json!(long), "spec.subnets", "TooManyEntries", "300"),
        ("/spec/private_ip", json!("255.255.255.255"), "spec.private_ip", "InvalidIP", "255.255.255.255"),
        ("/spec/public_ip", json!("169.254.169.254"), "spec.public_ip", "InvalidIP", "169.254.169.254"),
        ("/spec/public_ip", json!("::ffff:127.0.0.1"), "spec.public_ip", "InvalidIP", "127.0.0.1"),
        ("/spec/backend", json!("vxlan\ncondition: all is well"), "spec.backend", "InvalidBackend", "\\n"),
        ("/spec/backend", json!("v".repeat(64)), "spec.backend", "InvalidBackend", "vvv"),
        (
            "/spec/backend_config",
            json!({"note": "x".repeat(9000)}),
            "spec.backend_config",
            "TooManyEntries",
            "9004",
        ),
        ("/spec/privateIPs/1", json!("fd00::x"), "spec.privateIPs[1]", "InvalidIP", "fd00::x"),
        ("/spec/private_ip", json!("10.2.0"), "spec.private_ip", "InvalidIP", "10.2.0"),
        ("/spec/public_ip", json!("0.0.0.0"), "spec.public_ip", "InvalidIP", "0.0.0.0"),
        ("/spec/healthCheckIP", json!("x"), "spec.healthCheckIP", "InvalidIP", "x"),
        (
            "/spec/privateIPs",
            json!(["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
            "spec.privateIPs",
            "TooManyEntries",
            "3",
        ),
        ("/spec/cluster_id", json!(""), "spec.cluster_id", "InvalidClusterID", "\"\""),
        ("/spec/cable_name", json!("a'b"), "spec.cable_name", "InvalidCableName", "a'b"),
        ("/spec/cable_name", json!("c".repeat(201)), "spec.cable_name", "InvalidCableName", "ccc"),
        ("/spec/hostname", json!("a\nb"), "spec.hostname", "InvalidHostname", "a\\nb"),
        (
            "/spec/backend_config/udp-port",
            json!("0"),
            "spec.backend_config.udp-port",
            "InvalidBackendConfig",
            "\"0\"",
        ),
    ] {
        let mut object = sample();
        *object.pointer_mut(pointer).unwrap() = value;
        let problems = check(object).unwrap_err();
        let problem =
            problems.iter().find(|problem| problem.field == field).unwrap_or_else(|| panic!("{problems:?}"));
        assert_eq!((problem.reason, problem.object.as_str()), (reason, "Endpoint west-cable"), "{field}");
        assert!(problem.what.contains(shown), "{problem}");
        assert!(!problem.remedy.is_empty());
    }
}

#[test]
fn faults_in_annotations_and_missing_addresses_are_named() {
    let mut object = sample();
    object["metadata"]["annotations"]["submariner.io/epoch"] = json!("-1");
    object["metadata"]["annotations"]["submariner.io/cluster-uid"] = json!("");
    let fields: Vec<_> = check(object).unwrap_err().into_iter().map(|problem| problem.field).collect();
    assert_eq!(
        fields,
        ["metadata.annotations[submariner.io/cluster-uid]", "metadata.annotations[submariner.io/epoch]"]
    );
    let mut object = sample();
    object["spec"]["private_ip"] = json!("");
    object["spec"]["privateIPs"] = json!([]);
    assert_eq!(check(object).unwrap_err()[0].reason, "MissingIP");
}

#[test]
fn all_faults_are_reported_at_once() {
    let mut object = sample();
    object["spec"]["subnets"] = json!(["a", "b"]);
    object["spec"]["cluster_id"] = json!("West!");
    assert_eq!(check(object).unwrap_err().len(), 3);
}

#[test]
fn claims_are_what_a_cluster_says_it_has() {
    let cluster: Cluster = read(json!({"metadata": {"name": "west"}, "spec": {"cluster_id": "west",
        "service_cidr": ["10.120.0.0/16"], "cluster_cidr": ["10.20.0.0/16", "fd00::/48"], "global_cidr": []}}))
    .unwrap();
    let claims = Claims::try_from(&cluster).unwrap();
    assert_eq!(claims.all().to_string(), "10.20.0.0/16, 10.120.0.0/16, fd00::/48");
    let bad: Cluster = read(json!({"metadata": {"name": "west"}, "spec": {"cluster_id": "west",
        "service_cidr": ["10.120.0.0/16"], "cluster_cidr": ["10.20.0.0"]}}))
    .unwrap();
    let problems = Claims::try_from(&bad).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "Cluster west field spec.cluster_cidr[0]: \"10.20.0.0\" is no network; \
         correct the networks that this cluster was joined with, in the form 10.0.0.0/16"
    );
}

#[test]
fn an_object_of_the_wrong_shape_is_a_problem_and_not_an_end() {
    let problem =
        read::<Endpoint>(json!({"metadata": {"name": "x"}, "spec": {"subnets": "10.0.0.0/8"}})).unwrap_err();
    assert_eq!((problem.reason, problem.object.as_str()), ("MalformedObject", "Endpoint x"));
    assert!(read::<Gateway>(json!([1, 2])).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "\\PC{0,12}",
        "[0-9./:a-f]{0,20}",
        Just("10.0.0.0/8".to_owned()),
        Just("west".to_owned())
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{0,8}", inner, 0..5).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// An object with any JSON in the fields that matter.
fn any_object() -> impl Strategy<Value = Value> {
    const FIELDS: [&str; 20] = [
        "cluster_id",
        "cable_name",
        "hostname",
        "subnets",
        "private_ip",
        "privateIPs",
        "public_ip",
        "publicIPs",
        "healthCheckIP",
        "healthCheckIPs",
        "nat_enabled",
        "backend",
        "backend_config",
        "service_cidr",
        "cluster_cidr",
        "global_cidr",
        "connections",
        "haStatus",
        "remoteEndpoints",
        "conditions",
    ];
    let body = prop::collection::btree_map(prop::sample::select(&FIELDS[..]), any_json(), 0..6);
    let meta = prop_oneof![any_json(), Just(json!({"name": "x"}))];
    (body, meta).prop_map(|(body, meta)| {
        let body: Value = body.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        json!({"metadata": meta, "spec": body, "status": body})
    })
}

fn survives<K: Kind>(object: &Value) {
    if let Ok(kind) = read::<K>(object.clone()) {
        let written = serde_json::to_value(&kind).unwrap();
        assert!(read::<K>(written).unwrap() == kind);
    }
}

proptest! {
    #[test]
    fn nothing_panics_on_any_input(object in prop_oneof![any_object(), any_json()]) {
        survives::<Cluster>(&object);
        survives::<Endpoint>(&object);
        survives::<Gateway>(&object);
        survives::<RouteAgent>(&object);
        if let Ok(endpoint) = read::<Endpoint>(object.clone()) {
            drop(subm_types::Endpoint::try_from(&endpoint));
        }
        if let Ok(cluster) = read::<Cluster>(object) {
            drop(Claims::try_from(&cluster));
        }
    }

    #[test]
    fn nothing_panics_on_almost_good_input(field in 0_usize..12, value in any_json()) {
        let mut object = sample();
        let spec = object["spec"].as_object_mut().unwrap();
        if let Some(slot) = spec.values_mut().nth(field) {
            *slot = value;
        }
        if let Ok(endpoint) = read::<Endpoint>(object) {
            drop(subm_types::Endpoint::try_from(&endpoint));
        }
    }
}
