//! The node itself: its object, and the Lease that says that it lives.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use subm_kube::kube;

use crate::api::{ask, find, list};
use crate::run::Inner;
use crate::state::written;
use crate::status::set_condition;

/// COMPAT: a kubelet's Lease lasts 40 s and is renewed every 10.
const LEASE: u32 = 40;
const RENEW: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(500);
/// COMPAT: as many Pods as a kubelet takes.
const PODS: &str = "110";

/// Registers the node, and says again and again that it lives.
pub(crate) async fn live(kubelet: Arc<Inner>) {
    loop {
        let pause = match beat(&kubelet).await {
            Ok(()) => RENEW,
            Err(error) => {
                tracing::debug!(%error, "a node cannot say that it lives");
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn beat(kubelet: &Inner) -> kube::Result<()> {
    let node = register(kubelet).await?;
    let status = status(&kubelet.settings.node, &node, Timestamp::now());
    if status != node["status"] {
        let path = format!("/api/v1/nodes/{}/status?fieldManager=kubelet", kubelet.node());
        ask(&kubelet.client, Method::PATCH, &path, Some(&json!({"status": status}))).await?;
    }
    renew(kubelet, &node).await
}

/// The Node object; what is there of it stays as somebody changed it.
async fn register(kubelet: &Inner) -> kube::Result<Value> {
    if let Some(found) = find(&kubelet.client, &format!("/api/v1/nodes/{}", kubelet.node())).await? {
        return Ok(found);
    }
    let mut node = kubelet.settings.node.clone();
    node["apiVersion"] = json!("v1");
    node["kind"] = json!("Node");
    let labels = &mut node["metadata"]["labels"];
    labels["kubernetes.io/hostname"] = json!(kubelet.node());
    labels["kubernetes.io/os"] = json!("linux");
    labels["kubernetes.io/arch"] = json!(arch());
    ask(&kubelet.client, Method::POST, "/api/v1/nodes?fieldManager=kubelet", Some(&node)).await
}

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn status(own: &Value, seen: &Value, now: Timestamp) -> Value {
    let mut status = seen["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let resources = json!({"cpu": processors.to_string(), "memory": format!("{}Ki", memory()), "pods": PODS});
    status["capacity"] = resources.clone();
    status["allocatable"] = resources;
    status["addresses"] = own["status"]["addresses"].clone();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = concat!("v1.33.0-submariner-", env!("CARGO_PKG_VERSION"));
    let information = [
        ("architecture", arch()),
        ("kernelVersion", kernel.trim()),
        ("operatingSystem", "linux"),
        ("osImage", "processes of this machine"),
        ("containerRuntimeVersion", "process://1"),
        ("kubeletVersion", version),
        ("kubeProxyVersion", ""),
        ("machineID", ""),
        ("systemUUID", ""),
        ("bootID", ""),
    ];
    for (field, value) in information {
        status["nodeInfo"][field] = json!(value);
    }
    let mut conditions = list(seen, "/status/conditions").to_vec();
    for (kind, holds, reason, message) in [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ] {
        let mut condition = json!({"type": kind, "status": holds, "reason": reason, "message": message});
        let before = conditions.iter().find(|condition| condition["type"] == kind);
        // The Lease says that the node lives; this only when it last changed.
        condition["lastHeartbeatTime"] =
            before.map_or_else(|| json!(written(now)), |before| before["lastHeartbeatTime"].clone());
        set_condition(&mut conditions, condition, now);
    }
    status["conditions"] = Value::Array(conditions);
    status
}

/// KiB of the machine.
fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

async fn renew(kubelet: &Inner, node: &Value) -> kube::Result<()> {
    const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let now = Timestamp::now();
    let micros = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
    let spec = json!({"holderIdentity": kubelet.node(), "leaseDurationSeconds": LEASE, "renewTime": format!("{micros:.6}")});
    let path = format!("{LEASES}/{}?fieldManager=kubelet", kubelet.node());
    match ask(&kubelet.client, Method::PATCH, &path, Some(&json!({"spec": spec}))).await {
        Err(kube::Error::Api(refused)) if refused.code == 404 => {
            let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": kubelet.node(), "uid": node["metadata"]["uid"]}]);
            let metadata =
                json!({"name": kubelet.node(), "namespace": "kube-node-lease", "ownerReferences": owner});
            let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec});
            ask(&kubelet.client, Method::POST, LEASES, Some(&lease)).await.map(drop)
        }
        renewed => renewed.map(drop),
    }
}
