//! Payloads of every size, and much at once.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::bail;
use subm_lab::{Host, traffic};
use subm_types::Family;

use super::Check;
use super::context::{ANSWER, Context, Lane, echo, until_ok};
use super::pods::own_source;

/// Bytes of ICMP or UDP headers.
const DATAGRAM: u32 = 8;
/// Bytes that a cable adds, at the least and at the most among those known.
const OVERHEADS: [u32; 5] = [0, 50, 60, 70, 80];
const LARGE: usize = 16_000;
const TRANSFER: usize = 64 << 20;

pub(super) fn checks(context: &Context<'_>) -> Vec<Check> {
    let all: [(&str, Job); 5] = [
        ("icmp", icmp),
        ("udp", udp),
        ("udp-without-df", udp_without_df),
        ("tcp", tcp),
        ("transfer", transfer),
    ];
    // IPv6 has no such bit: only who sends a packet may cut it (RFC 8200).
    let there_is =
        |(lane, (name, _)): &(Lane<'_>, (&str, Job))| lane.family == Family::V4 || *name != "udp-without-df";
    let check = |(lane, (name, job)): (Lane<'_>, (&str, Job))| {
        let (key, name) = (lane.key(), format!("payload/{}/{name}", lane.name()));
        Check::new(name, move |context| {
            let lane = context.lane(&key)?;
            let (host, target) = context.longest_way(lane)?;
            let slowest = lane.from.uplink.rate.0.into_iter().chain(lane.to.uplink.rate.0).min();
            job(&Way { host, target, sizes: sizes(lane), slowest })
        })
    };
    let jobs = |lane| all.map(|job| (lane, job));
    context.lanes().into_iter().flat_map(jobs).filter(there_is).map(check).collect()
}

/// From whom to whom, and how much at a time.
struct Way<'a> {
    host: &'a Host,
    target: IpAddr,
    sizes: Vec<usize>,
    /// Bits per second that pass, where that is limited.
    slowest: Option<u64>,
}

type Job = fn(&Way<'_>) -> anyhow::Result<String>;

/// One byte, around every size at which a packet of its own is needed, and several packets.
fn sizes(lane: Lane<'_>) -> Vec<usize> {
    let header = match lane.family {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    let mut sizes = vec![1, 512, LARGE];
    for mtu in [lane.from.mtu, lane.to.mtu, lane.from.uplink.mtu.0, lane.to.uplink.mtu.0] {
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

/// The same where routers may cut packets on their way.
fn udp_without_df(way: &Way<'_>) -> anyhow::Result<String> {
    const NO_DF: &str = "net/ipv4/ip_no_pmtu_disc";
    way.host.sysctl(NO_DF, "1")?;
    let outcome = udp(way);
    way.host.sysctl(NO_DF, "0")?;
    outcome
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
    // On a slow wire a second's worth says as much.
    let slow = way.slowest.and_then(|rate| usize::try_from(rate / 8).ok()).unwrap_or(usize::MAX);
    let bytes = TRANSFER.min(slow);
    let echoed = traffic::tcp(way.host, echo(way.target), bytes, Duration::from_secs(10))?;
    own_source(&echoed)?;
    let seconds = echoed.took.as_secs_f64();
    let megabits = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) * 8.0 / 1e6 / seconds;
    if let Some(rate) = way.slowest.filter(|rate| megabits * 1e6 > mega(*rate) * 1.1e6) {
        bail!("{megabits:.1} Mb/s passed a wire of {} Mb/s", mega(rate));
    }
    Ok(format!("{:.1} MB there and back in {seconds:.2} s ({megabits:.0} Mb/s each way)", mega(bytes as u64)))
}

/// Millions.
fn mega(number: u64) -> f64 {
    f64::from(u32::try_from(number / 1000).unwrap_or(u32::MAX)) / 1000.0
}
