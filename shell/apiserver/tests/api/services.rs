//! Addresses and node ports of Services.

use serde_json::{Value, json};
use subm_apiserver::{ApiServer, Objects, Refusal, ServiceRanges};

fn server(ranges: &[&str]) -> Objects {
    let ranges = ServiceRanges::new(ranges.iter().map(|net| net.parse().unwrap())).unwrap();
    ApiServer::builder().services(ranges).build().store()
}

fn service(name: &str, mut spec: Value) -> Value {
    if spec["ports"].is_null() && spec["type"] != "ExternalName" {
        spec["ports"] = json!([{"port": 80}]);
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

fn made(objects: &Objects, name: &str, spec: Value) -> Result<Value, Refusal> {
    objects.create(service(name, spec)).map(|object| object.value()["spec"].clone())
}

/// The fields that a refusal names.
fn causes(refused: Result<Value, Refusal>) -> Vec<String> {
    match refused {
        Err(Refusal::Invalid(_, causes)) => {
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
        }
        other => panic!("expected causes, found {other:?}"),
    }
}

#[test]
fn a_range_is_given_out_to_the_last_address_and_taken_back() {
    let objects = server(&["10.1.0.0/29"]);
    let mut addresses: Vec<_> = (0..6)
        .map(|index| {
            made(&objects, &format!("s{index}"), json!({})).unwrap()["clusterIP"].as_str().unwrap().to_owned()
        })
        .collect();
    addresses.sort();
    let all: Vec<_> = (1..=6).map(|last| format!("10.1.0.{last}")).collect();
    assert_eq!(addresses, all);
    assert!(causes(made(&objects, "more", json!({})))[0].contains("range is full"));
    objects.delete("services", "default", "s3").unwrap();
    made(&objects, "again", json!({})).unwrap();
}

#[test]
fn a_number_that_one_service_asks_for_twice_is_refused() {
    let objects = server(&["10.1.0.0/24", "fd00:1::/112"]);
    let port = |name: &str, protocol: &str, port: u16| json!({"name": name, "port": port, "protocol": protocol, "nodePort": 30_100});
    let twice = json!({"type": "NodePort", "ports": [port("a", "TCP", 1), port("b", "TCP", 2)]});
    assert_eq!(causes(made(&objects, "a", twice)), ["spec.ports[1].nodePort: Duplicate value: 30100"]);
    let both = json!({"type": "NodePort", "ports": [port("a", "TCP", 1), port("b", "UDP", 1)]});
    made(&objects, "a", both).unwrap();
    for (families, policy) in [
        (json!(["IPv4", "IPv4"]), "PreferDualStack"),
        (json!(["IPv6", "IPv6"]), "RequireDualStack"),
        (json!(["IPv4", "IPv6", "IPv4"]), "RequireDualStack"),
    ] {
        let spec = json!({"ipFamilies": families, "ipFamilyPolicy": policy});
        let told = causes(made(&objects, "b", spec));
        assert!(told.iter().any(|cause| cause.contains("Duplicate value: \"IPv")), "{families}: {told:?}");
    }
}

#[test]
fn an_address_that_is_asked_for_must_be_free_and_in_the_range() {
    let objects = server(&["10.1.0.0/24"]);
    let first = made(&objects, "a", json!({"clusterIP": "10.1.0.7"})).unwrap();
    assert_eq!(first["clusterIPs"], json!(["10.1.0.7"]));
    for (asked, why) in [
        ("10.1.0.7", "provided IP is already allocated"),
        ("10.2.0.7", "the provided network does not match the current range"),
        ("10.1.0.0", "the provided network does not match the current range"),
        ("fd00::1", "IPv6 is not configured on this cluster"),
        ("here", "must be a valid IP address"),
    ] {
        let told = causes(made(&objects, "b", json!({"clusterIP": asked})));
        assert!(told.iter().any(|cause| cause.contains(why)), "{asked}: {told:?}");
    }
    // What a dry run or a refusal would have taken is free.
    assert_eq!(made(&objects, "b", json!({"clusterIP": "10.1.0.8"})).unwrap()["clusterIP"], "10.1.0.8");
}

#[test]
fn a_dual_stack_cluster_gives_both_families_where_they_are_wanted() {
    let objects = server(&["10.1.0.0/24", "fd00:1::/112"]);
    let single = made(&objects, "single", json!({})).unwrap();
    assert_eq!((&single["ipFamilies"], &single["ipFamilyPolicy"]), (&json!(["IPv4"]), &json!("SingleStack")));
    let dual = made(&objects, "dual", json!({"ipFamilyPolicy": "PreferDualStack"})).unwrap();
    assert_eq!(dual["ipFamilies"], json!(["IPv4", "IPv6"]));
    assert_eq!(dual["clusterIPs"].as_array().unwrap().len(), 2);
    assert!(dual["clusterIPs"][1].as_str().unwrap().starts_with("fd00:1::"), "{dual}");
    let turned = made(
        &objects,
        "turned",
        json!({"ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": "PreferDualStack"}),
    )
    .unwrap();
    assert!(turned["clusterIP"].as_str().unwrap().starts_with("fd00:1::"), "{turned}");

    let change = json!({"spec": {"ipFamilyPolicy": "SingleStack"}});
    let changed = objects.merge("services", "default", "dual", change).unwrap().value()["spec"].clone();
    assert_eq!(changed["clusterIPs"], json!([dual["clusterIPs"][0]]));
    assert_eq!(changed["ipFamilies"], json!(["IPv4"]));
    let change = json!({"spec": {"ipFamilyPolicy": "RequireDualStack"}});
    let changed = objects.merge("services", "default", "dual", change).unwrap().value()["spec"].clone();
    assert_eq!(changed["clusterIPs"][0], dual["clusterIPs"][0]);
    assert_eq!(changed["clusterIPs"].as_array().unwrap().len(), 2);
}

#[test]
fn a_single_stack_cluster_says_that_it_is_one() {
    let objects = server(&["10.1.0.0/24"]);
    let told = causes(made(&objects, "a", json!({"ipFamilyPolicy": "RequireDualStack"})));
    assert!(told[0].contains("this cluster is not configured for dual-stack services"), "{told:?}");
    let preferred = made(&objects, "a", json!({"ipFamilyPolicy": "PreferDualStack"})).unwrap();
    assert_eq!(preferred["ipFamilies"], json!(["IPv4"]));
    let told = causes(made(&objects, "b", json!({"ipFamilies": ["IPv6"]})));
    assert!(told[0].contains("not configured on this cluster"), "{told:?}");
}

#[test]
fn node_ports_are_given_kept_and_taken_back() {
    let objects = server(&["10.1.0.0/24"]);
    let ports = json!([{"name": "tcp", "port": 53}, {"name": "udp", "port": 53, "protocol": "UDP"}]);
    let made_one = made(&objects, "a", json!({"type": "NodePort", "ports": ports})).unwrap();
    let number = made_one["ports"][0]["nodePort"].as_u64().unwrap();
    assert!((30_000..=32_767).contains(&number), "{number}");
    assert_eq!(made_one["ports"][1]["nodePort"], number, "one port has one number");
    let asked = |number: u64| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": number}]});
    assert!(causes(made(&objects, "b", asked(number)))[0].contains("already allocated"));
    assert!(causes(made(&objects, "b", asked(80)))[0].contains("not in the valid range"));
    // A client that does not know the numbers keeps them.
    let mut plain = service("a", json!({"type": "NodePort", "ports": ports}));
    plain["metadata"]["labels"] = json!({"a": "b"});
    let replaced = objects.replace(plain).unwrap().value()["spec"].clone();
    assert_eq!(replaced["ports"], made_one["ports"]);
    assert_eq!(replaced["clusterIP"], made_one["clusterIP"]);
    let change = json!({"spec": {"type": "ClusterIP"}});
    let changed = objects.merge("services", "default", "a", change).unwrap().value()["spec"].clone();
    assert_eq!(changed["ports"][0]["nodePort"], Value::Null);
    assert_eq!(changed["externalTrafficPolicy"], Value::Null);
    made(&objects, "b", asked(number)).unwrap();
}

#[test]
fn a_service_by_name_gives_its_address_back() {
    let objects = server(&["10.1.0.0/24"]);
    let before = made(&objects, "a", json!({})).unwrap();
    let change = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}});
    let changed = objects.merge("services", "default", "a", change).unwrap().value()["spec"].clone();
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
        assert_eq!(changed[field], Value::Null, "{field}");
    }
    made(&objects, "b", json!({"clusterIP": before["clusterIP"]})).unwrap();
    let change = json!({"spec": {"type": "ClusterIP", "externalName": null}});
    let back = objects.merge("services", "default", "a", change).unwrap().value()["spec"].clone();
    assert_ne!(back["clusterIP"], before["clusterIP"]);
    assert!(back["clusterIP"].is_string());
}
