//! Watches through everything that may happen to their server.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use serde_json::json;
use subm_api::Endpoint;
use subm_apiserver::{Link, Rule, Verb};
use subm_kube::{ApiError, Event, Objects, Watch};

use crate::harness::{BROKER, LIMIT, Served, endpoint};

type Events = Pin<Box<dyn Stream<Item = Event<Endpoint>> + Send>>;

async fn next(events: &mut Events) -> Event<Endpoint> {
    tokio::time::timeout(LIMIT, events.next()).await.expect("no event came").unwrap()
}

fn names(objects: &[Endpoint]) -> Vec<&str> {
    objects.iter().map(|object| object.metadata.name.as_deref().unwrap()).collect()
}

/// Feeds a store until it fulfils a condition.
async fn feed(
    objects: &mut Objects<Endpoint>,
    events: &mut Events,
    holds: impl Fn(&Objects<Endpoint>) -> bool,
) {
    while !holds(objects) {
        let event = next(events).await;
        objects.apply(event);
    }
}

#[tokio::test]
async fn complete_list_comes_first_and_changes_follow() {
    let hub = Served::start(BROKER);
    hub.store().create(endpoint("west", BROKER, 2)).unwrap();
    let mut events: Events = Box::pin(Watch::namespaced(&hub.hub("east")).events());
    let Event::Snapshot { objects, unreadable } = next(&mut events).await else { panic!("no list") };
    assert_eq!(names(&objects), ["west-submariner-cable-west-10-0-0-2"]);
    assert_eq!(objects[0].metadata.managed_fields, None);
    assert_eq!(unreadable, []);

    hub.store().create(endpoint("north", BROKER, 3)).unwrap();
    let Event::Applied(object) = next(&mut events).await else { panic!("no change") };
    assert_eq!(object.spec.cluster_id, "north");
    hub.store().delete("endpoints.submariner.io", BROKER, "north-submariner-cable-north-10-0-0-3").unwrap();
    let Event::Deleted(key) = next(&mut events).await else { panic!("no deletion") };
    assert_eq!(key.to_string(), format!("{BROKER}/north-submariner-cable-north-10-0-0-3"));
}

#[tokio::test]
async fn what_happens_while_watches_are_cut_or_expired_is_seen() {
    let hub = Served::start(BROKER);
    hub.store().create(endpoint("west", BROKER, 2)).unwrap();
    let mut events: Events = Box::pin(Watch::namespaced(&hub.hub("east")).events());
    let mut objects = Objects::default();
    feed(&mut objects, &mut events, |objects| objects.values().count() == 1).await;
    for round in 3..8 {
        if let Some(knobs) = hub.faults().knobs() {
            knobs.expire_watches(1);
        }
        hub.faults().cut_watches();
        hub.store().create(endpoint("north", BROKER, round)).unwrap();
        feed(&mut objects, &mut events, |objects| objects.values().count() == 2).await;
        hub.faults().cut_watches();
        let name = format!("north-submariner-cable-north-10-0-0-{round}");
        hub.store().delete("endpoints.submariner.io", BROKER, &name).unwrap();
        feed(&mut objects, &mut events, |objects| objects.values().count() == 1).await;
    }
}

#[tokio::test]
async fn loss_of_the_server_is_not_the_loss_of_its_objects() {
    let hub = Served::start(BROKER);
    hub.store().create(endpoint("west", BROKER, 2)).unwrap();
    let mut events: Events = Box::pin(Watch::namespaced(&hub.hub("east")).events());
    let mut objects = Objects::default();
    feed(&mut objects, &mut events, Objects::is_complete).await;
    hub.faults().set_link(Link::Refused);
    feed(&mut objects, &mut events, |objects| objects.unavailable().is_some()).await;
    assert!(matches!(objects.unavailable(), Some(ApiError::Unreachable { .. })), "{objects:?}");
    assert_eq!(objects.values().count(), 1);
    hub.faults().set_link(Link::Up);
    feed(&mut objects, &mut events, |objects| objects.unavailable().is_none()).await;
    assert_eq!(objects.values().count(), 1);
}

#[tokio::test]
async fn forbidden_watch_names_verb_and_resource() {
    let hub = Served::start(BROKER);
    let rules = vec![Rule::on("submariner.io", &["endpoints"]).verbs(&[Verb::Get])];
    let token = hub.cluster().allow("poor", &rules).unwrap();
    let mut events: Events = Box::pin(Watch::namespaced(&hub.hub_by(&token)).events());
    let Event::Unavailable(error) = next(&mut events).await else { panic!("it may not") };
    assert!(matches!(&error, ApiError::Forbidden { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("grant the verb list on endpoints.submariner.io"), "{text}");
    // The right is granted: nothing has to be restarted.
    let rules = vec![Rule::on("submariner.io", &["endpoints"])];
    hub.cluster().allow("poor", &rules).unwrap();
    loop {
        if matches!(next(&mut events).await, Event::Snapshot { .. }) {
            break;
        }
    }
}

#[tokio::test]
async fn unknown_token_is_told_from_a_missing_right() {
    let hub = Served::start(BROKER);
    let mut events: Events = Box::pin(Watch::namespaced(&hub.hub_by("stranger")).events());
    let Event::Unavailable(error) = next(&mut events).await else { panic!("it may not") };
    assert!(matches!(&error, ApiError::Unauthorized { .. }), "{error:?}");
}

#[tokio::test]
async fn object_that_becomes_unreadable_stays_as_it_was() {
    let mut objects = Objects::<Endpoint>::default();
    let good: Endpoint = serde_json::from_value(endpoint("west", BROKER, 2)).unwrap();
    let key = subm_kube::Key::of(&good);
    objects.apply(Event::Snapshot { objects: vec![good.clone()], unreadable: vec![] });
    let bad = serde_json::from_value::<Endpoint>(json!({"spec": {"subnets": 7}})).unwrap_err();
    let problem = subm_types::Problem {
        reason: "MalformedObject",
        object: "Endpoint west".to_owned(),
        field: String::new(),
        what: bad.to_string(),
        remedy: String::new(),
    };
    let unreadable = subm_kube::Unreadable { key: key.clone(), problem };
    objects.apply(Event::Unreadable(unreadable.clone()));
    assert_eq!(objects.get(&key), Some(&good));
    let news = objects.apply(Event::Snapshot { objects: vec![], unreadable: vec![unreadable] });
    assert_eq!(news, subm_kube::News::No);
    assert_eq!((objects.get(&key), objects.problems().count()), (Some(&good), 1));
    objects.apply(Event::Snapshot { objects: vec![], unreadable: vec![] });
    assert_eq!((objects.get(&key), objects.problems().count()), (None, 0));
}

#[tokio::test]
async fn changes_arrive_within_milliseconds() {
    let hub = Served::start(BROKER);
    let mut events: Events = Box::pin(Watch::namespaced(&hub.hub("east")).events());
    next(&mut events).await;
    let mut times = Vec::new();
    for number in 1..=50 {
        let begin = Instant::now();
        hub.store().create(endpoint("west", BROKER, number)).unwrap();
        next(&mut events).await;
        times.push(begin.elapsed());
    }
    times.sort();
    println!("watch latency: median {:?}, worst {:?}", times[25], times[49]);
    assert!(times[25] < Duration::from_millis(100), "{times:?}");
}
