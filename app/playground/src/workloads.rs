//! What makes Pods of objects: in every cluster the workload controllers, and on every node a kubelet.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use kube::Client;
use serde_json::Value;
use subm_apiserver::{Credential, ExecOptions, LogOptions, Nodes, Session};
use subm_kube::Connection;
use subm_kubelet::{Backoff, Children, Image, Kubelet, Settings as KubeletSettings};
use subm_lab::STATE_DIR;
use tokio::task::JoinSet;

use crate::api::{Api, Apis, node_object, token};
use crate::daemon::IMAGE;
use crate::sandbox::Networks;
use crate::settings::{PROGRAM, Settings};
use crate::topology::{API_PORT, Cluster, Node};
use crate::world::World;

/// The image of programs that the machine has.
pub(crate) const MACHINE: &str = "machine";
/// What starts a container: this program, which becomes the container's.
const RUNTIME: [&str; 3] = ["/proc/self/exe", "playground", "container"];
/// A kubelet's own numbers would make every crash a minute's matter.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(10),
    settled: Duration::from_secs(10),
};

/// The kubelets of all nodes, by node; clones are handles to the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Workloads {
    kubelets: BTreeMap<String, Kubelet>,
    /// The processes of all Pods.
    pub(crate) children: Children,
}

impl Workloads {
    /// Starts controllers and kubelets.
    pub(crate) fn start(settings: &Settings, world: &Arc<World>, apis: &Apis) -> anyhow::Result<Self> {
        let (mut kubelets, mut work) = (BTreeMap::new(), Vec::<BoxFuture<'static, ()>>::new());
        let children = Children::default();
        for cluster in &world.topology.clusters {
            let api = apis.of(&cluster.name)?;
            let connection = connection(api)?;
            work.push(Box::pin(subm_workloads::run(connection.clone(), api.authority().to_owned())));
            for node in &cluster.nodes {
                let settings = of_node(settings, (world, api), cluster, node)?;
                let kubelet = Kubelet::new(connection.clone(), settings, children.clone());
                work.push(Box::pin(kubelet.clone().run()));
                kubelets.insert(node.name.clone(), kubelet);
            }
        }
        let workloads = Self { kubelets, children };
        for cluster in &world.topology.clusters {
            apis.of(&cluster.name)?.server().set_nodes(Arc::new(workloads.clone()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || runtime.block_on(all(work));
        thread::Builder::new()
            .name("workloads".to_owned())
            .spawn(run)
            .context("a thread for the workloads")?;
        Ok(workloads)
    }

    /// The kubelet of a node.
    pub(crate) fn kubelet(&self, node: &str) -> Option<&Kubelet> {
        self.kubelets.get(node)
    }

    fn of(&self, pod: &Value) -> Result<&Kubelet, String> {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        self.kubelet(node).ok_or_else(|| format!("no kubelet answers for the node {node}"))
    }
}

impl Nodes for Workloads {
    fn log(
        &self,
        pod: &Value,
        container: &str,
        options: LogOptions,
    ) -> Result<BoxStream<'static, bytes::Bytes>, String> {
        self.of(pod)?.log(pod, container, options)
    }

    fn exec(&self, pod: &Value, container: &str, options: ExecOptions) -> Result<Session, String> {
        self.of(pod)?.exec(pod, container, options)
    }
}

/// Does everything at once, until all of it ends.
async fn all(work: Vec<BoxFuture<'static, ()>>) {
    let mut running: JoinSet<()> = work.into_iter().collect();
    while running.join_next().await.is_some() {}
}

/// To a cluster's API from inside of this process.
fn connection(api: &Api) -> anyhow::Result<Connection> {
    let token = token()?;
    api.server().credentials().grant(Credential::admin(&token));
    let client = Client::new(api.server().service_as(&token), "default");
    Ok(Connection::over(client, &api.endpoint(), "default"))
}

fn of_node(
    settings: &Settings,
    (world, api): (&Arc<World>, &Api),
    cluster: &Cluster,
    node: &Node,
) -> anyhow::Result<KubeletSettings> {
    let addresses: Vec<IpAddr> = node.addresses().iter().map(|(_, address)| *address).collect();
    let submariner =
        Image { entrypoint: vec![PROGRAM.to_owned()], program: Some(settings.submariner.clone()) };
    Ok(KubeletSettings {
        node: node_object(node),
        host: world.host(&node.name)?.clone(),
        addresses,
        images: BTreeMap::from([(IMAGE.to_owned(), submariner), (MACHINE.to_owned(), Image::default())]),
        sandboxes: Box::new(Networks::new(world, cluster, node)),
        api_server: (api.first_address().context("the API server has no address")?, API_PORT),
        folder: Path::new(STATE_DIR).join("kubelet").join(&node.name),
        runtime: RUNTIME.map(str::to_owned).to_vec(),
        backoff: BACKOFF,
    })
}
