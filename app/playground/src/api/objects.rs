//! What a cluster's API holds before Submariner comes: namespaces, pods, services; and nodes as kubelets register them.

use serde_json::{Value, json};
use subm_apiserver::Objects;
use subm_lab::ECHO_PORT;

use crate::topology::{Cluster, ECHO_SERVICE, Node, Pod};
use subm_types::{Family, PerFamily};

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
    for (node, pod) in cluster.all_pods() {
        let pod = pod_object(node, pod);
        objects.create(pod.clone())?;
        objects.replace_status(pod)?;
    }
    objects.create(echo_service(cluster))?;
    Ok(())
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// The values of all families, IPv4 first.
fn list<T: Copy>(values: PerFamily<T>) -> Vec<T> {
    values.iter().map(|(_, value)| *value).collect()
}

/// The value of the first family, which stands where there is room for one.
fn first<T: Copy>(values: PerFamily<T>) -> Option<T> {
    values.v4.or(values.v6)
}

/// A Node as its kubelet registers it.
pub(crate) fn node_object(node: &Node) -> Value {
    let internal = |address| json!({"type": "InternalIP", "address": address});
    let mut addresses: Vec<Value> = list(node.addresses()).into_iter().map(internal).collect();
    addresses.push(json!({"type": "Hostname", "address": node.name}));
    let mut labels = json!({});
    if node.gateway {
        labels["submariner.io/gateway"] = "true".into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": labels},
        "spec": {"podCIDR": first(node.pod_cidrs()), "podCIDRs": list(node.pod_cidrs())},
        "status": {"addresses": addresses},
    })
}

fn pod_object(node: &Node, pod: &Pod) -> Value {
    let ips: Vec<Value> = list(pod.addresses).into_iter().map(|ip| json!({"ip": ip})).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": "default",
            "name": pod.name,
            "labels": {"app": ECHO_SERVICE},
            // The playground itself runs it; its node's kubelet leaves such Pods alone.
            "annotations": {"kubernetes.io/config.mirror": pod.name, "kubernetes.io/config.source": "file"},
        },
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
            "hostIP": first(node.addresses()),
            "podIP": first(pod.addresses),
            "podIPs": ips,
            "containerStatuses": [{
                "name": "echo",
                "image": "playground/echo",
                "imageID": "",
                "ready": true,
                "restartCount": 0,
                "state": {"running": {}},
            }],
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "ContainersReady", "status": "True"}],
        },
    })
}

/// A family as Kubernetes calls it.
const fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

fn echo_service(cluster: &Cluster) -> Value {
    let policy = match cluster.families.list().count() {
        1 => "SingleStack",
        _ => "RequireDualStack",
    };
    let port = |name: &str, protocol: &str| json!({"name": name, "protocol": protocol, "port": ECHO_PORT, "targetPort": ECHO_PORT});
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "default", "name": ECHO_SERVICE},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": first(cluster.echo_service()),
            "clusterIPs": list(cluster.echo_service()),
            "ipFamilies": cluster.families.list().map(name).collect::<Vec<_>>(),
            "ipFamilyPolicy": policy,
            "selector": {"app": ECHO_SERVICE},
            "ports": [port("tcp", "TCP"), port("udp", "UDP")],
        },
    })
}
