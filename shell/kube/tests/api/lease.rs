//! Elections with real Leases.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use subm_apiserver::Link;
use subm_kube::lease::campaign;
use subm_kube::{Candidate, Connection, Leadership};
use subm_probe::LeaseTiming;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::harness::{HOME, Served, until};

const TIMING: LeaseTiming = LeaseTiming {
    duration: Duration::from_secs(3),
    renew_deadline: Duration::from_secs(2),
    retry: Duration::from_millis(200),
};

struct Running {
    told: watch::Receiver<Leadership>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn run(connection: &Connection, host: &str) -> Running {
    let (tell, told) = watch::channel(Leadership::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let (connection, candidate) = (connection.clone(), Candidate::gateway(host, TIMING));
    let task = tokio::spawn(async move {
        let stopped = async {
            drop(stopped.await);
        };
        campaign(&connection, candidate, tell, stopped).await;
    });
    Running { told, stop: Some(stop), task }
}

fn lease(home: &Served) -> Lease {
    let value = home.store().get("leases.coordination.k8s.io", HOME, "submariner-gateway-lock").unwrap();
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn one_of_two_leads_and_a_released_lease_is_taken_at_the_next_look() {
    let home = Served::start(HOME);
    let connection = home.home().await;
    let mut one = run(&connection, "one");
    until(&mut one.told, |told| told.leader).await;
    let spec = lease(&home).spec.unwrap();
    assert_eq!(spec.holder_identity.as_deref(), Some("one-submariner-gateway"));
    assert_eq!((spec.lease_duration_seconds, spec.lease_transitions), (Some(3), Some(0)));
    let mut two = run(&connection, "two");
    let seen = until(&mut two.told, |told| told.holder.is_some()).await;
    assert!(!seen.leader);
    assert_eq!(seen.holder.as_deref(), Some("one-submariner-gateway"));

    let begin = Instant::now();
    one.stop.take().unwrap().send(()).unwrap();
    until(&mut two.told, |told| told.leader).await;
    assert!(begin.elapsed() < TIMING.duration, "{:?}", begin.elapsed());
    assert!(!one.told.borrow().leader);
    assert_eq!(lease(&home).spec.unwrap().lease_transitions, Some(1));
}

#[tokio::test]
async fn lease_of_a_killed_leader_is_taken_when_it_ends() {
    let home = Served::start(HOME);
    let connection = home.home().await;
    let mut one = run(&connection, "one");
    until(&mut one.told, |told| told.leader).await;
    let mut two = run(&connection, "two");
    until(&mut two.told, |told| told.holder.is_some()).await;
    drop(one);
    let begin = Instant::now();
    until(&mut two.told, |told| told.leader).await;
    assert!(begin.elapsed() > TIMING.renew_deadline, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn leader_whose_server_falls_silent_gives_up_in_time_and_leads_again_after() {
    let home = Served::start(HOME);
    let mut one = run(&home.home().await, "one");
    until(&mut one.told, |told| told.leader).await;
    home.faults().set_link(Link::Silent);
    let begin = Instant::now();
    let lost = until(&mut one.told, |told| !told.leader).await;
    assert!(begin.elapsed() < TIMING.duration, "{:?}", begin.elapsed());
    assert!(lost.trouble.is_some(), "{lost:?}");
    home.faults().set_link(Link::Up);
    let back = until(&mut one.told, |told| told.leader).await;
    assert_eq!((back.transitions, back.trouble), (0, None));
}

#[tokio::test]
async fn refused_connections_do_not_cost_the_lease_before_its_time() {
    let home = Served::start(HOME);
    let mut one = run(&home.home().await, "one");
    until(&mut one.told, |told| told.leader).await;
    home.faults().set_link(Link::Refused);
    until(&mut one.told, |told| told.trouble.is_some()).await;
    assert!(one.told.borrow().leader);
    home.faults().set_link(Link::Up);
    let told = until(&mut one.told, |told| told.trouble.is_none()).await;
    assert!(told.leader);
}
