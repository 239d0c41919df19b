//! Payloads of every size, and much at once.

use std::time::Duration;

use subm_lab::traffic;

use super::Check;
use super::context::{ANSWER, Context, echo, until_ok};
use super::pods::own_source;
use crate::topology::MTU;

/// Bytes of IPv4 and ICMP or UDP headers.
const DATAGRAM: usize = 28;
/// Bytes that a cable adds, at the least and at the most among those known.
const OVERHEADS: [usize; 3] = [0, 50, 80];
const LARGE: usize = 16_000;
const TRANSFER: usize = 64 << 20;

pub(super) fn checks(context: &Context<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    for (from, to) in context.pairs() {
        let all: [(&str, Job); 4] = [("icmp", icmp), ("udp", udp), ("tcp", tcp), ("transfer", transfer)];
        for (name, job) in all {
            let (near, far) = (from.name.clone(), to.name.clone());
            let name = format!("payload/{}>{}/{name}", from.name, to.name);
            checks.push(Check::new(name, move |context| job(context, &near, &far)));
        }
    }
    checks
}

type Job = fn(&Context<'_>, &str, &str) -> anyhow::Result<String>;

/// One byte, around every size at which a packet of its own is needed, and several packets.
fn sizes() -> Vec<usize> {
    let mut sizes = vec![1, 512, LARGE];
    for overhead in OVERHEADS {
        let whole = usize::try_from(MTU).unwrap_or_default() - overhead - DATAGRAM;
        sizes.extend([whole - 1, whole, whole + 1]);
    }
    sizes.sort_unstable();
    sizes
}

/// A packet that is too big is lost once, and the sender told: the next is smaller.
const LEARNING: Duration = Duration::from_secs(5);
const ONE_TRY: Duration = Duration::from_millis(400);

fn icmp(context: &Context<'_>, near: &str, far: &str) -> anyhow::Result<String> {
    let (host, target) = context.between_workers(near, far)?;
    for bytes in sizes() {
        until_ok(LEARNING, || Ok(traffic::ping(host, target, bytes, ONE_TRY)?))?;
    }
    Ok(format!("{} sizes from 1 to {LARGE} bytes came back whole", sizes().len()))
}

fn udp(context: &Context<'_>, near: &str, far: &str) -> anyhow::Result<String> {
    let (host, target) = context.between_workers(near, far)?;
    let mut seen = String::new();
    for bytes in sizes() {
        let (echoed, _) = until_ok(LEARNING, || Ok(traffic::udp(host, echo(target), bytes, ONE_TRY)?))?;
        seen = own_source(&echoed)?;
    }
    Ok(format!("{} sizes from 1 to {LARGE} bytes came back whole, {seen}", sizes().len()))
}

fn tcp(context: &Context<'_>, near: &str, far: &str) -> anyhow::Result<String> {
    let (host, target) = context.between_workers(near, far)?;
    let mut seen = String::new();
    for bytes in sizes() {
        seen = own_source(&traffic::tcp(host, echo(target), bytes, ANSWER)?)?;
    }
    Ok(format!("{} sizes from 1 to {LARGE} bytes came back whole, {seen}", sizes().len()))
}

fn transfer(context: &Context<'_>, near: &str, far: &str) -> anyhow::Result<String> {
    let (host, target) = context.between_workers(near, far)?;
    let echoed = traffic::tcp(host, echo(target), TRANSFER, Duration::from_secs(10))?;
    own_source(&echoed)?;
    let mib = TRANSFER >> 20;
    let gigabits = f64::from(u32::try_from(mib).unwrap_or(u32::MAX)) * 1_048_576.0 * 8.0 / 1e9;
    let rate = gigabits / echoed.took.as_secs_f64();
    Ok(format!("{mib} MiB there and back in {:.2} s ({rate:.2} Gb/s each way)", echoed.took.as_secs_f64()))
}
