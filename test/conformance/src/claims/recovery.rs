//! Following collections although watches end and versions are forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::{Request, Uri};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::Body;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use subm_kube::{Connection, Objects, Watch};

use crate::claims::Claim;
use crate::ground::{Ground, config_map};

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        says: "kube's watcher goes on without a new list where the server ends its watches",
        proof: |ground| Box::pin(goes_on(ground)),
    },
    Claim {
        says: "kube's watcher lists anew where the version that it has seen is forgotten",
        proof: |ground| Box::pin(lists_anew(ground)),
    },
    Claim {
        says: "our watch misses nothing where the server ends its watches and forgets versions",
        proof: |ground| Box::pin(ours_does_too(ground)),
    },
    Claim {
        says: "a watch that takes bookmarks is told before its end how far it is, and goes on from there",
        proof: |ground| Box::pin(bookmark_before_the_end(ground)),
    },
];

/// Each watch lasts so many seconds.
const SHORT: (&str, &str) = ("timeoutSeconds", "1");
/// No server remembers this.
const FORGOTTEN: (&str, &str) = ("resourceVersion", "1");

/// A client whose watches ask for something else than whoever opens them: what, by their number from 0.
fn otherwise(ground: &Ground, changes: fn(usize) -> &'static [(&'static str, &'static str)]) -> Client {
    let (client, opened) = (ground.client.clone(), Arc::new(AtomicUsize::new(0)));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, mut request) = (client.clone(), request);
        if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
            let changes = changes(opened.fetch_add(1, Ordering::Relaxed));
            let uri = changes.iter().fold(request.uri().clone(), |uri, change| with(&uri, *change));
            *request.uri_mut() = uri;
        }
        async move { client.send(request).await }
    });
    Client::new(service, ground.namespace.clone())
}

/// An address with another value for an option of its query.
fn with(uri: &Uri, (name, value): (&str, &str)) -> Uri {
    let options = uri.query().unwrap_or_default().split('&');
    let mut options: Vec<String> = options
        .filter(|option| option.split('=').next().is_some_and(|known| known != name))
        .map(str::to_owned)
        .collect();
    options.push(format!("{name}={value}"));
    let changed = format!("{}?{}", uri.path(), options.join("&")).parse();
    changed.unwrap_or_else(|_| uri.clone())
}

/// An object that no controller makes.
fn ours(name: &str) -> Value {
    let mut object = config_map(name, "1");
    object["metadata"]["labels"] = json!({"of": "x"});
    object
}

/// What kube's watcher tells, without its errors, which it recovers from.
type Told = BoxStream<'static, (&'static str, String)>;

fn watch(ground: &Ground, client: Client) -> Told {
    let maps: Api<ConfigMap> = Api::namespaced(client, &ground.namespace);
    let events = watcher(maps, watcher::Config::default().labels("of"));
    let told = events.filter_map(async |event| {
        Some(match event.ok()? {
            watcher::Event::Init => ("init", String::new()),
            watcher::Event::InitApply(map) => ("there", map.name_any()),
            watcher::Event::InitDone => ("done", String::new()),
            watcher::Event::Apply(map) => ("applied", map.name_any()),
            watcher::Event::Delete(map) => ("deleted", map.name_any()),
        })
    });
    told.boxed()
}

async fn wants(told: &mut Told, kind: &str, name: &str) -> Result<()> {
    let next = tokio::time::timeout(Duration::from_secs(30), told.next()).await;
    let (found, of) = next.context("nothing within 30 s")?.context("the watcher ends")?;
    ensure!((found, of.as_str()) == (kind, name), "the watcher tells {found} {of}, not {kind} {name}");
    Ok(())
}

async fn begins(told: &mut Told, names: &[&str]) -> Result<()> {
    wants(told, "init", "").await?;
    for name in names {
        wants(told, "there", name).await?;
    }
    wants(told, "done", "").await
}

async fn goes_on(ground: Ground) -> Result<()> {
    ground.create("configmaps", &ours("a")).await?;
    let mut told = watch(&ground, otherwise(&ground, |_| &[SHORT]));
    begins(&mut told, &["a"]).await?;
    // Each in another watch, or between two.
    for number in 0..5 {
        let name = format!("b{number}");
        ground.create("configmaps", &ours(&name)).await?;
        wants(&mut told, "applied", &name).await?;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    ground.delete(&ground.at("configmaps", "a")).await?.wants(200)?;
    wants(&mut told, "deleted", "a").await
}

async fn lists_anew(ground: Ground) -> Result<()> {
    for name in ["a", "b"] {
        ground.create("configmaps", &ours(name)).await?;
    }
    let client = otherwise(&ground, |number| match number {
        0 => &[SHORT],
        1 => &[FORGOTTEN],
        _ => &[],
    });
    let mut told = watch(&ground, client);
    begins(&mut told, &["a", "b"]).await?;
    begins(&mut told, &["a", "b"]).await?;
    ground.create("configmaps", &ours("c")).await?;
    wants(&mut told, "applied", "c").await
}

async fn ours_does_too(ground: Ground) -> Result<()> {
    ground.create("configmaps", &ours("a")).await?;
    let client = otherwise(&ground, |number| match number {
        0 | 2 => &[SHORT],
        1 | 3 => &[FORGOTTEN],
        _ => &[],
    });
    let connection = Connection::over(client, &ground.api.server, &ground.namespace);
    let mut events = Watch::<ConfigMap>::namespaced(&connection).labels("of").events().boxed();
    let mut objects = Objects::default();
    let mut holds = async |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        loop {
            let found: Vec<String> = objects.values().map(ConfigMap::name_any).collect();
            if found == names {
                return anyhow::Ok(());
            }
            let event = tokio::time::timeout(Duration::from_secs(30), events.next()).await;
            let event = event.with_context(|| format!("it holds {found:?}, not {names:?}"))?;
            objects.apply(event.context("the watch ends")?);
        }
    };
    holds(&["a"]).await?;
    for (made, names) in [("b", ["a", "b"].as_slice()), ("c", &["a", "b", "c"]), ("d", &["a", "b", "c", "d"])]
    {
        tokio::time::sleep(Duration::from_millis(700)).await;
        ground.create("configmaps", &ours(made)).await?;
        holds(names).await?;
    }
    ground.delete(&ground.at("configmaps", "a")).await?.wants(200)?;
    holds(&["b", "c", "d"]).await
}

async fn bookmark_before_the_end(ground: Ground) -> Result<()> {
    let list = ground.get(&ground.path("configmaps")).await?.wants(200)?;
    let version = crate::ground::text(&list, "/metadata/resourceVersion")?;
    ground.create("configmaps", &ours("a")).await?;
    let query = |version: &str| {
        format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds=4&labelSelector=of&resourceVersion={version}",
            ground.path("configmaps")
        )
    };
    let told = ground.get(&query(&version)).await?;
    let events: Vec<Value> = lines(&told.bytes)?;
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    let [added, .., bookmark] = events.as_slice() else { anyhow::bail!("the watch tells {kinds:?}") };
    let marked = kinds.iter().skip(1).all(|kind| *kind == "BOOKMARK");
    ensure!(kinds.first() == Some(&"ADDED") && marked, "the watch tells {kinds:?}");
    let (added, bookmark) = (&added["object"], &bookmark["object"]);
    crate::ground::same(bookmark, "/kind", &json!("ConfigMap"))?;
    let number = |object: &Value| {
        crate::ground::text(object, "/metadata/resourceVersion").and_then(|text| Ok(text.parse::<u64>()?))
    };
    ensure!(number(bookmark)? >= number(added)?, "the bookmark lies before what was told");
    ground.create("configmaps", &ours("b")).await?;
    let told = ground.get(&query(&number(bookmark)?.to_string())).await?;
    let first = lines(&told.bytes)?.into_iter().next().context("nothing is told after the bookmark")?;
    crate::ground::same(&first, "/object/metadata/name", &json!("b"))
}

fn lines(bytes: &[u8]) -> Result<Vec<Value>> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).context("an event is no JSON")).collect()
}
