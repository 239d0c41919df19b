//! Probing a running container.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::Ready;
use crate::exec;
use crate::pod::Context;
use crate::probe::{self, How, Probe, Purpose};

/// What a probe found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) purpose: Purpose,
    /// What is so from now on, where that changed.
    pub(crate) holds: Option<bool>,
    /// What is wrong with this answer.
    pub(crate) wrong: Option<String>,
}

/// Asks again and again, and tells what is wrong and what changes.
pub(super) async fn go_on(
    context: Arc<Context>,
    (probe, ready): (Probe, Ready),
    mut started: watch::Receiver<bool>,
    to: mpsc::Sender<Found>,
) {
    if probe.purpose != Purpose::Startup && started.wait_for(|started| *started).await.is_err() {
        return;
    }
    sleep(probe.delay).await;
    let mut held = (probe.purpose == Purpose::Liveness).then_some(true);
    let (mut good, mut bad) = (0_u32, 0_u32);
    loop {
        let answer = ask(&context, &probe, &ready).await;
        let wrong = answer.err();
        (good, bad) = if wrong.is_none() { (good + 1, 0) } else { (0, bad + 1) };
        let now = match (good, bad) {
            (good, _) if good >= probe.successes => Some(true),
            (_, bad) if bad >= probe.failures => Some(false),
            _ => held,
        };
        let holds = now.filter(|_| now != held);
        held = now;
        let tells = holds.is_some() || wrong.is_some();
        if tells && to.send(Found { purpose: probe.purpose, holds, wrong }).await.is_err() {
            return;
        }
        if probe.purpose == Purpose::Startup && holds == Some(true) {
            return;
        }
        sleep(probe.period).await;
    }
}

async fn ask(context: &Arc<Context>, probe: &Probe, ready: &Ready) -> Result<(), String> {
    let own = context.network.addresses.first().copied().ok_or("the Pod has no address")?;
    let (host, limit, how) = (context.network.host.clone(), probe.timeout, probe.how.clone());
    match how {
        How::Exec { command } => exec::probe(context, ready, command, limit).await,
        How::Http { host: at, port, path, headers } => {
            blocking(move || probe::http(&host, own, (at.as_deref(), port, &path, &headers), limit)).await
        }
        How::Tcp { host: at, port } => {
            blocking(move || probe::tcp(&host, own, (at.as_deref(), port), limit)).await
        }
    }
}

async fn blocking(ask: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    tokio::task::spawn_blocking(ask).await.unwrap_or_else(|error| Err(error.to_string()))
}
