//! Payloads of every size, and much at once.

use std::net::IpAddr;
use std::time::Duration;

use subm_lab::{Host, traffic};
use subm_types::Family;

use super::Check;
use super::context::{ANSWER, Context, Lane, echo, until_ok};
use super::pods::own_source;

/// Bytes of ICMP or UDP headers.
const DATAGRAM: u32 = 8;
/// Bytes that a cable adds, at the least and at the most among those known.
const OVERHEADS: [u32; 4] = [0, 50, 70, 80];
const LARGE: usize = 16_000;
const TRANSFER: usize = 64 << 20;

pub(super) fn checks(context: &Context<'_>) -> Vec<Check> {
    let all: [(&str, Job); 4] = [("icmp", icmp), ("udp", udp), ("tcp", tcp), ("transfer", transfer)];
    let check = |(lane, (name, job)): (Lane<'_>, (&str, Job))| {
        let (key, name) = (lane.key(), format!("payload/{}/{name}", lane.name()));
        Check::new(name, move |context| {
            let lane = context.lane(&key)?;
            let (host, target) = context.longest_way(lane)?;
            job(&Way { host, target, sizes: sizes(lane) })
        })
    };
    let jobs = |lane| all.map(|job| (lane, job));
    context.lanes().into_iter().flat_map(jobs).map(check).collect()
}

/// From whom to whom, and how much at a time.
struct Way<'a> {
    host: &'a Host,
    target: IpAddr,
    sizes: Vec<usize>,
}

type Job = fn(&Way<'_>) -> anyhow::Result<String>;

/// One byte, around every size at which a packet of its own is needed, and several packets.
fn sizes(lane: Lane<'_>) -> Vec<usize> {
    let header = match lane.family {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    let mut sizes = vec![1, 512, LARGE];
    for mtu in [lane.from.mtu, lane.to.mtu] {
        for overhead in OVERHEADS {
            let whole = usize::try_from(mtu - overhead - header - DATAGRAM).unwrap_or_default();
            sizes.extend([whole - 1, whole, whole + 1]);
        }
    }
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// A packet that is too big is lost once, and the sender told: the next is smaller.
const LEARNING: Duration = Duration::from_secs(5);
const ONE_TRY: Duration = Duration::from_millis(400);

fn icmp(way: &Way<'_>) -> anyhow::Result<String> {
    for bytes in &way.sizes {
        until_ok(LEARNING, || Ok(traffic::ping(way.host, way.target, *bytes, ONE_TRY)?))?;
    }
    Ok(whole(way))
}

fn udp(way: &Way<'_>) -> anyhow::Result<String> {
    let mut seen = String::new();
    for bytes in &way.sizes {
        let ask = || Ok(traffic::udp(way.host, echo(way.target), *bytes, ONE_TRY)?);
        seen = own_source(&until_ok(LEARNING, ask)?.0)?;
    }
    Ok(format!("{}, {seen}", whole(way)))
}

fn tcp(way: &Way<'_>) -> anyhow::Result<String> {
    let mut seen = String::new();
    for bytes in &way.sizes {
        seen = own_source(&traffic::tcp(way.host, echo(way.target), *bytes, ANSWER)?)?;
    }
    Ok(format!("{}, {seen}", whole(way)))
}

fn whole(way: &Way<'_>) -> String {
    let largest = way.sizes.last().copied().unwrap_or_default();
    format!("{} sizes from 1 to {largest} bytes came back whole", way.sizes.len())
}

fn transfer(way: &Way<'_>) -> anyhow::Result<String> {
    let echoed = traffic::tcp(way.host, echo(way.target), TRANSFER, Duration::from_secs(10))?;
    own_source(&echoed)?;
    let mib = TRANSFER >> 20;
    let gigabits = f64::from(u32::try_from(mib).unwrap_or(u32::MAX)) * 1_048_576.0 * 8.0 / 1e9;
    let rate = gigabits / echoed.took.as_secs_f64();
    Ok(format!("{mib} MiB there and back in {:.2} s ({rate:.2} Gb/s each way)", echoed.took.as_secs_f64()))
}
