//! Daemons that are killed while packets pass.

use std::time::Duration;

use anyhow::bail;
use subm_lab::traffic::{PingRun, StreamRun};

use super::Check;
use super::context::{Context, PATIENCE, echo, until_ok};
use crate::daemon::{Daemon, Kind};

pub(super) fn checks(context: &Context<'_>) -> Vec<Check> {
    let one = |daemon: &Daemon| {
        let path = daemon.path();
        Check::new(format!("crash/{path}"), move |context| killed(context, &[context.daemon(&path)?]))
    };
    let mut checks: Vec<Check> = context.playground.daemons.all().map(one).collect();
    checks.push(Check::new("crash/all-at-once", |context| {
        killed(context, &context.playground.daemons.all().collect::<Vec<_>>())
    }));
    checks
}

/// Kills daemons under a ping at 100/s and a TCP stream in each direction, and waits until they work again.
fn killed(context: &Context<'_>, daemons: &[&Daemon]) -> anyhow::Result<String> {
    const BEFORE: Duration = Duration::from_millis(200);
    context.must_be_lossless()?;
    let mut pings = Vec::new();
    let mut streams = Vec::new();
    for lane in context.lanes() {
        let (host, target) = context.longest_way(lane)?;
        pings.push(PingRun::start(host, target, Duration::from_millis(10))?);
    }
    for lane in context.wide_lanes() {
        let (host, target) = context.longest_way(lane)?;
        streams.push(StreamRun::start(host, echo(target))?);
    }
    std::thread::sleep(BEFORE);
    let before: Vec<u32> = daemons.iter().map(|daemon| daemon.status().restarts).collect();
    daemons.iter().try_for_each(|daemon| daemon.kill())?;
    let back = until_ok(PATIENCE, || {
        for (daemon, before) in daemons.iter().zip(&before) {
            if daemon.status().restarts == *before {
                bail!("{} was not started again", daemon.path());
            }
            context.ready(daemon)?;
        }
        Ok(())
    });
    std::thread::sleep(BEFORE);
    let (mut sent, mut lost, mut bytes) = (0, 0, 0);
    let (mut stall, mut gap) = (Duration::ZERO, Duration::ZERO);
    for ping in pings {
        let report = ping.stop()?;
        sent += report.sent;
        lost += report.sent - report.received;
        gap = gap.max(report.longest_gap);
    }
    for stream in streams {
        let report = stream.stop()?;
        if let Some(broken) = report.broken {
            bail!("a TCP stream broke: {broken}");
        }
        bytes += report.bytes;
        stall = stall.max(report.longest_stall);
    }
    let ((), ready) = back?;
    let carries = |daemon: &&Daemon| daemon.kind == Kind::Gateway && context.interrupted_by_kill();
    let lost = match lost {
        0 => format!("0 of {sent} packets lost"),
        _ if daemons.iter().any(carries) => {
            format!("gap of {} ms ({lost} of {sent} packets lost)", gap.as_millis())
        }
        _ => bail!("{lost} of {sent} packets were lost"),
    };
    Ok(format!(
        "{lost}, 0 resets in {} MiB (longest stall {} ms), ready after {:.2} s",
        bytes >> 20,
        stall.as_millis(),
        ready.as_secs_f64()
    ))
}
