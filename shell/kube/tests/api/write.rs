//! Writes: only what differs, only over what was seen.

use k8s_openapi::api::core::v1::Event;
use subm_api::Endpoint;
use subm_apiserver::Link;
use subm_kube::{Key, Note, Recorder, Severity, Writer, Written, recorder};

use crate::harness::{HOME, Served, endpoint};

async fn seen(writer: &Writer, object: &Endpoint) -> Endpoint {
    writer.get(&Key::of(object)).await.unwrap().unwrap()
}

#[tokio::test]
async fn equal_object_is_not_written() {
    let home = Served::start(HOME);
    let writer = Writer::new(&home.home().await, "submariner-gateway");
    let mut object: Endpoint = serde_json::from_value(endpoint("east", HOME, 1)).unwrap();
    assert_eq!(writer.apply(&object, None).await.unwrap(), Written::Created);
    let live = seen(&writer, &object).await;
    home.faults().set_link(Link::Refused);
    assert_eq!(writer.apply(&object, Some(&live)).await.unwrap(), Written::Unchanged);
    assert_eq!(writer.replace(&object, Some(&live)).await.unwrap(), Written::Unchanged);
    home.faults().set_link(Link::Up);
    object.spec.hostname = "other".to_owned();
    assert_eq!(writer.apply(&object, Some(&live)).await.unwrap(), Written::Changed);
    assert_eq!(seen(&writer, &object).await.spec.hostname, "other");
}

#[tokio::test]
async fn apply_leaves_what_others_own() {
    let home = Served::start(HOME);
    let writer = Writer::new(&home.home().await, "submariner-gateway");
    let object: Endpoint = serde_json::from_value(endpoint("east", HOME, 1)).unwrap();
    writer.apply(&object, None).await.unwrap();
    let note = serde_json::json!({"metadata": {"annotations": {"example.org/note": "kept"}}});
    writer.merge::<Endpoint>(&Key::of(&object), &note).await.unwrap();
    writer.apply(&object, None).await.unwrap();
    let live = seen(&writer, &object).await;
    assert_eq!(live.metadata.annotations.unwrap()["example.org/note"], "kept");
}

#[tokio::test]
async fn what_changed_meanwhile_is_neither_replaced_nor_deleted() {
    let home = Served::start(HOME);
    let writer = Writer::new(&home.home().await, "submariner-gateway");
    let mut object: Endpoint = serde_json::from_value(endpoint("east", HOME, 1)).unwrap();
    assert_eq!(writer.replace(&object, None).await.unwrap(), Written::Created);
    assert!(writer.replace(&object, None).await.unwrap_err().is_conflict());
    let old = seen(&writer, &object).await;
    object.spec.hostname = "other".to_owned();
    writer.replace(&object, Some(&old)).await.unwrap();
    object.spec.hostname = "third".to_owned();
    assert!(writer.replace(&object, Some(&old)).await.unwrap_err().is_conflict());
    assert!(writer.delete(&old).await.unwrap_err().is_conflict());
    let new = seen(&writer, &object).await;
    writer.delete(&new).await.unwrap();
    writer.delete(&new).await.unwrap();
}

#[tokio::test]
async fn refused_object_says_why() {
    let home = Served::start(HOME);
    let writer = Writer::new(&home.home().await, "submariner-gateway");
    let mut object: Endpoint = serde_json::from_value(endpoint("east", HOME, 1)).unwrap();
    object.spec.cluster_id = String::new();
    let error = writer.replace(&object, None).await.unwrap_err();
    assert!(matches!(&error, subm_kube::ApiError::Invalid { .. }), "{error:?}");
    assert!(error.to_string().contains("cluster_id"), "{error}");
}

#[tokio::test]
async fn same_event_is_told_once() {
    let home = Served::start(HOME);
    let connection = home.home().await;
    let object: Endpoint = serde_json::from_value(endpoint("east", HOME, 1)).unwrap();
    let note = |message: &str| Note {
        about: recorder::reference(&object),
        severity: Severity::Warning,
        reason: "OverlappingCIDR".to_owned(),
        message: message.to_owned(),
    };
    for _ in 0..2 {
        // As if the daemon had been started anew.
        let recorder = Recorder::new(&connection, "submariner-gateway", "node-1");
        for _ in 0..3 {
            recorder.record(&note("10.1.0.0/16 overlaps")).await.unwrap();
        }
        recorder.record(&note("10.2.0.0/16 overlaps")).await.unwrap();
    }
    let events = home.store().list("events", Some(HOME));
    assert_eq!(events.len(), 2, "{events:#?}");
    let event: Event = serde_json::from_value(events[0].clone()).unwrap();
    assert_eq!(event.involved_object.kind.as_deref(), Some("Endpoint"));
    assert_eq!((event.type_.as_deref(), event.count), (Some("Warning"), Some(1)));
}

#[tokio::test]
async fn event_that_could_not_be_written_is_told_the_next_time() {
    let home = Served::start(HOME);
    let object: Endpoint = serde_json::from_value(endpoint("east", HOME, 1)).unwrap();
    let note = Note {
        about: recorder::reference(&object),
        severity: Severity::Warning,
        reason: "OverlappingCIDR".to_owned(),
        message: "10.1.0.0/16 overlaps".to_owned(),
    };
    let recorder = Recorder::new(&home.home().await, "submariner-gateway", "node-1");
    home.faults().set_link(Link::Refused);
    assert!(recorder.record(&note).await.is_err());
    home.faults().set_link(Link::Up);
    recorder.record(&note).await.unwrap();
    let events = home.store().list("events", Some(HOME));
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["count"], 2);
}
