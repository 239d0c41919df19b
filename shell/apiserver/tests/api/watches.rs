//! Watches: nothing is missed, nothing comes late.

use std::time::{Duration, Instant};

use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use subm_apiserver::ApiServer;

use crate::harness::{Served, config_map};

fn word(event: &WatchEvent<ConfigMap>) -> (&'static str, String) {
    match event {
        WatchEvent::Added(object) => ("added", object.name_any()),
        WatchEvent::Modified(object) => ("modified", object.name_any()),
        WatchEvent::Deleted(object) => ("deleted", object.name_any()),
        WatchEvent::Bookmark(bookmark) => ("bookmark", bookmark.metadata.resource_version.clone()),
        WatchEvent::Error(status) => ("error", status.code.to_string()),
    }
}

/// The next event, which must come soon.
async fn next<S>(stream: &mut S) -> (&'static str, String)
where
    S: futures::Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin,
{
    let event = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("an event comes");
    word(&event.expect("the watch goes on").unwrap())
}

fn pair(word: &'static str, name: &str) -> (&'static str, String) {
    (word, name.to_owned())
}

#[tokio::test]
async fn a_watch_goes_on_from_the_version_of_a_list() {
    let served = Served::start().await;
    let store = served.server.store();
    store.create(config_map("a", "1")).unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(served.client("admin").await);
    let version = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    store.create(config_map("b", "1")).unwrap();
    store.replace(config_map("a", "2")).unwrap();
    let stream = maps.watch(&WatchParams::default(), &version).await.unwrap();
    pin_mut!(stream);
    assert_eq!(next(&mut stream).await, pair("added", "b"));
    assert_eq!(next(&mut stream).await, pair("modified", "a"));
    store.delete("configmaps", "default", "b").unwrap();
    assert_eq!(next(&mut stream).await, pair("deleted", "b"));
}

#[tokio::test]
async fn an_object_that_is_no_longer_selected_is_deleted_for_the_watcher() {
    let served = Served::start().await;
    let store = served.server.store();
    let maps: Api<ConfigMap> = Api::default_namespaced(served.client("admin").await);
    let stream = maps.watch(&WatchParams::default().labels("app=web"), "0").await.unwrap();
    pin_mut!(stream);
    let label = |app: &str| json!({"metadata": {"labels": {"app": app}}});
    store.create(config_map("a", "1")).unwrap();
    store.merge("configmaps", "default", "a", label("web")).unwrap();
    assert_eq!(next(&mut stream).await, pair("added", "a"));
    store.merge("configmaps", "default", "a", json!({"data": {"key": "2"}})).unwrap();
    assert_eq!(next(&mut stream).await, pair("modified", "a"));
    store.merge("configmaps", "default", "a", label("db")).unwrap();
    assert_eq!(next(&mut stream).await, pair("deleted", "a"));
    store.delete("configmaps", "default", "a").unwrap();
    store.merge("configmaps", "default", "a", label("web")).unwrap_err();
    let mut again = config_map("b", "1");
    again["metadata"]["labels"] = json!({"app": "web"});
    store.create(again).unwrap();
    assert_eq!(next(&mut stream).await, pair("added", "b"));
}

#[tokio::test]
async fn a_version_older_than_the_history_is_gone() {
    let served = Served::of(ApiServer::builder().history(4)).await;
    let store = served.server.store();
    let maps: Api<ConfigMap> = Api::default_namespaced(served.client("admin").await);
    let version = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    for number in 0..4 {
        store.create(config_map(&format!("m{number}"), "1")).unwrap();
    }
    let first = |version: String| async {
        let version = version;
        let stream = maps.watch(&WatchParams::default(), &version).await.unwrap();
        pin_mut!(stream);
        next(&mut stream).await
    };
    assert_eq!(first(version.clone()).await, pair("added", "m0"));
    store.create(config_map("m4", "1")).unwrap();
    assert_eq!(first(version).await, pair("error", "410"));
    assert_eq!(first("99999999999999999".to_owned()).await, pair("error", "410"));
}

#[tokio::test]
async fn bookmarks_follow_the_version_and_end_the_initial_list() {
    let served = Served::of(ApiServer::builder().bookmarks_every(Duration::from_millis(50))).await;
    let store = served.server.store();
    store.create(config_map("a", "1")).unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(served.client("admin").await);
    let stream = maps.watch(&WatchParams::default().initial_events(), "0").await.unwrap();
    pin_mut!(stream);
    assert_eq!(next(&mut stream).await, pair("added", "a"));
    let Some(Ok(WatchEvent::Bookmark(end))) = stream.next().await else { panic!("no bookmark") };
    assert_eq!(end.metadata.annotations["k8s.io/initial-events-end"], "true");
    let other = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}});
    let version = store.create(other).unwrap().version().to_string();
    let reached = async { while next(&mut stream).await != ("bookmark", version.clone()) {} };
    tokio::time::timeout(Duration::from_secs(10), reached).await.unwrap();
}

#[tokio::test]
async fn a_watch_ends_when_its_time_is_over() {
    let served = Served::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(served.client("admin").await);
    let stream = maps.watch(&WatchParams::default().timeout(1), "0").await.unwrap();
    pin_mut!(stream);
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.unwrap();
    assert!(ended.is_none());
}

#[tokio::test]
async fn a_reflector_stays_true_through_cut_watches_and_lost_history() {
    for streaming in [false, true] {
        let served = Served::of(ApiServer::builder().history(8)).await;
        let objects = served.server.store();
        let maps: Api<ConfigMap> = Api::default_namespaced(served.client("admin").await);
        let config = watcher::Config::default();
        let config = if streaming { config.streaming_lists() } else { config };
        let (reader, writer) = reflector::store();
        let stream = reflector(writer, watcher(maps, config)).default_backoff().touched_objects();
        let running = tokio::spawn(stream.for_each(|_| async {}));
        tokio::time::timeout(Duration::from_secs(10), reader.wait_until_ready()).await.unwrap().unwrap();
        for round in 0..3 {
            let maps = (0..20).map(|number| config_map(&format!("m{number}"), &round.to_string()));
            maps.for_each(|map| drop(objects.apply(map).unwrap()));
            served.server.faults().cut_watches();
            objects.delete("configmaps", "default", "m0").unwrap();
        }
        let same = || {
            let mut seen: Vec<_> =
                reader.state().iter().map(|map| serde_json::to_value(&**map).unwrap()).collect();
            let mut kept = objects.list("configmaps", Some("default"));
            let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
            seen.sort_by_key(version);
            kept.sort_by_key(version);
            seen.iter().map(version).eq(kept.iter().map(version))
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !same() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(same(), "streaming {streaming}");
        running.abort();
    }
}

#[tokio::test]
async fn rows_and_metadata_are_watched_in_their_form() {
    let served = Served::start().await;
    served.server.store().create(config_map("a", "1")).unwrap();
    let client = served.client("admin").await;
    let first = async |form: &str| -> Value {
        let request = http::Request::get("/api/v1/namespaces/default/configmaps?watch=true")
            .header("accept", format!("application/json;as={form};g=meta.k8s.io;v=v1"))
            .body(Vec::new())
            .unwrap();
        let lines = client.request_stream(request).await.unwrap().lines();
        pin_mut!(lines);
        serde_json::from_str(&lines.try_next().await.unwrap().unwrap()).unwrap()
    };
    let table = first("Table").await;
    assert_eq!(table["object"]["rows"][0]["cells"][0], "a");
    assert_eq!(table["object"]["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let metadata = first("PartialObjectMetadata").await;
    assert_eq!(metadata["object"]["metadata"]["name"], "a");
    assert_eq!(metadata["object"].get("data"), None);
}
