//! The client library that our programs are built on.

use std::collections::BTreeSet;
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
