//! The daemons: Pods of `DaemonSets`, run by the kubelets of their nodes.

mod environment;
mod manifest;

use std::fs;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use subm_apiserver::Objects;
use subm_kubelet::{Container, Kubelet};

use crate::api::{Apis, OPERATOR_NAMESPACE};
use crate::memory;
use crate::settings::Settings;
use crate::status::DaemonStatus;
use crate::topology::Node;
use crate::workloads::Workloads;
use crate::world::World;

pub(crate) use environment::preshared_key_file;
pub(crate) use manifest::IMAGE;

/// The kinds of daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Gateway,
    RouteAgent,
}

impl Kind {
    /// The sub-command of the program, and the last part of the daemon's path.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::RouteAgent => "route-agent",
        }
    }

    /// COMPAT: the name of its DaemonSet, of its container and of its account, and its Pods' label `app`.
    pub(crate) const fn resource(self) -> &'static str {
        match self {
            Self::Gateway => "submariner-gateway",
            Self::RouteAgent => "submariner-routeagent",
        }
    }

    /// The port of its metrics and readiness, on its node.
    pub(crate) const fn admin_port(self) -> u16 {
        match self {
            Self::Gateway => 32780,
            Self::RouteAgent => 32782,
        }
    }
}

/// One daemon on one node. Clones are handles to it.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    pub(crate) kind: Kind,
    pub(crate) node: Node,
    pub(crate) cluster: String,
    objects: Objects,
    kubelet: Kubelet,
}

/// Every daemon in the order of the nodes.
#[derive(Debug)]
pub(crate) struct Daemons(Vec<Daemon>);

impl Daemons {
    /// Installs a route agent on every node and a gateway on gateway nodes.
    pub(crate) fn install(
        settings: &Settings,
        world: &World,
        apis: &Apis,
        workloads: &Workloads,
    ) -> anyhow::Result<Self> {
        for cluster in &world.topology.clusters {
            manifest::install(settings, cluster, apis)
                .with_context(|| format!("the daemons of {}", cluster.name))?;
        }
        let mut daemons = Vec::new();
        for (cluster, node) in world.topology.nodes() {
            let kinds: &[Kind] =
                if node.gateway { &[Kind::Gateway, Kind::RouteAgent] } else { &[Kind::RouteAgent] };
            for &kind in kinds {
                daemons.push(Daemon {
                    kind,
                    node: node.clone(),
                    cluster: cluster.name.clone(),
                    objects: apis.of(&cluster.name)?.objects(),
                    kubelet: workloads.kubelet(&node.name).context("the node has no kubelet")?.clone(),
                });
            }
        }
        Ok(Self(daemons))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Daemon> {
        self.0.iter()
    }
}

impl Daemon {
    /// What people call it.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}/{}", self.cluster, self.node.role, self.kind.name())
    }

    /// Its Pod; of two the younger one, which replaces the other.
    fn pod(&self) -> Option<Value> {
        let mut pods = self.objects.list("pods", Some(OPERATOR_NAMESPACE));
        pods.retain(|pod| {
            pod["metadata"]["labels"]["app"] == self.kind.resource()
                && pod["spec"]["nodeName"] == self.node.name.as_str()
                && pod["metadata"]["deletionTimestamp"].is_null()
        });
        pods.pop()
    }

    fn container(&self) -> Option<Container> {
        self.kubelet.container(&self.pod()?, self.kind.resource())
    }

    pub(crate) fn status(&self) -> DaemonStatus {
        let container = self.container();
        let pid = container.as_ref().and_then(|container| container.pid);
        let memory = pid.and_then(memory::of);
        DaemonStatus {
            path: self.path(),
            pid,
            restarts: container.as_ref().map_or(0, |container| container.restarts),
            log: container.map(|container| container.log),
            rss_anon_kib: memory.map(|(anonymous, _)| anonymous),
            vm_rss_kib: memory.map(|(_, all)| all),
        }
    }

    /// Ends it at once, as a crash would; it is started again.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGKILL)
    }

    /// Asks it to end, as its kubelet does; it is started again.
    pub(crate) fn restart(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let Some(pid) = self.status().pid else { bail!("{} is not running", self.path()) };
        kill(Pid::from_raw(pid), signal).with_context(|| format!("{signal} to {}", self.path()))
    }

    /// The end of its log, for a message.
    pub(crate) fn last_words(&self) -> String {
        const LINES: usize = 5;
        let status = self.status();
        let log = status.log.map(|log| fs::read_to_string(log).unwrap_or_default()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        let pod = self.pod().unwrap_or_default();
        let state = &pod["status"]["containerStatuses"][0]["state"];
        format!("--- {}, {} restarts, {state}\n{}", self.path(), status.restarts, last.join("\n"))
    }
}
