//! The client code that our programs are made of: kube's runtime, and ours on top of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Patch as Change, PatchParams};
use kube::runtime::watcher::Event;
use kube::runtime::{Controller, WatchStreamExt as _, controller::Action, reflector, watcher};
use kube::{Api, Resource as _, ResourceExt as _};
use serde_json::{Value, json};
use subm_api::{ClusterSpec, EndpointSpec};
use subm_kube::lease::campaign;
use subm_kube::{Candidate, Connection, HubSync, Leadership};
use subm_probe::LeaseTiming;
use subm_sync::{Own, Publication, Published, PublishedEndpoint};
use subm_types::{ClusterUid, Epoch};
use tokio::sync::{oneshot, watch};

use crate::claims::Claim;
use crate::ground::{Ground, Patch, config_map, same};

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        says: "kube's watcher lists by pages, then follows",
        proof: |ground| Box::pin(lists_then_follows(ground, watcher::Config::default().page_size(2))),
    },
    Claim {
        says: "kube's watcher takes the initial list as a stream, then follows",
        proof: |ground| Box::pin(lists_then_follows(ground, watcher::Config::default().streaming_lists())),
    },
    Claim {
        says: "kube's reflector holds what the server holds",
        proof: |ground| Box::pin(reflected(ground)),
    },
    Claim {
        says: "kube's controller makes what its objects want, and makes it again",
        proof: |ground| Box::pin(controller(ground)),
    },
    Claim {
        says: "our watch begins with a complete list and tells every change",
        proof: |ground| Box::pin(our_watch(ground)),
    },
    Claim {
        says: "of two candidates for our lease one leads, and the other follows it",
        proof: |ground| Box::pin(lease(ground)),
    },
    Claim {
        says: "two members of a clusterset see each other over a hub, and forget who leaves",
        proof: |ground| Box::pin(hub(ground)),
    },
];

fn ours(name: &str) -> Value {
    let mut object = config_map(name, "1");
    object["metadata"]["labels"] = json!({"of": "x"});
    object
}

async fn next(
    events: &mut BoxStream<'static, watcher::Result<Event<ConfigMap>>>,
) -> Result<(&'static str, String)> {
    let event = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
    let event = event.context("no event within 20 s")?.context("the watcher ends")??;
    Ok(match event {
        Event::Init => ("init", String::new()),
        Event::InitApply(map) => ("there", map.name_any()),
        Event::InitDone => ("done", String::new()),
        Event::Apply(map) => ("applied", map.name_any()),
        Event::Delete(map) => ("deleted", map.name_any()),
    })
}

async fn lists_then_follows(ground: Ground, config: watcher::Config) -> Result<()> {
    for name in ["a", "b", "c"] {
        ground.create("configmaps", &ours(name)).await?;
    }
    let maps: Api<ConfigMap> = Api::namespaced(ground.client.clone(), &ground.namespace);
    let mut events = watcher(maps, config.labels("of")).boxed();
    let mut told = Vec::new();
    while told.last() != Some(&("done", String::new())) {
        told.push(next(&mut events).await?);
    }
    let wanted = [("init", ""), ("there", "a"), ("there", "b"), ("there", "c"), ("done", "")];
    ensure!(told.iter().map(|(kind, name)| (*kind, name.as_str())).eq(wanted), "the watcher tells {told:?}");
    ground.create("configmaps", &ours("d")).await?;
    ground.delete(&ground.at("configmaps", "a")).await?.wants(200)?;
    for wanted in [("applied", "d"), ("deleted", "a")] {
        let (kind, name) = next(&mut events).await?;
        ensure!((kind, name.as_str()) == wanted, "the watcher tells {kind} {name}, not {wanted:?}");
    }
    Ok(())
}

async fn reflected(ground: Ground) -> Result<()> {
    ground.create("configmaps", &ours("a")).await?;
    let maps: Api<ConfigMap> = Api::namespaced(ground.client.clone(), &ground.namespace);
    let (reader, writer) = reflector::store();
    let config = watcher::Config::default().labels("of");
    let events = reflector(writer, watcher(maps, config)).applied_objects();
    let following = tokio::spawn(events.for_each(|_| std::future::ready(())));
    tokio::time::timeout(Duration::from_secs(20), reader.wait_until_ready())
        .await
        .context("it is never ready")??;
    let names = || reader.state().iter().map(|map| map.name_any()).collect::<BTreeSet<_>>();
    ensure!(names() == BTreeSet::from(["a".to_owned()]), "it holds {:?}", names());
    ground.create("configmaps", &ours("b")).await?;
    ground.delete(&ground.at("configmaps", "a")).await?.wants(200)?;
    let outcome = ground
        .until("it holds what the server holds", || async {
            ensure!(names() == BTreeSet::from(["b".to_owned()]), "it holds {:?}", names());
            Ok(())
        })
        .await;
    following.abort();
    outcome
}

/// Makes of each ConfigMap a Secret that it owns.
async fn reconcile(map: Arc<ConfigMap>, secrets: Arc<Api<Secret>>) -> Result<Action, kube::Error> {
    let owner = map.controller_owner_ref(&());
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": map.name_any(), "ownerReferences": [owner]},
        "stringData": map.data,
    });
    secrets.patch(&map.name_any(), &PatchParams::apply("controller"), &Change::Apply(secret)).await?;
    Ok(Action::await_change())
}

async fn controller(ground: Ground) -> Result<()> {
    ground.create("configmaps", &ours("a")).await?;
    let maps: Api<ConfigMap> = Api::namespaced(ground.client.clone(), &ground.namespace);
    let secrets: Api<Secret> = Api::namespaced(ground.client.clone(), &ground.namespace);
    let running = Controller::new(maps, watcher::Config::default().labels("of"))
        .owns(secrets.clone(), watcher::Config::default())
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(200)), Arc::new(secrets))
        .for_each(|_| std::future::ready(()));
    let running = tokio::spawn(running);
    let outcome = controlled(&ground).await;
    running.abort();
    outcome
}

async fn controlled(ground: &Ground) -> Result<()> {
    let wanted = async |name: &str, key: &str| {
        let path = ground.at("secrets", name);
        ground
            .until("the Secret is as wanted", || async {
                same(&ground.get(&path).await?.wants(200)?, "/data/key", &json!(key))
            })
            .await
    };
    wanted("a", "MQ==").await?;
    ground.create("configmaps", &ours("b")).await?;
    wanted("b", "MQ==").await?;
    let change = json!({"data": {"key": "2"}});
    ground.patch(&ground.at("configmaps", "a"), Patch::Merge, &change).await?.wants(200)?;
    wanted("a", "Mg==").await?;
    ground.delete(&ground.at("secrets", "a")).await?.wants(200)?;
    wanted("a", "Mg==").await
}

fn connection(ground: &Ground, namespace: &str) -> Connection {
    Connection {
        client: ground.client.clone(),
        server: ground.api.server.clone(),
        namespace: namespace.to_owned(),
    }
}

async fn our_watch(ground: Ground) -> Result<()> {
    use subm_kube::Event as Told;
    ground.create("configmaps", &ours("a")).await?;
    let watched =
        subm_kube::Watch::<ConfigMap>::namespaced(&connection(&ground, &ground.namespace)).labels("of");
    let mut events = watched.events().boxed();
    let mut next = async || {
        let event = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
        event.context("no event within 20 s")?.context("the watch ends")
    };
    let first = next().await?;
    let complete = matches!(&first, Told::Snapshot { objects, .. } if objects.len() == 1);
    ensure!(complete, "the watch does not begin with the list");
    ground.create("configmaps", &ours("b")).await?;
    ensure!(matches!(next().await?, Told::Applied(map) if map.name_any() == "b"), "b is not told");
    ground.delete(&ground.at("configmaps", "a")).await?.wants(200)?;
    ensure!(matches!(next().await?, Told::Deleted(key) if key.name == "a"), "the end of a is not told");
    Ok(())
}

async fn holds<T: Clone>(told: &mut watch::Receiver<T>, what: &str, is: impl FnMut(&T) -> bool) -> Result<T> {
    let value = tokio::time::timeout(Duration::from_secs(20), told.wait_for(is)).await;
    Ok(value.with_context(|| format!("never {what}"))?.context("it ended")?.clone())
}

async fn lease(ground: Ground) -> Result<()> {
    let timing = LeaseTiming {
        duration: Duration::from_secs(6),
        renew_deadline: Duration::from_secs(4),
        retry: Duration::from_millis(200),
    };
    let stand = |host: &str| {
        let (tell, told) = watch::channel(Leadership::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let (connection, candidate) =
            (connection(&ground, &ground.namespace), Candidate::gateway(host, timing));
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            campaign(&connection, candidate, tell, stopped).await;
        });
        (told, stop, task)
    };
    let (mut one, stop, first) = stand("one");
    holds(&mut one, "leads the only candidate", |told| told.leader).await?;
    let (mut two, _stop_two, second) = stand("two");
    let seen = |told: &Leadership| told.holder.as_deref() == Some("one-submariner-gateway");
    let seen = holds(&mut two, "is the leader seen", seen).await?;
    ensure!(!seen.leader, "both lead");
    drop(stop);
    holds(&mut two, "leads the other once the first has gone", |told| told.leader).await?;
    let lease = ground.get(&ground.at("coordination.k8s.io/v1/leases", "submariner-gateway-lock")).await?;
    same(&lease.wants(200)?, "/spec/holderIdentity", &json!("two-submariner-gateway"))?;
    first.abort();
    second.abort();
    Ok(())
}

/// A cluster with a namespace for its home, which publishes one gateway.
fn member(ground: &Ground, id: &str, number: u8) -> Result<(HubSync, tokio::task::JoinHandle<()>)> {
    let home = connection(ground, &format!("{}-{id}", ground.namespace));
    let own = Own {
        cluster: id.parse()?,
        uid: ClusterUid(format!("kube-system-of-{id}")),
        hub_namespace: ground.namespace.clone(),
        home_namespace: home.namespace.clone(),
        publication: Publication::Hold,
    };
    let (sync, run) = HubSync::new(&connection(ground, &ground.namespace), &home, own);
    let subnet = format!("10.{number}.0.0/16");
    let cluster = ClusterSpec {
        cluster_id: id.to_owned(),
        cluster_cidr: vec![subnet.clone()],
        ..ClusterSpec::default()
    };
    let spec: EndpointSpec = serde_json::from_value(json!({
        "cluster_id": id, "cable_name": format!("submariner-cable-{id}-10-0-0-{number}"), "hostname": "gateway",
        "subnets": [subnet], "private_ip": format!("10.0.0.{number}"), "public_ip": "", "nat_enabled": false, "backend": "vxlan",
    }))?;
    let endpoint = PublishedEndpoint { spec, epoch: Epoch(1), annotations: BTreeMap::new() };
    sync.publish(Publication::Publish(Published { cluster, endpoints: vec![endpoint] }));
    Ok((sync, tokio::spawn(run)))
}

async fn hub(ground: Ground) -> Result<()> {
    for id in ["east", "west"] {
        let name = format!("{}-{id}", ground.namespace);
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        ground.post("/api/v1/namespaces", &namespace).await?.wants(201)?;
    }
    let (east, first) = member(&ground, "east", 1)?;
    let (west, second) = member(&ground, "west", 2)?;
    let outcome = met(&ground, &east).await;
    first.abort();
    second.abort();
    drop(west);
    for id in ["east", "west"] {
        ground.delete(&format!("/api/v1/namespaces/{}-{id}", ground.namespace)).await?.wants(200)?;
    }
    outcome
}

async fn met(ground: &Ground, east: &HubSync) -> Result<()> {
    let of = async |member: &str, cluster: &str| {
        let path = format!(
            "/apis/submariner.io/v1/namespaces/{}-{member}/endpoints?labelSelector=submariner-io/clusterID%3D{cluster}",
            ground.namespace
        );
        let list = ground.get(&path).await?.wants(200)?;
        anyhow::Ok(list["items"].as_array().map_or(0, Vec::len))
    };
    for (member, other) in [("east", "west"), ("west", "east")] {
        ground
            .until("each has the other's Endpoint", || async {
                ensure!(of(member, other).await? == 1, "{member} does not have that of {other}");
                Ok(())
            })
            .await?;
    }
    east.publish(Publication::Withdraw);
    ground
        .until("who leaves is forgotten", || async {
            ensure!(of("west", "east").await? == 0, "west still has the Endpoint of east");
            Ok(())
        })
        .await
}
