//! The proof that everything works: each check is an entry of its subject's list, run one after the other.

mod context;
mod crash;
mod drift;
mod input;
mod join;
mod leak;
mod links;
mod member;
mod narrow;
mod nodes;
mod outage;
mod outcome;
mod payload;
mod pods;
mod services;
mod visitor;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use subm_lab::Host;

use crate::api::OPERATOR_NAMESPACE;
use crate::daemon::Daemon;
use crate::init::Playground;
use context::Context;
use outcome::Skip;
pub(crate) use outcome::{Outcome, Verdict, Verdicts};

/// One check: a name to choose it by, and what finds out; it tells what was seen.
pub(crate) struct Check {
    name: String,
    run: Box<Finding>,
}

type Finding = dyn Fn(&Context<'_>) -> anyhow::Result<String>;

impl Check {
    fn new(name: impl Into<String>, run: impl Fn(&Context<'_>) -> anyhow::Result<String> + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// A subject: what it checks in a playground.
type Subject = fn(&Context<'_>) -> Vec<Check>;

const SUBJECTS: &[Subject] = &[
    pods::checks,
    nodes::checks,
    services::checks,
    links::checks,
    narrow::checks,
    payload::checks,
    join::checks,
    input::checks,
    drift::checks,
    leak::checks,
    outage::checks,
    crash::checks,
];

/// Which checks are run, and how large they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// Text in the names; all without it.
    pub(crate) only: Option<String>,
    /// Bytes that one TCP connection takes from cluster to cluster.
    pub(crate) transfer: u64,
}

/// Runs checks and hands on what came of each.
pub(crate) fn run(
    playground: &Playground,
    wanted: &Wanted,
    mut each: impl FnMut(Outcome) -> io::Result<()>,
) -> io::Result<()> {
    let context = Context::new(playground, wanted.transfer)?;
    let all = SUBJECTS.iter().flat_map(|subject| subject(&context));
    for check in all.filter(|check| wanted.only.as_ref().is_none_or(|only| check.name.contains(only))) {
        let start = Instant::now();
        let result = (check.run)(&context);
        let (verdict, seen) = match result {
            Ok(seen) => (Verdict::Passed, seen),
            Err(error) => match error.downcast_ref::<Skip>() {
                Some(Skip(reason)) => (Verdict::Skipped, reason.clone()),
                None => (Verdict::Failed, format!("{error:#}")),
            },
        };
        let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        each(Outcome { name: check.name, verdict, seen, took_ms })?;
    }
    Ok(())
}

/// How long clusters may take to be joined.
const JOINED_WITHIN: Duration = Duration::from_mins(1);

/// Waits until every node has a pod whose packets reach a pod on every node of every other cluster, and every Gateway
/// says so.
pub(crate) async fn wait_until_joined(playground: &Playground) -> anyhow::Result<()> {
    let mut pairs: Vec<(Host, IpAddr)> = Vec::new();
    let topology = &playground.world.topology;
    for (cluster, node) in topology.nodes() {
        let Some(pod) = node.pods.first() else { continue };
        let host = playground.world.host(&pod.name)?;
        for (other, node) in topology.nodes().filter(|(other, _)| *other != cluster) {
            let pod = node.pods.first();
            let address = |family| pod.and_then(|pod| pod.addresses.get(family));
            let addresses = cluster.common(other).into_iter().filter_map(address);
            pairs.extend(addresses.map(|address| (host.clone(), *address)));
        }
    }
    let deadline = Instant::now() + JOINED_WITHIN;
    let pairs = Arc::new(pairs);
    loop {
        let asked = Arc::clone(&pairs);
        let silent = tokio::task::spawn_blocking(move || {
            let mute = |(host, to): &&(Host, _)| {
                subm_lab::traffic::ping(host, *to, 56, Duration::from_millis(200)).is_err()
            };
            asked.iter().find(mute).map(|(host, to)| format!("{} has no answer from {to}", host.name()))
        });
        let silent = match silent.await.context("the first packets")? {
            Some(silent) => silent,
            None => match unconnected(playground)? {
                Some(unconnected) => unconnected,
                None => return Ok(()),
            },
        };
        if Instant::now() > deadline {
            let logs: Vec<String> = playground.daemons.all().map(Daemon::last_words).collect();
            bail!(
                "the clusters are not joined after {} s: {silent}\n{}",
                JOINED_WITHIN.as_secs(),
                logs.join("\n")
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A Gateway that does not say yet that it is connected to every other cluster.
fn unconnected(playground: &Playground) -> anyhow::Result<Option<String>> {
    let clusters = &playground.world.topology.clusters;
    for cluster in clusters {
        let home = playground.apis.of(&cluster.name)?.objects();
        let gateways = home.list("gateways.submariner.io", Some(OPERATOR_NAMESPACE));
        let connections =
            gateways.iter().filter_map(|gateway| gateway["status"]["connections"].as_array()).flatten();
        let connected: BTreeSet<&str> = connections
            .filter(|connection| connection["status"] == "connected")
            .filter_map(|connection| connection["endpoint"]["cluster_id"].as_str())
            .collect();
        let others = clusters.iter().filter(|other| *other != cluster);
        if let Some(other) = others.map(|other| other.name.as_str()).find(|name| !connected.contains(name)) {
            return Ok(Some(format!(
                "the Gateway of {} does not say that it is connected to {other}",
                cluster.name
            )));
        }
    }
    Ok(None)
}
