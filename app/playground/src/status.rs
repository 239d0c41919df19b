//! How everything is, as values and as tables.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::table::Table;
use crate::topology::Spec;

/// How the playground is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The init of the playground, as seen from outside.
    pub(crate) init: i32,
    /// From the start until everything was ready.
    pub(crate) ready_after_ms: Option<u64>,
    pub(crate) cable_driver: String,
    /// What was asked for.
    pub(crate) topology: Spec,
    pub(crate) clusters: Vec<ClusterStatus>,
    pub(crate) nodes: Vec<NodeStatus>,
    pub(crate) pods: Vec<PodStatus>,
    pub(crate) daemons: Vec<DaemonStatus>,
}

/// A cluster, or the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterStatus {
    pub(crate) name: String,
    pub(crate) api: String,
    pub(crate) pods: String,
    pub(crate) services: String,
    pub(crate) echo_service: String,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeStatus {
    pub(crate) path: String,
    pub(crate) address: String,
    pub(crate) pods: String,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodStatus {
    pub(crate) path: String,
    pub(crate) address: String,
}

/// A daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DaemonStatus {
    pub(crate) path: String,
    /// Absent while it is not running.
    pub(crate) pid: Option<i32>,
    pub(crate) restarts: u32,
    /// The file of its latest words, inside the playground.
    pub(crate) log: Option<PathBuf>,
    /// Memory of its own, in KiB.
    pub(crate) rss_anon_kib: Option<u64>,
    /// All memory that it has mapped and touched, in KiB.
    pub(crate) vm_rss_kib: Option<u64>,
}

impl Status {
    /// The tables that a person reads.
    pub(crate) fn tables(&self) -> String {
        let mut clusters = Table::new(&["CLUSTER", "API", "PODS", "SERVICES", "ECHO SERVICE"]);
        for cluster in &self.clusters {
            clusters.row([
                &cluster.name,
                &cluster.api,
                &cluster.pods,
                &cluster.services,
                &cluster.echo_service,
            ]);
        }
        let mut nodes = Table::new(&["NODE", "ADDRESS", "PODS"]);
        for node in &self.nodes {
            nodes.row([&node.path, &node.address, &node.pods]);
        }
        let mut pods = Table::new(&["POD", "ADDRESS"]);
        for pod in &self.pods {
            pods.row([&pod.path, &pod.address]);
        }
        let mut daemons = Table::new(&["DAEMON", "PID", "RESTARTS", "RSSANON", "VMRSS"]);
        let memory =
            |kib: Option<u64>| kib.map_or_else(|| "-".to_owned(), |kib| format!("{:.1} MiB", mib(kib)));
        for daemon in &self.daemons {
            daemons.row([
                daemon.path.clone(),
                daemon.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                daemon.restarts.to_string(),
                memory(daemon.rss_anon_kib),
                memory(daemon.vm_rss_kib),
            ]);
        }
        let ready = self.ready_after_ms.map_or_else(
            || "not ready yet".to_owned(),
            |ms| format!("ready after {}.{:01} s", ms / 1000, ms % 1000 / 100),
        );
        format!("cable driver {}, {ready}\n\n{clusters}\n{nodes}\n{pods}\n{daemons}", self.cable_driver)
    }
}

/// KiB as MiB.
pub(crate) fn mib(kib: u64) -> f64 {
    let tenths = u32::try_from(kib * 10 / 1024).unwrap_or(u32::MAX);
    f64::from(tenths) / 10.0
}
