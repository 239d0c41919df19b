use serde_json::{Value, json};
use subm_workloads::Kind;

use crate::cluster::{Cluster, template};

fn service(spec: &Value) -> Value {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "n", "name": "s"},
        "spec": {"selector": {"app": "a"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}]},
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        service["spec"][field] = value.clone();
    }
    service
}

fn with_pods() -> Cluster {
    let mut cluster = Cluster::of(&["east"]);
    cluster.put(
        Kind::DaemonSet,
        json!({"metadata": {"namespace": "n", "name": "d"}, "spec": {"template": template("one")}}),
    );
    cluster.run();
    cluster
}

#[test]
fn each_family_has_a_slice_with_the_ports_of_the_pods() {
    let mut cluster = with_pods();
    cluster.put(Kind::Service, service(&json!({"ipFamilies": ["IPv4", "IPv6"]})));
    cluster.settle();
    let slices = cluster.all(Kind::EndpointSlice);
    assert_eq!(slices.len(), 2);
    let pod = &cluster.all(Kind::Pod)[0];
    for (slice, (family, address)) in slices.iter().zip([("IPv4", "10.1.0.1"), ("IPv6", "fd00::1")]) {
        assert_eq!(slice["addressType"], family);
        assert_eq!(slice["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
        assert_eq!(slice["metadata"]["labels"]["kubernetes.io/service-name"], "s");
        assert_eq!(slice["metadata"]["ownerReferences"][0]["kind"], "Service");
        assert_eq!(
            slice["endpoints"],
            json!([{
                "addresses": [address],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": "east",
                "targetRef": {"kind": "Pod", "namespace": "n", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]},
            }])
        );
    }
}

#[test]
fn a_pod_that_ends_serves_but_is_not_ready() {
    let mut cluster = with_pods();
    cluster.put(Kind::Service, service(&json!({})));
    cluster.settle();
    let mut pod = cluster.all(Kind::Pod).remove(0);
    pod["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:30Z");
    cluster.put(Kind::Pod, pod);
    cluster.settle();
    let slices = cluster.all(Kind::EndpointSlice);
    assert_eq!(
        slices[0]["endpoints"][0]["conditions"],
        json!({"ready": false, "serving": true, "terminating": true})
    );
    assert_eq!(slices.len(), 1, "the slice is changed, not replaced");
}

#[test]
fn a_service_without_endpoints_has_an_empty_slice_and_one_without_selector_none() {
    let mut cluster = Cluster::of(&[]);
    cluster.put(Kind::Service, service(&json!({})));
    let mut foreign = service(&json!({"selector": null}));
    foreign["metadata"]["name"] = json!("foreign");
    cluster.put(Kind::Service, foreign);
    cluster.settle();
    let slices = cluster.all(Kind::EndpointSlice);
    assert_eq!(slices.len(), 1);
    assert_eq!(slices[0]["endpoints"], json!([]));
}

#[test]
fn what_somebody_changed_in_a_slice_is_put_right() {
    let mut cluster = with_pods();
    cluster.put(Kind::Service, service(&json!({})));
    cluster.settle();
    let right = cluster.all(Kind::EndpointSlice).remove(0);
    let mut wrong = right.clone();
    wrong["endpoints"] = json!([]);
    cluster.put(Kind::EndpointSlice, wrong);
    cluster.settle();
    assert_eq!(cluster.all(Kind::EndpointSlice)[0]["endpoints"], right["endpoints"]);
}
