//! The hub: the synchronisation with it, and what is said of it.

use std::future::Future;
use std::time::Duration;

use subm_kube::{Access, ApiError, Connection, HubState, HubSync, InvalidAccess};
use subm_sync::{Completeness, HubTrust, Own, Publication};
use subm_types::ClusterUid;
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::conditions::Finding;
use crate::input::Input;
use crate::settings::Config;
use crate::view::HubFacts;

const RETRY: Duration = Duration::from_secs(5);
const CONNECTED: &str = "HubConnected";
const AUTHORIZED: &str = "HubAuthorized";
const SYNCHRONISED: &str = "Synchronised";

/// Makes the connection to the hub, however long its credential takes to appear.
pub(crate) async fn connect(config: &Config, inputs: &mpsc::Sender<Input>) -> Connection {
    let mut said = String::new();
    loop {
        match Access::hub(&config.hub).and_then(Access::connect) {
            Ok(connection) => return connection,
            Err(invalid) => {
                let what = chain(&invalid);
                if what != said {
                    warn!(error = %what, "the hub cannot be asked, trying again");
                    let findings = vec![Finding::fails(CONNECTED, "InvalidAccess", &what)];
                    // Fails only when the daemon ends.
                    drop(
                        inputs.send(Input::Hub(Box::new(HubFacts { findings, ..HubFacts::default() }))).await,
                    );
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

/// Keeps hub and home the same, and tells the view what is there.
pub(crate) async fn follow(
    home: Connection,
    config: Config,
    uid: ClusterUid,
    mut publication: watch::Receiver<Publication>,
    inputs: mpsc::Sender<Input>,
) {
    let connection = connect(&config, &inputs).await;
    let (sync, run) = synchronise((&connection, &home), &config, uid);
    let mut run = std::pin::pin!(run);
    let (mut state, mut snapshot) = (sync.state(), sync.home());
    (state.mark_changed(), snapshot.mark_changed());
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
                Some(Input::Hub(Box::new(facts(&state))))
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

/// What the view is told of the hub.
pub(crate) fn facts(state: &HubState) -> HubFacts {
    HubFacts {
        highest_epoch: state.highest_epoch,
        problems: state.problems.clone(),
        findings: vec![connected(state), authorized(state), synchronised(state)],
    }
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
