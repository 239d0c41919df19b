//! What Submariner stands on goes away for a while: the hub, an API server, the CNI's bridge.

use std::time::Duration;

use anyhow::{Context as _, bail};
use subm_apiserver::Link;
use subm_lab::traffic::PingRun;
use subm_plan::Step;
use subm_types::IfName;

use super::Check;
use super::context::{Context, PATIENCE, until_ok};
use super::{drift, nodes};
use crate::daemon::{Daemon, Kind};
use crate::network;
use crate::world::CNI_BRIDGE;

pub(super) fn checks(context: &Context<'_>) -> Vec<Check> {
    let mut checks = vec![Check::new("outage/hub", |context| outage(context, &["hub"]))];
    let clusters: Vec<String> =
        context.topology().clusters.iter().map(|cluster| cluster.name.clone()).collect();
    checks.push(Check::new("outage/every-api-server", move |context| {
        outage(context, &clusters.iter().map(String::as_str).chain(["hub"]).collect::<Vec<_>>())
    }));
    checks.push(Check::new("outage/cni-bridge-deleted", bridge));
    checks
}

/// API servers refuse everybody while daemons are killed: packets go on all the time.
fn outage(context: &Context<'_>, apis: &[&str]) -> anyhow::Result<String> {
    const LENGTH: Duration = Duration::from_secs(2);
    context.must_be_lossless()?;
    let mut pings = Vec::new();
    for lane in context.lanes() {
        let (host, target) = context.longest_way(lane)?;
        pings.push(PingRun::start(host, target, Duration::from_millis(10))?);
    }
    let make = |link: Link| -> anyhow::Result<()> {
        apis.iter().try_for_each(|name| {
            context.playground.apis.of(name)?.server().faults().set_link(link);
            Ok(())
        })
    };
    make(Link::Refused)?;
    std::thread::sleep(LENGTH / 4);
    // A gateway that carries packets itself learns its peers from the API again, so only the others are killed.
    let spared = |daemon: &&Daemon| daemon.kind == Kind::Gateway && context.interrupted_by_kill();
    let killed = context.playground.daemons.all().filter(|daemon| !spared(daemon)).try_for_each(Daemon::kill);
    std::thread::sleep(LENGTH * 3 / 4);
    make(Link::Up)?;
    killed?;
    let daemons = || context.playground.daemons.all().try_for_each(|daemon| context.ready(daemon));
    let ((), back) = until_ok(PATIENCE, daemons)?;
    let (mut sent, mut lost, mut gap) = (0, 0, Duration::ZERO);
    for ping in pings {
        let report = ping.stop()?;
        sent += report.sent;
        lost += report.sent - report.received;
        gap = gap.max(report.longest_gap);
    }
    if lost > 0 {
        bail!("{lost} of {sent} packets were lost (longest gap {} ms)", gap.as_millis());
    }
    Ok(format!(
        "0 of {sent} packets lost, daemons killed meanwhile are ready {:.2} s after its end",
        back.as_secs_f64()
    ))
}

/// The CNI's interface vanishes and comes back: nodes reach remote pods again, by its address.
fn bridge(context: &Context<'_>) -> anyhow::Result<String> {
    let mut worst = Duration::ZERO;
    for lane in context.lanes() {
        for node in &lane.from.nodes {
            nodes::reach_all(context, node, lane)?;
            let scope = network::scopes()
                .into_iter()
                .find(|scope| scope.links.contains(&IfName::constant(CNI_BRIDGE)));
            let scope = scope.context("nobody owns the bridge")?;
            drift::act(context, node, &scope, &[Step::DeleteLink(IfName::constant(CNI_BRIDGE))])?;
            let (_, took) = until_ok(PATIENCE, || nodes::reach_all(context, node, lane))?;
            worst = worst.max(took);
        }
    }
    Ok(format!("nodes reach remote pods again within {} ms", worst.as_millis()))
}
