//! What our controllers do with an API server: watches, writes, events, the lease, the hub.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use subm_api::Endpoint;
use subm_kube::lease::campaign;
use subm_kube::{
    ApiError, Candidate, Connection, Event, Key, Leadership, Note, Recorder, Severity, Watch, Writer,
    Written, recorder,
};
use subm_probe::LeaseTiming;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::claims::Claim;
use crate::ground::{Ground, Patch, config_map, same};

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        says: "our watch begins with a complete list and tells every change",
        proof: |ground| Box::pin(complete_list(ground)),
    },
    Claim {
        says: "a watch that may not is told which verb it lacks, and goes on once it has it",
        proof: |ground| Box::pin(forbidden_watch(ground)),
    },
    Claim {
        says: "an unknown token is told from a missing right",
        proof: |ground| Box::pin(unknown_token(ground)),
    },
    Claim {
        says: "an object that is as it should be is not written",
        proof: |ground| Box::pin(equal_object(ground)),
    },
    Claim { says: "our apply leaves what others own", proof: |ground| Box::pin(foreign_fields(ground)) },
    Claim {
        says: "what changed meanwhile is neither replaced nor deleted",
        proof: |ground| Box::pin(changed_meanwhile(ground)),
    },
    Claim {
        says: "the refusal of an object says which field is wrong",
        proof: |ground| Box::pin(refused(ground)),
    },
    Claim {
        says: "an event that is told again is counted, also after a restart",
        proof: |ground| Box::pin(events(ground)),
    },
    Claim {
        says: "of two candidates for our lease one leads, and the other follows at once when it is given back",
        proof: |ground| Box::pin(released_lease(ground)),
    },
    Claim {
        says: "the lease of a killed leader is taken when it ends",
        proof: |ground| Box::pin(killed_leader(ground)),
    },
    Claim {
        says: "a leader whose lease somebody else took gives up, and takes it back when that one is silent",
        proof: |ground| Box::pin(usurped_lease(ground)),
    },
    Claim {
        says: "of several candidates that begin at once one leads, and all see it",
        proof: |ground| Box::pin(many_candidates(ground)),
    },
];

pub(super) fn connection(ground: &Ground, namespace: &str) -> Connection {
    Connection {
        client: ground.client.clone(),
        server: ground.api.server.clone(),
        namespace: namespace.to_owned(),
    }
}

fn home(ground: &Ground) -> Connection {
    connection(ground, &ground.namespace)
}

fn endpoint(ground: &Ground) -> Result<Endpoint> {
    let cable = "submariner-cable-east-10-0-0-1";
    Ok(serde_json::from_value(json!({
        "apiVersion": "submariner.io/v1", "kind": "Endpoint",
        "metadata": {"name": format!("east-{cable}"), "namespace": ground.namespace, "labels": {"submariner-io/clusterID": "east"}},
        "spec": {
            "cluster_id": "east", "cable_name": cable, "hostname": "gateway", "subnets": ["10.1.0.0/16"],
            "private_ip": "10.0.0.1", "public_ip": "", "nat_enabled": false, "backend": "vxlan",
        },
    }))?)
}

async fn next<K>(events: &mut (impl futures::Stream<Item = Event<K>> + Unpin)) -> Result<Event<K>> {
    let event = tokio::time::timeout(Duration::from_secs(30), events.next()).await;
    event.context("no event within 30 s")?.context("the watch ends")
}

async fn complete_list(ground: Ground) -> Result<()> {
    let ours = |name: &str| {
        let mut object = config_map(name, "1");
        object["metadata"]["labels"] = json!({"of": "x"});
        object
    };
    ground.create("configmaps", &ours("a")).await?;
    let mut events = Watch::<ConfigMap>::namespaced(&home(&ground)).labels("of").events().boxed();
    let first = next(&mut events).await?;
    let complete = matches!(&first, Event::Snapshot { objects, .. } if objects.len() == 1);
    ensure!(complete, "the watch does not begin with the list");
    ground.create("configmaps", &ours("b")).await?;
    ensure!(
        matches!(next(&mut events).await?, Event::Applied(map) if map.name_any() == "b"),
        "b is not told"
    );
    ground.delete(&ground.at("configmaps", "a")).await?.wants(200)?;
    ensure!(
        matches!(next(&mut events).await?, Event::Deleted(key) if key.name == "a"),
        "the end of a is not told"
    );
    Ok(())
}

async fn forbidden_watch(ground: Ground) -> Result<()> {
    let somebody = super::access::somebody(&ground).await?;
    let mut events = Watch::<Endpoint>::namespaced(&home(&somebody)).events().boxed();
    let Event::Unavailable(error) = next(&mut events).await? else { anyhow::bail!("it may") };
    ensure!(matches!(&error, ApiError::Forbidden { .. }), "it is told {error}");
    ensure!(
        error.to_string().contains("grant the verb list on endpoints.submariner.io"),
        "it is told {error}"
    );
    let rule =
        json!({"apiGroups": ["submariner.io"], "resources": ["endpoints"], "verbs": ["list", "watch"]});
    super::access::allow(&ground, &rule).await?;
    while !matches!(next(&mut events).await?, Event::Snapshot { .. }) {}
    Ok(())
}

async fn unknown_token(ground: Ground) -> Result<()> {
    let stranger = ground.by(ground.api.client_with("unknown").await?);
    let mut events = Watch::<Endpoint>::namespaced(&home(&stranger)).events().boxed();
    let Event::Unavailable(error) = next(&mut events).await? else { anyhow::bail!("it may") };
    ensure!(matches!(&error, ApiError::Unauthorized { .. }), "it is told {error}");
    Ok(())
}

async fn seen(writer: &Writer, object: &Endpoint) -> Result<Endpoint> {
    writer.get(&Key::of(object)).await?.context("it is not there")
}

async fn equal_object(ground: Ground) -> Result<()> {
    let writer = Writer::new(&home(&ground), "submariner-gateway");
    let mut object = endpoint(&ground)?;
    ensure!(writer.apply(&object, None).await? == Written::Created, "it is not new");
    let live = seen(&writer, &object).await?;
    ensure!(writer.apply(&object, Some(&live)).await? == Written::Unchanged, "it is applied again");
    ensure!(writer.replace(&object, Some(&live)).await? == Written::Unchanged, "it is replaced by itself");
    "other".clone_into(&mut object.spec.hostname);
    ensure!(writer.apply(&object, Some(&live)).await? == Written::Changed, "a change is not written");
    ensure!(seen(&writer, &object).await?.spec.hostname == "other", "a change is not there");
    Ok(())
}

async fn foreign_fields(ground: Ground) -> Result<()> {
    let writer = Writer::new(&home(&ground), "submariner-gateway");
    let object = endpoint(&ground)?;
    writer.apply(&object, None).await?;
    let note = json!({"metadata": {"annotations": {"example.org/note": "kept"}}});
    writer.merge::<Endpoint>(&Key::of(&object), &note).await?;
    writer.apply(&object, None).await?;
    let live = seen(&writer, &object).await?;
    ensure!(
        live.annotations().get("example.org/note").is_some_and(|note| note == "kept"),
        "the note is gone"
    );
    Ok(())
}

async fn changed_meanwhile(ground: Ground) -> Result<()> {
    let writer = Writer::new(&home(&ground), "submariner-gateway");
    let mut object = endpoint(&ground)?;
    let is_conflict = |outcome: Result<(), ApiError>| outcome.is_err_and(|error| error.is_conflict());
    ensure!(writer.replace(&object, None).await? == Written::Created, "it is not new");
    ensure!(is_conflict(writer.replace(&object, None).await.map(drop)), "it is made twice");
    let old = seen(&writer, &object).await?;
    "other".clone_into(&mut object.spec.hostname);
    writer.replace(&object, Some(&old)).await?;
    "third".clone_into(&mut object.spec.hostname);
    ensure!(is_conflict(writer.replace(&object, Some(&old)).await.map(drop)), "the old one is replaced");
    ensure!(is_conflict(writer.delete(&old).await), "the old one is deleted");
    let new = seen(&writer, &object).await?;
    writer.delete(&new).await?;
    writer.delete(&new).await?;
    Ok(())
}

async fn refused(ground: Ground) -> Result<()> {
    let writer = Writer::new(&home(&ground), "submariner-gateway");
    let mut object = endpoint(&ground)?;
    object.spec.cluster_id = String::new();
    let error = writer.replace(&object, None).await.err().context("it is taken")?;
    ensure!(matches!(&error, ApiError::Invalid { .. }), "it is told {error}");
    ensure!(error.to_string().contains("cluster_id"), "it is told {error}");
    Ok(())
}

async fn events(ground: Ground) -> Result<()> {
    let object = endpoint(&ground)?;
    let note = |message: &str| Note {
        about: recorder::reference(&object),
        severity: Severity::Warning,
        reason: "OverlappingCIDR".to_owned(),
        message: message.to_owned(),
    };
    for _ in 0..2 {
        // As if the program had been started anew.
        let recorder = Recorder::new(&home(&ground), "submariner-gateway", "node-1");
        for _ in 0..3 {
            recorder.record(&note("10.1.0.0/16 overlaps")).await?;
        }
        recorder.record(&note("10.2.0.0/16 overlaps")).await?;
    }
    let list = ground.get(&ground.path("events")).await?.wants(200)?;
    let found = list["items"].as_array().map_or(0, Vec::len);
    ensure!(found == 2, "there are {found} events");
    same(&list, "/items/0/involvedObject/kind", &json!("Endpoint"))?;
    same(&list, "/items/0/type", &json!("Warning"))
}

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

impl Running {
    fn start(ground: &Ground, host: &str) -> Self {
        let timing = LeaseTiming {
            duration: Duration::from_secs(6),
            renew_deadline: Duration::from_secs(4),
            retry: Duration::from_millis(200),
        };
        let (tell, told) = watch::channel(Leadership::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let (connection, candidate) = (home(ground), Candidate::gateway(host, timing));
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            campaign(&connection, candidate, tell, stopped).await;
        });
        Self { told, stop: Some(stop), task }
    }

    async fn until(&mut self, what: &str, is: impl FnMut(&Leadership) -> bool) -> Result<Leadership> {
        let value = tokio::time::timeout(Duration::from_secs(30), self.told.wait_for(is)).await;
        Ok(value.with_context(|| format!("never {what}"))?.context("the campaign ended")?.clone())
    }
}

async fn lease(ground: &Ground) -> Result<Value> {
    ground.get(&ground.at("coordination.k8s.io/v1/leases", "submariner-gateway-lock")).await?.wants(200)
}

async fn released_lease(ground: Ground) -> Result<()> {
    let mut one = Running::start(&ground, "one");
    one.until("leads the only candidate", |told| told.leader).await?;
    same(&lease(&ground).await?, "/spec/leaseDurationSeconds", &json!(6))?;
    let mut two = Running::start(&ground, "two");
    let seen = two.until("is a holder seen", |told| told.holder.is_some()).await?;
    ensure!(seen.holder.as_deref() == Some("one-submariner-gateway") && !seen.leader, "both lead");
    drop(one.stop.take());
    two.until("leads the second", |told| told.leader).await?;
    ensure!(!one.told.borrow().leader, "both lead");
    let lease = lease(&ground).await?;
    same(&lease, "/spec/holderIdentity", &json!("two-submariner-gateway"))?;
    same(&lease, "/spec/leaseTransitions", &json!(1))
}

async fn killed_leader(ground: Ground) -> Result<()> {
    let mut one = Running::start(&ground, "one");
    one.until("leads the only candidate", |told| told.leader).await?;
    let mut two = Running::start(&ground, "two");
    two.until("is a holder seen", |told| told.holder.is_some()).await?;
    drop(one);
    two.until("leads the second", |told| told.leader).await?;
    same(&lease(&ground).await?, "/spec/holderIdentity", &json!("two-submariner-gateway"))
}

async fn usurped_lease(ground: Ground) -> Result<()> {
    let mut one = Running::start(&ground, "one");
    one.until("leads the only candidate", |told| told.leader).await?;
    let path = ground.at("coordination.k8s.io/v1/leases", "submariner-gateway-lock");
    let change = json!({"spec": {"holderIdentity": "somebody-else"}});
    ground.patch(&path, Patch::Merge, &change).await?.wants(200)?;
    let lost = one.until("gives it up", |told| !told.leader).await?;
    ensure!(lost.holder.as_deref() == Some("somebody-else"), "it takes {:?} for the leader", lost.holder);
    same(&lease(&ground).await?, "/spec/holderIdentity", &json!("somebody-else"))?;
    one.until("leads again", |told| told.leader).await?;
    same(&lease(&ground).await?, "/spec/holderIdentity", &json!("one-submariner-gateway"))
}

async fn many_candidates(ground: Ground) -> Result<()> {
    let mut all: Vec<_> = (1..=5).map(|number| Running::start(&ground, &format!("c{number}"))).collect();
    for one in &mut all {
        one.until("is a leader seen", |told| told.leader || told.holder.is_some()).await?;
    }
    let holder = lease(&ground).await?["spec"]["holderIdentity"].clone();
    let leaders = all.iter().filter(|one| one.told.borrow().leader).count();
    ensure!(leaders == 1, "{leaders} of them lead");
    let seen = |one: &Running| one.told.borrow().holder.clone();
    let others = all.iter().filter(|one| !one.told.borrow().leader);
    for one in others {
        ensure!(json!(seen(one)) == holder, "one sees {:?}, but {holder} leads", seen(one));
    }
    Ok(())
}
