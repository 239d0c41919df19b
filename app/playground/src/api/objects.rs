//! What a cluster's API holds before Submariner comes: namespaces, nodes, pods, services.

use serde_json::{Value, json};
use subm_apiserver::Objects;
use subm_lab::ECHO_PORT;

use crate::topology::{Cluster, ECHO_SERVICE, Node, Pod};

/// Where Submariner runs.
pub(crate) const OPERATOR_NAMESPACE: &str = "submariner-operator";
/// Where members meet on the hub.
pub(crate) const BROKER_NAMESPACE: &str = "submariner-k8s-broker";

pub(super) fn create_hub(objects: &Objects) -> anyhow::Result<()> {
    objects.create(namespace(BROKER_NAMESPACE))?;
    Ok(())
}

pub(super) fn create_cluster(objects: &Objects, cluster: &Cluster) -> anyhow::Result<()> {
    objects.create(namespace(OPERATOR_NAMESPACE))?;
    for node in &cluster.nodes {
        objects.create(node_object(node))?;
    }
    for (node, pod) in cluster.all_pods() {
        let pod = pod_object(node, pod);
        objects.create(pod.clone())?;
        objects.replace_status(pod)?;
    }
    objects.create(echo_service(cluster))?;
    objects.create(echo_slice(cluster))?;
    Ok(())
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

fn node_object(node: &Node) -> Value {
    let mut labels = json!({"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux"});
    if node.gateway {
        labels["submariner.io/gateway"] = "true".into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": labels},
        "spec": {"podCIDR": node.pod_cidr, "podCIDRs": [node.pod_cidr]},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": node.address},
                {"type": "Hostname", "address": node.name},
            ],
            "conditions": [{"type": "Ready", "status": "True", "reason": "PlaygroundReady"}],
        },
    })
}

fn pod_object(node: &Node, pod: &Pod) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "default", "name": pod.name, "labels": {"app": ECHO_SERVICE}},
        "spec": {
            "nodeName": node.name,
            "containers": [{
                "name": "echo",
                "image": "playground/echo",
                "ports": [{"containerPort": ECHO_PORT, "protocol": "TCP"}, {"containerPort": ECHO_PORT, "protocol": "UDP"}],
            }],
        },
        "status": {
            "phase": "Running",
            "hostIP": node.address,
            "podIP": pod.address,
            "podIPs": [{"ip": pod.address}],
            "containerStatuses": [{
                "name": "echo",
                "image": "playground/echo",
                "imageID": "",
                "ready": true,
                "restartCount": 0,
                "state": {"running": {}},
            }],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}

fn echo_service(cluster: &Cluster) -> Value {
    let port = |name: &str, protocol: &str| json!({"name": name, "protocol": protocol, "port": ECHO_PORT, "targetPort": ECHO_PORT});
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "default", "name": ECHO_SERVICE},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": cluster.echo_service(),
            "clusterIPs": [cluster.echo_service()],
            "selector": {"app": ECHO_SERVICE},
            "ports": [port("tcp", "TCP"), port("udp", "UDP")],
        },
    })
}

fn echo_slice(cluster: &Cluster) -> Value {
    let endpoints: Vec<Value> = cluster
        .all_pods()
        .map(|(node, pod)| {
            json!({
                "addresses": [pod.address],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": node.name,
                "targetRef": {"kind": "Pod", "namespace": "default", "name": pod.name},
            })
        })
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "default",
            "name": format!("{ECHO_SERVICE}-1"),
            "labels": {"kubernetes.io/service-name": ECHO_SERVICE},
        },
        "addressType": "IPv4",
        "ports": [
            {"name": "tcp", "protocol": "TCP", "port": ECHO_PORT},
            {"name": "udp", "protocol": "UDP", "port": ECHO_PORT},
        ],
        "endpoints": endpoints,
    })
}
