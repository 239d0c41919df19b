//! Objects as the Go implementation writes them are read and written again without a loss.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use serde_json::{Value, json};
use subm_api::{Cluster, ConnectionStatus, Endpoint, Gateway, GoDuration, HaStatus, RouteAgent};

fn round_trip<K: serde::de::DeserializeOwned + serde::Serialize>(sample: &Value) -> K {
    let object: K = serde_json::from_value(sample.clone()).unwrap();
    assert_eq!(&serde_json::to_value(&object).unwrap(), sample);
    object
}

fn endpoint_spec_of_0_19() -> Value {
    json!({
        "cluster_id": "west", "cable_name": "submariner-cable-west-10-2-0-1", "healthCheckIP": "10.20.1.1",
        "hostname": "west-node-1", "subnets": ["10.120.0.0/16", "10.20.0.0/16"], "private_ip": "10.2.0.1",
        "public_ip": "203.0.113.7", "nat_enabled": true, "backend": "libreswan",
        "backend_config": {"natt-discovery-port": "4490", "preferred-server": "false", "udp-port": "4500"},
    })
}

#[test]
fn a_cluster_keeps_its_empty_lists() {
    let cluster: Cluster = round_trip(&json!({
        "apiVersion": "submariner.io/v1", "kind": "Cluster",
        "metadata": {"name": "west", "namespace": "submariner-operator"},
        "spec": {"cluster_id": "west", "color_codes": ["blue"], "service_cidr": ["10.120.0.0/16"],
                 "cluster_cidr": ["10.20.0.0/16"], "global_cidr": []},
    }));
    assert!(cluster.spec.global_cidr.is_empty());
}

#[test]
fn an_endpoint_with_singular_addresses_round_trips() {
    let endpoint: Endpoint = round_trip(&json!({
        "apiVersion": "submariner.io/v1", "kind": "Endpoint",
        "metadata": {"name": "west-submariner-cable-west-10-2-0-1", "labels": {"submariner-io/clusterID": "west"}},
        "spec": endpoint_spec_of_0_19(),
    }));
    assert_eq!(endpoint.spec.private_ip, "10.2.0.1");
}

#[test]
fn an_endpoint_with_address_lists_round_trips() {
    let mut spec = endpoint_spec_of_0_19();
    spec["privateIPs"] = json!(["10.2.0.1", "fd00:2::1"]);
    spec["publicIPs"] = json!(["203.0.113.7"]);
    spec["healthCheckIPs"] = json!(["10.20.1.1", "fd00:20::1"]);
    let endpoint: Endpoint = round_trip(&json!({
        "apiVersion": "submariner.io/v1", "kind": "Endpoint", "metadata": {"name": "west"}, "spec": spec,
    }));
    assert_eq!(endpoint.spec.private_ips, ["10.2.0.1", "fd00:2::1"]);
}

#[test]
fn a_gateway_round_trips_with_latencies_and_without_connections() {
    let mut sample = json!({
        "apiVersion": "submariner.io/v1", "kind": "Gateway",
        "metadata": {"name": "east-node-1", "annotations": {"update-timestamp": "1700000000"}},
        "status": {
            "version": "v0.19.0", "haStatus": "active", "localEndpoint": endpoint_spec_of_0_19(), "statusFailure": "",
            "connections": [{
                "status": "connected", "statusMessage": "", "endpoint": endpoint_spec_of_0_19(), "usingIP": "203.0.113.7",
                "usingNAT": true,
                "latencyRTT": {"last": "1.234567ms", "min": "1ms", "average": "1.1ms", "max": "1m2.5s", "stdDev": "0s"},
            }],
        },
    });
    let gateway: Gateway = round_trip(&sample);
    let connection = &gateway.status.connections[0];
    assert_eq!(
        (&gateway.status.ha_status, &connection.status),
        (&HaStatus::Active, &ConnectionStatus::Connected)
    );
    assert_eq!(connection.latency_rtt.as_ref().unwrap().max, Some(GoDuration(62_500_000_000)));
    sample["status"]["connections"] = json!([]);
    round_trip::<Gateway>(&sample);
}

#[test]
fn a_route_agent_round_trips_with_conditions() {
    round_trip::<RouteAgent>(&json!({
        "apiVersion": "submariner.io/v1", "kind": "RouteAgent", "metadata": {"name": "east-node-2"},
        "status": {
            "version": "v0.20.0", "statusFailure": "",
            "remoteEndpoints": [{"status": "none", "statusMessage": "not probed", "spec": endpoint_spec_of_0_19()}],
            "conditions": [{"type": "Ready", "status": "False", "reason": "NoCNIInterface", "message": "no link",
                            "lastTransitionTime": "2026-01-02T03:04:05Z"}],
        },
    }));
}

#[test]
fn null_and_missing_are_empty_and_unknown_is_ignored() {
    let cluster: Cluster = serde_json::from_value(json!({
        "metadata": null, "future": 1,
        "spec": {"cluster_id": "west", "service_cidr": null, "global_cidr": null, "new_field": {"a": [1]}},
    }))
    .unwrap();
    let spec = serde_json::to_value(&cluster).unwrap()["spec"].clone();
    assert_eq!(
        spec,
        json!({"cluster_id": "west", "service_cidr": [], "cluster_cidr": [], "global_cidr": []})
    );
    let gateway: Gateway =
        serde_json::from_value(json!({"status": {"connections": null, "haStatus": "resting"}})).unwrap();
    assert_eq!(gateway.status.ha_status, HaStatus::Other("resting".to_owned()));
    assert_eq!(serde_json::to_value(&gateway).unwrap()["status"]["connections"], json!([]));
    let agent: RouteAgent = serde_json::from_value(json!({"status": null})).unwrap();
    assert_eq!(agent, RouteAgent::default());
}

#[test]
fn a_latency_that_is_none_does_not_hide_the_status() {
    let gateway: Gateway = serde_json::from_value(json!({"status": {"connections": [
        {"status": "error", "latencyRTT": {"last": "soon", "min": "1ms"}}
    ]}}))
    .unwrap();
    let connection = &gateway.status.connections[0];
    assert_eq!(connection.status, ConnectionStatus::Error);
    let latency = connection.latency_rtt.as_ref().unwrap();
    assert_eq!((latency.last, latency.min), (None, Some(GoDuration(1_000_000))));
}

#[test]
fn kinds_are_addressed_with_their_group() {
    fn path<K: kube_core::Resource<DynamicType = ()>>() -> String {
        K::url_path(&(), Some("ns"))
    }
    assert_eq!(path::<Endpoint>(), "/apis/submariner.io/v1/namespaces/ns/endpoints");
    assert_eq!(path::<Gateway>(), "/apis/submariner.io/v1/namespaces/ns/gateways");
    assert_eq!(path::<Cluster>(), "/apis/submariner.io/v1/namespaces/ns/clusters");
    assert_eq!(path::<RouteAgent>(), "/apis/submariner.io/v1/namespaces/ns/routeagents");
}
