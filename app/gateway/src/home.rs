//! What this cluster's API tells: its identity, the lease, the node.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use serde_json::json;
use subm_api::keys;
use subm_kube::lease::campaign;
use subm_kube::{Candidate, Connection, Key, Leadership as Held, Watch, Writer};
use subm_runtime::Converger;
use subm_types::{ClusterUid, HostName};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::conditions::{Finding, Noticeboard};
use crate::input::Input;
use crate::settings::Config;
use crate::view::Leadership;

/// The field manager of everything that the gateway writes.
pub(crate) const MANAGER: &str = "submariner-gateway";
const RETRY: Duration = Duration::from_secs(2);
const IDENTIFIED: &str = "ClusterIdentified";
const ELECTION: &str = "LeaseReachable";

/// Reads who this cluster is, however long that takes.
pub(crate) async fn identity(home: &Connection, board: &Noticeboard) -> ClusterUid {
    let writer = Writer::new(home, MANAGER);
    let key = Key::new("", "kube-system");
    let mut said = String::new();
    loop {
        let what = match writer.get::<Namespace>(&key).await {
            Ok(Some(Namespace { metadata, .. })) if metadata.uid.is_some() => {
                let uid = ClusterUid(metadata.uid.unwrap_or_default());
                board.post(Finding::holds(IDENTIFIED, "Read", format!("UID {uid}")));
                return uid;
            }
            Ok(_) => "the namespace kube-system has no UID; nothing is published without it".to_owned(),
            Err(error) => error.to_string(),
        };
        if what != said {
            warn!(error = %what, "the identity of this cluster is not known, trying again");
            board.post(Finding::fails(IDENTIFIED, "Unreadable", &what));
        }
        said = what;
        tokio::time::sleep(RETRY).await;
    }
}

/// Follows the Node object.
pub(crate) async fn node((home, config): (Connection, Config), inputs: mpsc::Sender<Input>) {
    let only = format!("metadata.name={}", config.node_name);
    let watch = Watch::<Node>::all(&home).fields(&only).trim(trim);
    watch.forward(inputs, |event| Input::Node(Box::new(event))).await;
}

/// Of a Node only its metadata matters.
fn trim(node: &mut Node) {
    (node.spec, node.status) = (None, None);
}

/// Stands for election once the host name is known. The lease is never given back: what a gateway that restarts
/// carries must not change its way for that.
pub(crate) async fn election(
    (home, config): (Connection, Config),
    mut hostname: watch::Receiver<Option<HostName>>,
    (inputs, board): (mpsc::Sender<Input>, Noticeboard),
) {
    let Ok(hostname) = hostname.wait_for(Option::is_some).await.map(|name| name.clone().unwrap_or_default())
    else {
        return;
    };
    let candidate = Candidate::gateway(&hostname.0, config.lease);
    let (tell, mut held) = watch::channel(Held::default());
    let mut campaign = std::pin::pin!(campaign(&home, candidate, tell, std::future::pending()));
    loop {
        tokio::select! {
            () = &mut campaign => return,
            changed = held.changed() => if changed.is_err() { return },
        }
        let held = held.borrow_and_update().clone();
        board.post(match &held.trouble {
            Some(error) => Finding::fails(ELECTION, error.reason(), error.to_string()),
            None => Finding::holds(ELECTION, "AsExpected", ""),
        });
        let leadership = match (held.leader, held.holder) {
            (true, _) => Leadership::Ours,
            (false, Some(_)) => Leadership::Others,
            (false, None) => Leadership::Unknown,
        };
        if inputs.send(Input::Leadership(leadership)).await.is_err() {
            return;
        }
    }
}

/// Tells the view what the host's network is like.
pub(crate) async fn facts(converger: Converger, inputs: mpsc::Sender<Input>) {
    let mut facts = converger.facts();
    loop {
        let present = facts.borrow_and_update().clone();
        if let Some(present) = present
            && inputs.send(Input::Facts(Box::new(present))).await.is_err()
        {
            return;
        }
        if facts.changed().await.is_err() {
            return;
        }
    }
}

/// Labels our own pod, by which a load balancer's Service finds the active gateway.
pub(crate) async fn label_pod(
    (home, config): (Connection, Config),
    mut active: watch::Receiver<Option<bool>>,
) {
    let Some(name) = config.pod_name else { return };
    let (writer, key) = (Writer::new(&home, MANAGER), Key::new(&home.namespace, name));
    let mut failed = false;
    loop {
        let status = match *active.borrow_and_update() {
            Some(true) => "active",
            Some(false) | None => "passive",
        };
        let labels = json!({ keys::POD_NODE_LABEL: config.node_name, keys::POD_STATUS_LABEL: status });
        let patched = writer.merge::<Pod>(&key, &json!({ "metadata": { "labels": labels } })).await;
        if let (Err(error), false) = (&patched, failed) {
            warn!(%error, "our pod cannot be labelled; a load balancer in front of gateways does not see who is active");
        }
        failed = patched.is_err();
        tokio::select! {
            changed = active.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(Duration::from_secs(10)), if failed => {}
        }
    }
}
