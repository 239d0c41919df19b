//! The fault knobs do what they say, and let go again.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use subm_apiserver::Link;

use crate::harness::{Served, code, config_map};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn requests_are_refused_conflict_or_expire_as_often_as_asked() {
    let served = Served::start().await;
    let faults = served.server.faults();
    let maps: Api<ConfigMap> = Api::default_namespaced(served.client("admin").await);
    let map = serde_json::from_value(config_map("a", "1")).unwrap();
    faults.conflict_writes(2);
    assert_eq!(code(maps.create(&PostParams::default(), &map).await), 409);
    assert_eq!(code(maps.create(&PostParams::default(), &map).await), 409);
    maps.create(&PostParams::default(), &map).await.unwrap();

    faults.expire_watches(1);
    for expired in [true, false] {
        let stream = maps.watch(&WatchParams::default(), "0").await.unwrap();
        pin_mut!(stream);
        let event = stream.next().await.unwrap().unwrap();
        assert_eq!(matches!(event, WatchEvent::Error(status) if status.code == 410), expired);
    }
}

#[tokio::test]
async fn latency_is_added_to_every_answer() {
    let served = Served::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(served.client("admin").await);
    maps.list(&ListParams::default()).await.unwrap();
    served.server.faults().delay(Duration::from_millis(120));
    let start = Instant::now();
    maps.list(&ListParams::default()).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn a_silent_link_answers_nothing_until_it_is_up_again() {
    let served = Served::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(served.client("admin").await);
    let stream = maps.watch(&WatchParams::default(), "0").await.unwrap();
    pin_mut!(stream);
    served.server.faults().set_link(Link::Silent);
    served.server.store().create(config_map("a", "1")).unwrap();
    let quiet = Duration::from_millis(200);
    assert!(tokio::time::timeout(quiet, stream.next()).await.is_err());
    let params = ListParams::default();
    let list = maps.list(&params);
    pin_mut!(list);
    assert!(tokio::time::timeout(quiet, &mut list).await.is_err());
    served.server.faults().set_link(Link::Up);
    assert!(tokio::time::timeout(SOON, stream.next()).await.unwrap().is_some());
    assert_eq!(tokio::time::timeout(SOON, list).await.unwrap().unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_refused_link_ends_connections_and_takes_none() {
    let served = Served::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(served.client("admin").await);
    let stream = maps.watch(&WatchParams::default(), "0").await.unwrap();
    pin_mut!(stream);
    served.server.faults().set_link(Link::Refused);
    let ended = tokio::time::timeout(SOON, stream.next()).await.unwrap();
    assert!(!matches!(ended, Some(Ok(_))), "{ended:?}");
    assert!(
        matches!(maps.list(&ListParams::default()).await, Err(error) if !matches!(error, kube::Error::Api(_)))
    );
    served.server.faults().set_link(Link::Up);
    maps.list(&ListParams::default()).await.unwrap();
}
