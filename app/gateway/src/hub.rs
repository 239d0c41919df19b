//! The hub: the synchronisation with it, and what is said of it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use subm_api::{Cluster, Endpoint};
use subm_kube::{Access, ApiError, Connection, HubState, HubSync, InvalidAccess, News, Objects, Watch};
use subm_sync::{Completeness, HubTrust, Own, Publication, Snapshot};
use subm_types::ClusterUid;
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::conditions::{Finding, Noticeboard};
use crate::input::Input;
use crate::settings::Config;

const RETRY: Duration = Duration::from_secs(5);
const CONNECTED: &str = "HubConnected";
const AUTHORIZED: &str = "HubAuthorized";
const SYNCHRONISED: &str = "Synchronised";

/// Makes the connection to the hub, however long its credential takes to appear.
pub(crate) async fn connect(config: &Config, board: &Noticeboard) -> Connection {
    let mut said = String::new();
    loop {
        match Access::hub(&config.hub).and_then(Access::connect) {
            Ok(connection) => return connection,
            Err(invalid) => {
                let what = chain(&invalid);
                if what != said {
                    warn!(error = %what, "the hub cannot be asked, trying again");
                    board.post(Finding::fails(CONNECTED, "InvalidAccess", &what));
                }
                said = what;
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn chain(invalid: &InvalidAccess) -> String {
    let cause = std::error::Error::source(invalid);
    cause.map_or_else(|| invalid.to_string(), |cause| format!("{invalid}: {cause}"))
}

/// The synchronisation as this gateway starts it.
pub(crate) fn synchronise(
    (hub, home): (&Connection, &Connection),
    config: &Config,
    uid: ClusterUid,
) -> (HubSync, impl Future<Output = ()> + Send + use<>) {
    let own = Own {
        cluster: config.cluster.clone(),
        uid,
        hub_namespace: config.hub.namespace.clone(),
        home_namespace: config.namespace.clone(),
        publication: Publication::Hold,
    };
    HubSync::new(hub, home, own)
}

/// Tells the view what is at home, and writes nothing. Never ends before the daemon does.
pub(crate) async fn watch_home(home: &Connection, inputs: &mpsc::Sender<Input>) {
    let mut cluster_events = std::pin::pin!(Watch::<Cluster>::namespaced(home).events());
    let mut endpoint_events = std::pin::pin!(Watch::<Endpoint>::namespaced(home).events());
    let (mut clusters, mut endpoints) = (Objects::default(), Objects::default());
    loop {
        let news = tokio::select! {
            Some(event) = cluster_events.next() => clusters.apply(event),
            Some(event) = endpoint_events.next() => endpoints.apply(event),
        };
        if news == News::No || !(clusters.is_complete() && endpoints.is_complete()) {
            continue;
        }
        let snapshot = Snapshot {
            clusters: clusters.values().cloned().collect(),
            endpoints: endpoints.values().cloned().collect(),
            completeness: Completeness::Complete,
        };
        if inputs.send(Input::Home(Arc::new(snapshot))).await.is_err() {
            return;
        }
    }
}

/// Keeps hub and home the same, and tells the view what is there.
pub(crate) async fn follow(
    home: Connection,
    config: Config,
    uid: ClusterUid,
    mut publication: watch::Receiver<Publication>,
    (inputs, board): (mpsc::Sender<Input>, Noticeboard),
) {
    // What is at home stands, also while nobody can say where the hub is.
    let connection = tokio::select! {
        connection = connect(&config, &board) => connection,
        () = watch_home(&home, &inputs) => return,
    };
    let (sync, run) = synchronise((&connection, &home), &config, uid);
    let mut run = std::pin::pin!(run);
    let (mut state, mut snapshot) = (sync.state(), sync.home());
    state.mark_changed();
    snapshot.mark_changed();
    loop {
        sync.publish(publication.borrow_and_update().clone());
        let input = tokio::select! {
            () = &mut run => return,
            Ok(()) = snapshot.changed() => {
                let home = snapshot.borrow_and_update().clone();
                (home.completeness == Completeness::Complete).then_some(Input::Home(home))
            }
            Ok(()) = state.changed() => {
                let state = state.borrow_and_update().clone();
                tell(&board, &state);
                Some(Input::LatestTakeover(state.latest_takeover))
            }
            Ok(()) = publication.changed() => None,
        };
        if let Some(input) = input
            && inputs.send(input).await.is_err()
        {
            return;
        }
    }
}

/// Says how the hub is.
fn tell(board: &Noticeboard, state: &HubState) {
    for finding in [connected(state), authorized(state), synchronised(state)] {
        board.post(finding);
    }
    board.post_problems(state.problems.clone());
}

const fn refuses(error: &ApiError) -> bool {
    matches!(error, ApiError::Unauthorized { .. } | ApiError::Forbidden { .. })
}

fn connected(state: &HubState) -> Finding {
    match (&state.unavailable, state.connected_since) {
        (Some(error), _) if !refuses(error) => Finding::fails(CONNECTED, error.reason(), error.to_string()),
        (Some(_), _) => Finding::holds(CONNECTED, "Refused", "the hub answers, but does not let us in"),
        (None, Some(_)) => Finding::holds(CONNECTED, "Watching", ""),
        (None, None) => Finding::unknown(CONNECTED, "Connecting", "the hub was not heard yet"),
    }
}

fn authorized(state: &HubState) -> Finding {
    let mut refusals = state.unavailable.iter().chain(&state.failures).filter(|error| refuses(error));
    match (refusals.next(), state.connected_since) {
        (Some(error), _) => Finding::fails(AUTHORIZED, error.reason(), error.to_string()),
        (None, Some(_)) => Finding::holds(AUTHORIZED, "Watching", ""),
        (None, None) => Finding::unknown(AUTHORIZED, "Connecting", "the hub was not heard yet"),
    }
}

fn synchronised(state: &HubState) -> Finding {
    if let Some(lost) = state.problems.iter().find(|problem| problem.reason == "HubEmptiedOrRestored") {
        return Finding::fails(SYNCHRONISED, lost.reason, lost.to_string());
    }
    if !state.failures.is_empty() {
        let lines: Vec<String> = state.failures.iter().map(ToString::to_string).collect();
        return Finding::fails(SYNCHRONISED, "WritesFail", lines.join("\n"));
    }
    match (state.trust, state.settled) {
        (HubTrust::Partial, _) => Finding::unknown(SYNCHRONISED, "Connecting", "the hub was not heard yet"),
        (_, true) => Finding::holds(SYNCHRONISED, "Settled", ""),
        (_, false) => Finding::unknown(SYNCHRONISED, "Writing", "objects are being written"),
    }
}
