//! Members of a clusterset and their hub, each a namespace of one server.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use subm_api::{ClusterSpec, EndpointSpec};
use subm_kube::HubSync;
use subm_sync::{Own, Publication, Published, PublishedEndpoint};
use subm_types::{ClusterUid, Epoch};
use tokio::task::JoinHandle;

use crate::claims::Claim;
use crate::claims::controllers::connection;
use crate::ground::{Ground, Patch, same};

const ENDPOINTS: &str = "submariner.io/v1/endpoints";

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        says: "members learn of each other and of changes, and forget who leaves",
        proof: |ground| Box::pin(tried(ground, |set| Box::pin(learn(set)))),
    },
    Claim {
        says: "a copy that somebody deleted or changed at home comes back",
        proof: |ground| Box::pin(tried(ground, |set| Box::pin(copy_comes_back(set)))),
    },
    Claim {
        says: "an emptied hub is filled again and no copy is lost",
        proof: |ground| Box::pin(tried(ground, |set| Box::pin(emptied(set)))),
    },
];

/// A cluster whose home is a namespace.
struct Member {
    id: &'static str,
    number: u8,
    home: Ground,
    sync: HubSync,
    task: JoinHandle<()>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Two members and their hub, which is the namespace of the claim.
struct Set {
    hub: Ground,
    east: Member,
    west: Member,
}

async fn tried(ground: Ground, proof: fn(&Set) -> futures::future::BoxFuture<'_, Result<()>>) -> Result<()> {
    let east = Member::join(&ground, "east", 1).await?;
    let west = Member::join(&ground, "west", 2).await?;
    let set = Set { hub: ground, east, west };
    let outcome = match set.met().await {
        Ok(()) => proof(&set).await,
        Err(error) => Err(error),
    };
    for member in [&set.east, &set.west] {
        member.task.abort();
        member.home.delete(&format!("/api/v1/namespaces/{}", member.home.namespace)).await?.wants(200)?;
    }
    outcome
}

impl Set {
    async fn met(&self) -> Result<()> {
        self.west.holds("east-submariner-cable-east-10-0-0-1", "gateway-1").await?;
        self.east.holds("west-submariner-cable-west-10-0-0-2", "gateway-2").await
    }
}

impl Member {
    async fn join(hub: &Ground, id: &'static str, number: u8) -> Result<Self> {
        let name = format!("{}-{id}", hub.namespace);
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        hub.post("/api/v1/namespaces", &namespace).await?.wants(201)?;
        let home = Ground { namespace: name.clone(), ..hub.clone() };
        let own = Own {
            cluster: id.parse()?,
            uid: ClusterUid(format!("kube-system-of-{id}")),
            hub_namespace: hub.namespace.clone(),
            home_namespace: name.clone(),
            publication: Publication::Hold,
        };
        let (sync, run) = HubSync::new(&connection(hub, &hub.namespace), &connection(hub, &name), own);
        let member = Self { id, number, home, sync, task: tokio::spawn(run) };
        member.publish(number, 1)?;
        Ok(member)
    }

    /// Publishes a gateway 10.0.0.HOST.
    fn publish(&self, host: u8, epoch: u64) -> Result<()> {
        let (id, subnet) = (self.id, format!("10.{}.0.0/16", self.number));
        let cluster = ClusterSpec {
            cluster_id: id.to_owned(),
            cluster_cidr: vec![subnet.clone()],
            ..ClusterSpec::default()
        };
        let spec: EndpointSpec = serde_json::from_value(json!({
            "cluster_id": id, "cable_name": format!("submariner-cable-{id}-10-0-0-{host}"),
            "hostname": format!("gateway-{host}"), "subnets": [subnet], "private_ip": format!("10.0.0.{host}"),
            "public_ip": "", "nat_enabled": false, "backend": "vxlan",
        }))?;
        let endpoint = PublishedEndpoint { spec, epoch: Epoch(epoch), annotations: BTreeMap::new() };
        self.sync.publish(Publication::Publish(Published { cluster, endpoints: vec![endpoint] }));
        Ok(())
    }

    /// Waits until a copy is at home, from this gateway.
    async fn holds(&self, name: &str, gateway: &str) -> Result<()> {
        let path = self.home.at(ENDPOINTS, name);
        self.home
            .until(&format!("{} has the Endpoint {name}", self.id), || async {
                same(&self.home.get(&path).await?.wants(200)?, "/spec/hostname", &json!(gateway))
            })
            .await
    }
}

async fn learn(set: &Set) -> Result<()> {
    set.east.publish(7, 2)?;
    set.west.holds("east-submariner-cable-east-10-0-0-7", "gateway-7").await?;
    let old = set.west.home.at(ENDPOINTS, "east-submariner-cable-east-10-0-0-1");
    set.west.home.gone("the old Endpoint", &old).await?;
    set.east.sync.publish(Publication::Withdraw);
    let new = set.west.home.at(ENDPOINTS, "east-submariner-cable-east-10-0-0-7");
    set.west.home.gone("the Endpoint of who left", &new).await
}

async fn copy_comes_back(set: &Set) -> Result<()> {
    let name = "east-submariner-cable-east-10-0-0-1";
    let path = set.west.home.at(ENDPOINTS, name);
    set.west.home.delete(&path).await?.wants(200)?;
    set.west.holds(name, "gateway-1").await?;
    let change = json!({"spec": {"hostname": "nonsense"}});
    set.west.home.patch(&path, Patch::Merge, &change).await?.wants(200)?;
    set.west.holds(name, "gateway-1").await
}

async fn names(ground: &Ground) -> Result<Vec<Value>> {
    let list = ground.get(&ground.path(ENDPOINTS)).await?.wants(200)?;
    let items = list["items"].as_array().context("the list has no items")?;
    Ok(items.iter().map(|item| item["metadata"]["name"].clone()).collect())
}

async fn emptied(set: &Set) -> Result<()> {
    for resource in [ENDPOINTS, "submariner.io/v1/clusters"] {
        set.hub.ask(Method::DELETE, &set.hub.path(resource), None).await?.wants(200)?;
    }
    set.hub
        .until("the hub is filled again", || async {
            let found = names(&set.hub).await?.len();
            ensure!(found == 2, "it holds {found} Endpoints");
            Ok(())
        })
        .await?;
    set.met().await
}
