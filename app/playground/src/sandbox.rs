//! Networks of Pods that are made while the playground runs: what a CNI plugin does for a kubelet.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;
use subm_kubelet::{Sandbox, Sandboxes};
use subm_lab::Host;
use tokio::sync::Mutex;

use crate::topology::{Cluster, Node, Pod};
use crate::world::{World, connect_pod};

/// The networks of one node's Pods.
#[derive(Debug)]
pub(crate) struct Networks {
    world: Arc<World>,
    cluster: Cluster,
    node: Node,
    /// By the Pod's uid, with the number that its addresses end in.
    given: Mutex<BTreeMap<String, (u8, Sandbox)>>,
}

impl Networks {
    pub(crate) fn new(world: &Arc<World>, cluster: &Cluster, node: &Node) -> Self {
        let (world, cluster, node) = (Arc::clone(world), cluster.clone(), node.clone());
        Self { world, cluster, node, given: Mutex::default() }
    }

    async fn make(&self, number: u8, pod: &Value) -> Result<Sandbox, String> {
        let name = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
        let host = format!("{}-{}-{}", self.node.name, name("namespace"), name("name"));
        let pod = Pod {
            role: format!("pod-{number}"),
            name: host.chars().take(200).collect(),
            addresses: self.cluster.address_on(&self.node, number),
        };
        let told = |error: subm_lab::LabError| error.to_string();
        let host = Host::create(&pod.name).await.map_err(told)?;
        let node = self.world.host(&self.node.name).map_err(|error| error.to_string())?;
        if let Err(error) = connect_pod((&self.node, node), (&pod, &host), self.cluster.mtu).await {
            let told = error.to_string();
            if let Err(error) = host.remove() {
                tracing::debug!(%error, "a network namespace stays");
            }
            return Err(told);
        }
        let addresses: Vec<IpAddr> = pod.addresses.iter().map(|(_, address)| *address).collect();
        Ok(Sandbox { host, addresses })
    }
}

/// The last number that an address of a Pod may end in.
const LAST: u8 = 250;

impl Sandboxes for Networks {
    fn open<'a>(&'a self, pod: &'a Value) -> BoxFuture<'a, Result<Sandbox, String>> {
        async move {
            let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
            let mut given = self.given.lock().await;
            if let Some((_, sandbox)) = given.get(uid) {
                return Ok(sandbox.clone());
            }
            let first = u8::try_from(self.node.pods.len()).unwrap_or(LAST).saturating_add(1);
            let free = |number: &u8| given.values().all(|(taken, _)| taken != number);
            let number = (first..=LAST).find(free).ok_or("the node has no free address for another Pod")?;
            let sandbox = self.make(number, pod).await?;
            given.insert(uid.to_owned(), (number, sandbox.clone()));
            Ok(sandbox)
        }
        .boxed()
    }

    fn close<'a>(&'a self, uid: &'a str) -> BoxFuture<'a, ()> {
        async move {
            if let Some((_, sandbox)) = self.given.lock().await.remove(uid)
                && let Err(error) = sandbox.host.remove()
            {
                tracing::debug!(%error, "a network namespace stays");
            }
        }
        .boxed()
    }
}
