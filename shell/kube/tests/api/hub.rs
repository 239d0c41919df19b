//! Two members and a hub.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use subm_api::{ClusterSpec, Endpoint, EndpointSpec};
use subm_apiserver::Link;
use subm_kube::{HubState, HubSync};
use subm_sync::{HubTrust, Own, Publication, Published, PublishedEndpoint, Snapshot};
use subm_types::{ClusterUid, Epoch};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::harness::{BROKER, HOME, Served, endpoint, retry, until};

/// A cluster with the networks 10.N.0.0/16 and 10.(N+100).0.0/16.
struct Member {
    id: &'static str,
    number: u8,
    home: Served,
    sync: HubSync,
    state: watch::Receiver<HubState>,
    seen: watch::Receiver<Arc<Snapshot>>,
    task: JoinHandle<()>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Member {
    async fn join(hub: &Served, id: &'static str, number: u8) -> Self {
        let home = Served::start(HOME);
        Self::start(hub, id, number, home).await
    }

    async fn start(hub: &Served, id: &'static str, number: u8, home: Served) -> Self {
        let own = Own {
            cluster: id.parse().unwrap(),
            uid: ClusterUid(format!("kube-system-of-{id}")),
            hub_namespace: BROKER.to_owned(),
            home_namespace: HOME.to_owned(),
            publication: Publication::Hold,
        };
        let (sync, run) = HubSync::new(&hub.hub(id), &home.home().await, own);
        let (state, seen) = (sync.state(), sync.home());
        let task = tokio::spawn(run);
        Self { id, number, home, sync, state, seen, task }
    }

    /// Publishes a gateway 10.0.0.HOST.
    fn publish(&self, host: u8, epoch: u64) {
        let object = endpoint(self.id, HOME, host);
        let mut spec: EndpointSpec = serde_json::from_value(object["spec"].clone()).unwrap();
        spec.subnets = vec![format!("10.{}.0.0/16", self.number), format!("10.{}.0.0/16", self.number + 100)];
        let cluster = ClusterSpec {
            cluster_id: self.id.to_owned(),
            cluster_cidr: vec![format!("10.{}.0.0/16", self.number)],
            service_cidr: vec![format!("10.{}.0.0/16", self.number + 100)],
            ..ClusterSpec::default()
        };
        let endpoint = PublishedEndpoint { spec, epoch: Epoch(epoch), annotations: BTreeMap::new() };
        self.sync.publish(Publication::Publish(Published { cluster, endpoints: vec![endpoint] }));
    }

    fn copies(&self) -> Vec<String> {
        names(&self.home, HOME).into_iter().filter(|name| !name.starts_with(self.id)).collect()
    }

    async fn settled(&mut self) -> HubState {
        until(&mut self.state, |state| state.settled && state.trust == HubTrust::Confirmed).await
    }
}

fn names(server: &Served, namespace: &str) -> Vec<String> {
    let objects = server.store().list("endpoints.submariner.io", Some(namespace));
    objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

async fn two() -> (Served, Member, Member) {
    let hub = Served::start(BROKER);
    let mut east = Member::join(&hub, "east", 1).await;
    let mut west = Member::join(&hub, "west", 2).await;
    east.publish(1, 1);
    west.publish(2, 1);
    retry(async || (east.copies().len() == 1 && west.copies().len() == 1).then_some(())).await;
    east.settled().await;
    west.settled().await;
    (hub, east, west)
}

#[tokio::test]
async fn members_learn_of_each_other_and_of_changes() {
    let (_hub, east, mut west) = two().await;
    assert_eq!(west.copies(), ["east-submariner-cable-east-10-0-0-1"]);
    let state = west.settled().await;
    assert_eq!((state.problems, state.failures), (vec![], vec![]));
    assert!(state.connected_since.is_some() && state.last_contact.is_some());
    assert_eq!(state.latest_takeover.map(|latest| latest.epoch), Some(Epoch(1)));

    east.publish(7, 2);
    retry(async || (west.copies() == ["east-submariner-cable-east-10-0-0-7"]).then_some(())).await;
    until(&mut west.seen, |seen| {
        let gateways: Vec<_> = seen.endpoints.iter().map(|object| object.spec.hostname.as_str()).collect();
        gateways == ["gateway-7", "gateway-2"]
    })
    .await;
    east.sync.publish(Publication::Withdraw);
    retry(async || west.copies().is_empty().then_some(())).await;
    retry(async || names(&east.home, HOME).is_empty().then_some(())).await;
}

#[tokio::test]
async fn endpoint_reaches_home_within_milliseconds() {
    let (_hub, east, west) = two().await;
    let mut times = Vec::new();
    for host in 10..60 {
        let begin = Instant::now();
        east.publish(host, u64::from(host));
        let name = format!("east-submariner-cable-east-10-0-0-{host}");
        let resource = "endpoints.submariner.io";
        retry(async || west.home.store().get(resource, HOME, &name)).await;
        times.push(begin.elapsed());
    }
    times.sort();
    println!("publish to copy: median {:?}, worst {:?}", times[25], times[49]);
    assert!(times[25] < Duration::from_millis(200), "{times:?}");
}

#[tokio::test]
async fn loss_of_the_hub_changes_nothing_and_its_return_is_noticed() {
    let (hub, east, mut west) = two().await;
    hub.faults().set_link(Link::Refused);
    let state = until(&mut west.state, |state| state.unavailable.is_some()).await;
    assert_eq!(state.connected_since, None);
    assert_eq!(west.copies().len(), 1);
    east.publish(9, 3);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(west.copies(), ["east-submariner-cable-east-10-0-0-1"]);
    hub.faults().set_link(Link::Up);
    let begin = Instant::now();
    retry(async || (west.copies() == ["east-submariner-cable-east-10-0-0-9"]).then_some(())).await;
    println!("back after {:?}", begin.elapsed());
    until(&mut west.state, |state| state.unavailable.is_none()).await;
}

#[tokio::test]
async fn emptied_hub_is_filled_again_and_no_copy_is_lost() {
    let (hub, mut east, mut west) = two().await;
    let hub = hub.emptied();
    retry(async || {
        assert_eq!(west.copies().len(), 1);
        assert_eq!(east.copies().len(), 1);
        (names(&hub, BROKER).len() == 2).then_some(())
    })
    .await;
    east.settled().await;
    west.settled().await;
}

#[tokio::test]
async fn faults_delay_but_do_not_stop() {
    let (hub, east, west) = two().await;
    // What only the embedded API can be told to do wrong.
    if let (Some(knobs), Some(knobs_at_home)) = (hub.faults().knobs(), west.home.faults().knobs()) {
        knobs.conflict_writes(3);
        knobs.refuse_requests(3);
        knobs_at_home.conflict_writes(3);
        knobs.expire_watches(2);
    }
    hub.faults().cut_watches();
    east.publish(5, 2);
    retry(async || (west.copies() == ["east-submariner-cable-east-10-0-0-5"]).then_some(())).await;
}

#[tokio::test]
async fn copy_that_somebody_deleted_or_changed_at_home_comes_back() {
    let (_hub, _east, west) = two().await;
    let name = "east-submariner-cable-east-10-0-0-1";
    let resource = "endpoints.submariner.io";
    west.home.store().delete(resource, HOME, name).unwrap();
    let value = retry(async || west.home.store().get(resource, HOME, name)).await;
    let mut object: Endpoint = serde_json::from_value(value).unwrap();
    object.spec.hostname = "nonsense".to_owned();
    west.home.store().replace(serde_json::to_value(&object).unwrap()).unwrap();
    retry(async || {
        let value = west.home.store().get(resource, HOME, name)?;
        (value["spec"]["hostname"] == "gateway-1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn flood_of_one_member_is_not_passed_on_and_delays_no_other() {
    let (hub, east, west) = two().await;
    let (resource, name) = ("endpoints.submariner.io", "third-submariner-cable-third-10-0-0-3");
    hub.store().create(cluster_of_third()).unwrap();
    hub.store().create(endpoint("third", BROKER, 3)).unwrap();
    retry(async || west.home.store().get(resource, HOME, name)).await;
    // It counts every write of the spec.
    let generation =
        || west.home.store().get(resource, HOME, name).unwrap()["metadata"]["generation"].as_u64();
    let (before, begin) = (generation().unwrap(), Instant::now());
    east.publish(9, 2);
    let (mut arrived, mut sent) = (None, 0_u32);
    while begin.elapsed() < Duration::from_secs(4) {
        sent += 1;
        let flood = serde_json::json!({"spec": {"hostname": format!("gateway-{sent}")}});
        hub.store().merge(resource, BROKER, name, flood).unwrap();
        if arrived.is_none() && west.copies()[0] == "east-submariner-cable-east-10-0-0-9" {
            arrived = Some(begin.elapsed());
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    let written = generation().unwrap() - before;
    println!("{sent} writes on the hub, {written} at home, another member's news after {arrived:?}");
    assert!(arrived.is_some(), "the news of another member came only after the flood");
    assert!(sent > 400 && written < 300, "{sent} writes on the hub made {written} at home");
    let last = format!("gateway-{sent}");
    retry(async || (west.home.store().get(resource, HOME, name)?["spec"]["hostname"] == last).then_some(()))
        .await;
}

fn cluster_of_third() -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "submariner.io/v1",
        "kind": "Cluster",
        "metadata": {
            "name": "third",
            "namespace": BROKER,
            "labels": {"submariner-io/clusterID": "third"},
        },
        "spec": {
            "cluster_id": "third", "cluster_cidr": ["10.3.0.0/16"], "service_cidr": [], "global_cidr": [],
        },
    })
}
