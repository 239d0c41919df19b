//! What makes clusters of bare nodes: the CNI and the service proxy of every node, kept by convergers of their own.

mod cni;
mod proxy;
mod services;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use subm_kernel::Kernel;
use subm_lab::Host;
use subm_plan::Scope;
use subm_runtime::converger::Settings;
use subm_runtime::{Converger, Report};
use tokio::sync::watch;

use crate::api::Apis;
use crate::topology::{Cluster, Node};
use crate::world::{CNI_BRIDGE, World, connect_pod, veth_of};

/// How long a node may take until its bridge is there.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the CNI and the proxy own on every node.
pub(crate) fn scopes() -> [Scope; 2] {
    [cni::scope(), proxy::scope()]
}

/// The convergers of all nodes, by node.
#[derive(Debug)]
pub(crate) struct Network {
    nodes: BTreeMap<String, Convergers>,
}

#[derive(Debug)]
struct Convergers {
    cni: Converger,
    proxy: Converger,
}

impl Network {
    /// Starts a CNI and a proxy on every node and connects the pods.
    pub(crate) async fn start(world: &Arc<World>, apis: &Apis) -> anyhow::Result<Self> {
        let mut nodes = BTreeMap::new();
        for (cluster, node) in world.topology.nodes() {
            let host = world.host(&node.name)?;
            let cni = converger(host, cni::scope())?;
            cni.set_plan(cni::plan(cluster, node));
            let proxy = converger(host, proxy::scope())?;
            nodes.insert(node.name.clone(), Convergers { cni, proxy });
        }
        let network = Self { nodes };
        for (cluster, node) in world.topology.nodes() {
            network
                .connect_pods(world, cluster, node)
                .await
                .with_context(|| format!("pods of {}", node.name))?;
        }
        for cluster in &world.topology.clusters {
            services::follow(apis.of(&cluster.name)?, network.proxies(cluster))?;
        }
        Ok(network)
    }

    fn convergers(&self, node: &Node) -> anyhow::Result<&Convergers> {
        self.nodes.get(&node.name).with_context(|| format!("there is no node {}", node.name))
    }

    async fn connect_pods(&self, world: &World, cluster: &Cluster, node: &Node) -> anyhow::Result<()> {
        let mut report = self.convergers(node)?.cni.report();
        tokio::time::timeout(PATIENCE, report.wait_for(|report| report.converged)).await.map_err(
            |_| anyhow!("the CNI is not ready: {}", *self.nodes[&node.name].cni.report().borrow()),
        )??;
        let host = world.host(&node.name)?;
        host.use_addresses_at_once(CNI_BRIDGE)?;
        for pod in &node.pods {
            connect_pod((node, host), (pod, world.host(&pod.name)?), cluster.mtu).await?;
        }
        tokio::spawn(keep_attached(host.clone(), node.clone(), report));
        Ok(())
    }

    /// What hands the services of a cluster to the proxies of its nodes.
    fn proxies(&self, cluster: &Cluster) -> impl Fn(&[proxy::ServicePort]) + Send + 'static {
        let of = |node: &Node| Some((node.pod_cidrs(), self.nodes.get(&node.name)?.proxy.clone()));
        let proxies: Vec<_> = cluster.nodes.iter().filter_map(of).collect();
        move |services| {
            for (own, proxy) in &proxies {
                proxy.set_plan(proxy::plan(*own, services));
            }
        }
    }
}

/// A bridge that was deleted comes back without ports, as after any restart of a CNI: they are attached again.
async fn keep_attached(host: Host, node: Node, mut report: watch::Receiver<Report>) {
    while report.changed().await.is_ok() {
        for pod in &node.pods {
            if let Err(error) = host.attach_hairpin(&veth_of(pod), CNI_BRIDGE).await {
                tracing::debug!(%error, "a pod is not attached");
            }
        }
    }
}

fn converger(host: &Host, scope: Scope) -> anyhow::Result<Converger> {
    let settings = Settings::new(scope.clone());
    let start = || Converger::start(settings, move |waker| Kernel::watched(&scope, move |_| waker.wake()));
    Ok(host.enter(start)??)
}
