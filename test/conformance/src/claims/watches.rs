//! Following collections.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::stream::BoxStream;
use futures::{AsyncBufReadExt as _, StreamExt as _};
use serde_json::{Value, json};

use crate::claims::Claim;
use crate::ground::{Ground, Patch, config_map, same, text};

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        says: "a watch from a version tells every later change once, in order",
        proof: |ground| Box::pin(changes(ground)),
    },
    Claim {
        says: "a watch without a version begins with what is there",
        proof: |ground| Box::pin(from_nothing(ground)),
    },
    Claim {
        says: "an object that a selector no longer takes is deleted for its watch",
        proof: |ground| Box::pin(leaving(ground)),
    },
    Claim { says: "a watch of one name tells that object alone", proof: |ground| Box::pin(one_name(ground)) },
    Claim {
        says: "a watch from a version that is forgotten ends with 410 Expired",
        proof: |ground| Box::pin(expired(ground)),
    },
    Claim {
        says: "initial events end with a bookmark that says so",
        proof: |ground| Box::pin(initial_events(ground)),
    },
    Claim {
        says: "a watch ends by itself after the time that it asked for",
        proof: |ground| Box::pin(timeout(ground)),
    },
    Claim { says: "a watch as a table tells the columns once", proof: |ground| Box::pin(as_table(ground)) },
];

/// The events of one watch.
struct Watch(BoxStream<'static, std::io::Result<String>>);

impl Watch {
    async fn open(ground: &Ground, path: &str, accept: &str) -> Result<Self> {
        let request = http::Request::get(path).header(http::header::ACCEPT, accept);
        let lines = ground.client.request_stream(request.body(Vec::new())?).await?.lines();
        Ok(Self(lines.boxed()))
    }

    /// The next event; none where the server has ended the watch.
    async fn next(&mut self) -> Result<Option<Value>> {
        let line = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await;
        let Some(line) = line.context("no event within 20 s")? else { return Ok(None) };
        Ok(Some(serde_json::from_str(&line?).context("an event is no JSON")?))
    }

    /// The next event, which must be of this type, and its object.
    async fn wants(&mut self, kind: &str, name: &str) -> Result<Value> {
        let Some(event) = self.next().await? else {
            bail!("the watch ended instead of telling {kind} {name}")
        };
        let found = (&event["type"], &event["object"]["metadata"]["name"]);
        ensure!(
            found == (&json!(kind), &json!(name)),
            "the watch tells {} {}, not {kind} {name}",
            found.0,
            found.1
        );
        Ok(event["object"].clone())
    }
}

async fn version(ground: &Ground) -> Result<String> {
    let list = ground.get(&ground.path("configmaps")).await?.wants(200)?;
    text(&list, "/metadata/resourceVersion")
}

async fn follow(ground: &Ground, query: &str) -> Result<Watch> {
    let path = format!("{}?watch=true&{query}", ground.path("configmaps"));
    Watch::open(ground, &path, "application/json").await
}

/// An object that no controller makes.
fn ours(name: &str, of: &str) -> Value {
    let mut object = config_map(name, "1");
    object["metadata"]["labels"] = json!({"of": of});
    object
}

async fn changes(ground: Ground) -> Result<()> {
    let from = version(&ground).await?;
    ground.create("configmaps", &ours("a", "x")).await?;
    let mut watch = follow(&ground, &format!("labelSelector=of&resourceVersion={from}")).await?;
    let path = ground.at("configmaps", "a");
    let written = ground.patch(&path, Patch::Merge, &json!({"data": {"key": "2"}})).await?.wants(200)?;
    ground.create("configmaps", &ours("b", "x")).await?;
    ground.delete(&path).await?.wants(200)?;
    let added = watch.wants("ADDED", "a").await?;
    same(&added, "/data/key", &json!("1"))?;
    same(&added, "/kind", &json!("ConfigMap"))?;
    let modified = watch.wants("MODIFIED", "a").await?;
    ensure!(modified == written, "a watch tells another object than the write");
    watch.wants("ADDED", "b").await?;
    let deleted = watch.wants("DELETED", "a").await?;
    same(&deleted, "/data/key", &json!("2"))?;
    let number =
        |object: &Value| text(object, "/metadata/resourceVersion").and_then(|text| Ok(text.parse::<u64>()?));
    ensure!(number(&deleted)? > number(&modified)?, "a deletion has no version of its own");
    Ok(())
}

async fn from_nothing(ground: Ground) -> Result<()> {
    for name in ["b", "a"] {
        ground.create("configmaps", &ours(name, "x")).await?;
    }
    let mut watch = follow(&ground, "labelSelector=of").await?;
    watch.wants("ADDED", "a").await?;
    watch.wants("ADDED", "b").await?;
    ground.delete(&ground.at("configmaps", "a")).await?.wants(200)?;
    watch.wants("DELETED", "a").await?;
    Ok(())
}

async fn leaving(ground: Ground) -> Result<()> {
    let from = version(&ground).await?;
    let mut watch = follow(&ground, &format!("labelSelector=of%3Dx&resourceVersion={from}")).await?;
    ground.create("configmaps", &ours("a", "y")).await?;
    let path = ground.at("configmaps", "a");
    let label = |of: &str| json!({"metadata": {"labels": {"of": of}}});
    ground.patch(&path, Patch::Merge, &label("x")).await?.wants(200)?;
    let left = ground.patch(&path, Patch::Merge, &label("y")).await?.wants(200)?;
    watch.wants("ADDED", "a").await?;
    let deleted = watch.wants("DELETED", "a").await?;
    same(&deleted, "/metadata/labels/of", &json!("x"))?;
    same(&deleted, "/metadata/resourceVersion", &left["metadata"]["resourceVersion"])
}

async fn one_name(ground: Ground) -> Result<()> {
    let from = version(&ground).await?;
    let selector = format!("fieldSelector=metadata.name%3Db&resourceVersion={from}");
    let mut watch = follow(&ground, &selector).await?;
    for name in ["a", "b"] {
        ground.create("configmaps", &ours(name, "x")).await?;
    }
    watch.wants("ADDED", "b").await?;
    Ok(())
}

async fn expired(ground: Ground) -> Result<()> {
    let mut watch = follow(&ground, "resourceVersion=1").await?;
    let event = watch.next().await?.context("the watch ends without an event")?;
    same(&event, "/type", &json!("ERROR"))?;
    same(&event, "/object/kind", &json!("Status"))?;
    same(&event, "/object/code", &json!(410))?;
    same(&event, "/object/reason", &json!("Expired"))?;
    ensure!(watch.next().await?.is_none(), "the watch goes on after it has failed");
    Ok(())
}

async fn initial_events(ground: Ground) -> Result<()> {
    ground.create("configmaps", &ours("a", "x")).await?;
    let query =
        "labelSelector=of&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
    let mut watch = follow(&ground, query).await?;
    watch.wants("ADDED", "a").await?;
    let event = watch.next().await?.context("the watch ends before its bookmark")?;
    same(&event, "/type", &json!("BOOKMARK"))?;
    same(&event, "/object/kind", &json!("ConfigMap"))?;
    same(&event, "/object/metadata/annotations/k8s.io~1initial-events-end", &json!("true"))?;
    text(&event, "/object/metadata/resourceVersion")?;
    ground.create("configmaps", &ours("b", "x")).await?;
    watch.wants("ADDED", "b").await?;
    let wrong = format!("{}?watch=true&sendInitialEvents=true", ground.path("configmaps"));
    ground.get(&wrong).await?.refuses(422, "Invalid")?;
    Ok(())
}

async fn timeout(ground: Ground) -> Result<()> {
    let mut watch = follow(&ground, "labelSelector=none&timeoutSeconds=1").await?;
    ensure!(watch.next().await?.is_none(), "a watch of nothing tells something");
    Ok(())
}

async fn as_table(ground: Ground) -> Result<()> {
    ground.create("configmaps", &ours("a", "x")).await?;
    let path = format!("{}?watch=true&labelSelector=of", ground.path("configmaps"));
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let mut watch = Watch::open(&ground, &path, accept).await?;
    ground.create("configmaps", &ours("b", "x")).await?;
    let first = watch.next().await?.context("the watch ends")?;
    same(&first, "/object/kind", &json!("Table"))?;
    same(&first, "/object/rows/0/cells/0", &json!("a"))?;
    same(&first, "/object/columnDefinitions/0/name", &json!("Name"))?;
    let second = watch.next().await?.context("the watch ends")?;
    same(&second, "/object/rows/0/cells/0", &json!("b"))?;
    same(&second, "/object/columnDefinitions", &Value::Null)
}
