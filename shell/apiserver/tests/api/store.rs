//! The store by itself: pure, so the same writes always give the same objects.

use std::collections::BTreeMap;

use axum::body::Body;
use http::Request;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use subm_apiserver::{
    Admission, ApiServer, Change, Credential, Deletion, Effect, Force, KindId, Patch, Place, Preconditions,
    Store, Writer,
};
use tower::ServiceExt as _;

fn writer(manager: &str) -> Writer {
    Writer {
        manager: manager.to_owned(),
        admission: Admission::Anything,
        now: Timestamp::UNIX_EPOCH,
        effect: Effect::Lasting,
    }
}

fn maps() -> KindId {
    KindId::named("configmaps").unwrap()
}

fn store(namespaces: &[&str]) -> Store {
    let mut store = Store::new([7; 16], 100, 1000);
    for name in namespaces {
        let namespace = json!({"metadata": {"name": name}});
        store.create(KindId::named("namespaces").unwrap(), "", namespace, &writer("test")).unwrap();
    }
    store
}

/// One write among few objects, so that writes meet.
#[derive(Debug, Clone)]
enum Step {
    Create(u8, u8),
    Merge(u8, u8),
    Apply(u8, u8, u8),
    Hold(u8),
    Release(u8),
    Delete(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..4_u8;
    prop_oneof![
        (name.clone(), 0..3_u8).prop_map(|(name, value)| Step::Create(name, value)),
        (name.clone(), 0..3_u8).prop_map(|(name, value)| Step::Merge(name, value)),
        (name.clone(), 0..3_u8, 0..3_u8).prop_map(|(name, who, value)| Step::Apply(name, who, value)),
        name.clone().prop_map(Step::Hold),
        name.clone().prop_map(Step::Release),
        name.prop_map(Step::Delete),
    ]
}

/// Carries a step out; refusals are part of the game.
fn take(store: &mut Store, step: &Step) -> bool {
    let place = |name: &u8| Place::new(maps(), "a", &format!("m{name}"));
    let merge = |store: &mut Store, name: &u8, patch: Value| {
        store.patch(&place(name), &Patch::Merge(patch), &writer("merger")).is_ok()
    };
    match step {
        Step::Create(name, value) => {
            let map = json!({"metadata": {"name": format!("m{name}")}, "data": {"k": value.to_string()}});
            store.create(maps(), "a", map, &writer("creator")).is_ok()
        }
        Step::Merge(name, value) => merge(store, name, json!({"data": {"k": value.to_string()}})),
        Step::Apply(name, who, value) => {
            let map = json!({"data": {format!("k{value}"): "x", "k": value.to_string()}});
            store.apply(&place(name), map, Force::Yes, &writer(&format!("applier{who}"))).is_ok()
        }
        Step::Hold(name) => merge(store, name, json!({"metadata": {"finalizers": ["example.com/hold"]}})),
        Step::Release(name) => merge(store, name, json!({"metadata": {"finalizers": null}})),
        Step::Delete(name) => {
            store.delete(&place(name), &Preconditions::default(), &writer("deleter")).is_ok()
        }
    }
}

fn contents(store: &Store) -> BTreeMap<String, Value> {
    store.list(maps(), None).map(|object| (object.name().to_owned(), object.value())).collect()
}

proptest! {
    #[test]
    fn the_history_replays_to_the_state(steps in prop::collection::vec(step(), 0..60)) {
        let mut store = store(&["a"]);
        let start = store.version();
        for step in &steps {
            take(&mut store, step);
        }
        let mut replayed = BTreeMap::new();
        let mut version = start;
        for event in store.since(maps(), start).unwrap() {
            prop_assert!(event.object.version() > version);
            version = event.object.version();
            let name = event.object.name().to_owned();
            let before = match event.change {
                Change::Deleted => replayed.remove(&name),
                Change::Added | Change::Modified => replayed.insert(name, event.object.value()),
            };
            prop_assert_eq!(before.is_some(), event.change != Change::Added);
        }
        prop_assert_eq!(replayed, contents(&store));
    }

    #[test]
    fn the_same_writes_give_the_same_objects(steps in prop::collection::vec(step(), 0..30)) {
        let run = || {
            let mut store = store(&["a"]);
            let results: Vec<_> = steps.iter().map(|step| take(&mut store, step)).collect();
            (results, contents(&store))
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn what_nobody_applies_any_more_is_gone(steps in prop::collection::vec((0..3_u8, 0..3_u8), 1..20)) {
        let mut store = store(&["a"]);
        for (who, value) in steps {
            prop_assert!(take(&mut store, &Step::Apply(0, who, value)));
        }
        let place = Place::new(maps(), "a", "m0");
        for who in 0..3 {
            store.apply(&place, json!({}), Force::No, &writer(&format!("applier{who}"))).unwrap();
        }
        let left = store.find(&place).unwrap().value();
        prop_assert_eq!(left.get("data"), None);
    }
}

#[test]
fn a_namespace_is_not_taken_for_another_that_begins_alike() {
    let mut store = store(&["a", "a-b"]);
    for namespace in ["a", "a-b"] {
        store.create(maps(), namespace, json!({"metadata": {"name": "m"}}), &writer("test")).unwrap();
    }
    assert_eq!(store.list(maps(), Some("a")).count(), 1);
    assert_eq!(store.list(maps(), None).count(), 2);
    let namespace = Place::new(KindId::named("namespaces").unwrap(), "", "a");
    let deletion = store.delete(&namespace, &Preconditions::default(), &writer("test")).unwrap();
    assert!(matches!(deletion, Deletion::Pending(_)), "its last state says that it ends");
    assert!(store.find(&namespace).is_err());
    assert_eq!(store.list(maps(), None).map(|object| object.namespace()).collect::<Vec<_>>(), ["a-b"]);
}

#[test]
fn history_is_bounded_and_what_fell_out_is_expired() {
    let mut store = Store::new([0; 16], 100, 2);
    let namespaces = KindId::named("namespaces").unwrap();
    for name in ["a", "b", "c"] {
        store.create(namespaces, "", json!({"metadata": {"name": name}}), &writer("test")).unwrap();
    }
    let names = |version| {
        let events = store.since(namespaces, version).map_err(|refusal| refusal.code())?;
        Ok::<_, u16>(events.map(|event| event.object.name().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(names(100), Err(410));
    assert_eq!(names(101).unwrap(), ["b", "c"]);
    assert_eq!(names(103).unwrap(), Vec::<String>::new());
    assert_eq!(names(104), Err(410));
}

#[test]
fn history_is_bounded_in_bytes_too() {
    let mut store = store(&["a"]);
    let start = store.version();
    let mut create = |number: usize| {
        let text = "x".repeat(1024 * 1024 - 1);
        let map = json!({"metadata": {"name": format!("m{number}")}, "data": {"k": text}});
        store.create(maps(), "a", map, &writer("test")).unwrap();
        store.since(maps(), start).map(Iterator::count).map_err(|refusal| refusal.code())
    };
    let counts: Vec<_> = (1..=32).map(&mut create).collect();
    assert_eq!(counts[30], Ok(31));
    assert_eq!(counts[31], Err(410));
}

#[test]
fn histories_of_all_kinds_are_bounded_together_and_each_keeps_what_is_new() {
    let mut store = store(&["a"]);
    let definitions = KindId::named("customresourcedefinitions.apiextensions.k8s.io").unwrap();
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for number in 0..6 {
        let plural = format!("things{number}");
        let definition = json!({
            "metadata": {"name": format!("{plural}.example.org")},
            "spec": {
                "group": "example.org", "scope": "Namespaced",
                "names": {"plural": plural, "kind": format!("Thing{number}")},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
            },
        });
        store.create(definitions, "", definition, &writer("test")).unwrap();
        let kind = store.kinds().named(&format!("{plural}.example.org")).unwrap();
        // A kind's history begins with its definition.
        first.push((kind, store.version()));
        for object in 0..15 {
            let thing =
                json!({"metadata": {"name": format!("t{object}")}, "data": {"k": "x".repeat(2 << 20)}});
            last.retain(|(known, _)| *known != kind);
            last.push((kind, store.version()));
            store.create(kind, "a", thing, &writer("test")).unwrap();
        }
    }
    let latest = store.version();
    let kept = |(kind, start): &(KindId, u64)| {
        (*start..=latest)
            .find_map(|version| Some(store.since(*kind, version).ok()?.count()))
            .unwrap_or_default()
    };
    let kept: Vec<usize> = first.iter().map(kept).collect();
    // 128 MiB for all of them, of 2 MiB each; the longest history gives way.
    assert!(kept.iter().sum::<usize>() <= 64 && kept.iter().all(|kept| *kept >= 5), "{kept:?}");
    for (kind, before) in last {
        assert_eq!(store.since(kind, before).unwrap().count(), 1);
    }
}

/// JSON of the shapes that objects have, with any type anywhere.
fn json_of(depth: u32) -> impl Strategy<Value = Value> {
    let keys = prop_oneof![
        Just("name"),
        Just("labels"),
        Just("ports"),
        Just("port"),
        Just("conditions"),
        Just("type"),
        Just("phase"),
        Just("containers"),
        Just("cluster_id"),
        Just("finalizers"),
        Just("$patch"),
        Just("key"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof![Just("x"), Just("delete"), Just("")].prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(keys.clone(), inner, 0..4).prop_map(|entries| entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_body_brings_the_server_down(
        metadata in json_of(3), spec in json_of(4), status in json_of(4), data in json_of(2),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(send_everywhere(&json!({
            "metadata": metadata, "spec": spec, "status": status, "data": data,
        })));
    }
}

async fn send_everywhere(body: &Value) {
    let server = ApiServer::builder().credentials([Credential::admin("admin")]).build();
    let kinds: Vec<_> = server.store().read(|store| store.kinds().visible().collect());
    for kind in kinds {
        let root = if kind.group.is_empty() { "/api" } else { "/apis" };
        let middle = if kind.is_namespaced() { "/namespaces/default" } else { "" };
        let collection = format!("{root}/{}{middle}/{}", kind.api_version(), kind.plural);
        let mut named = body.clone();
        named["metadata"] = json!({"name": "x"});
        let object = format!("{collection}/x");
        let status = format!("{object}/status");
        for (method, path, kind_of_body, body) in [
            ("POST", &collection, "application/json", body),
            ("POST", &collection, "application/json", &named),
            ("PATCH", &object, "application/merge-patch+json", body),
            ("PATCH", &object, "application/strategic-merge-patch+json", body),
            ("PATCH", &status, "application/strategic-merge-patch+json", body),
            ("PATCH", &object, "application/json-patch+json", body),
            ("PATCH", &object, "application/apply-patch+yaml", &named),
            ("PUT", &object, "application/json", &named),
            ("PUT", &status, "application/json", &named),
            ("GET", &collection, "application/json", body),
            ("DELETE", &object, "application/json", body),
        ] {
            let request = Request::builder()
                .method(method)
                .uri(format!("{path}?fieldManager=test"))
                .header("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")
                .header("content-type", kind_of_body)
                .body(Body::from(body.to_string()))
                .unwrap();
            let code = server.service_as("admin").oneshot(request).await.unwrap().status().as_u16();
            // COMPAT: an applied field that the kind does not have is a 500.
            let untyped = code == 500 && kind_of_body == "application/apply-patch+yaml";
            assert!((200..500).contains(&code) || untyped, "{method} {path}: {code}");
        }
    }
}
