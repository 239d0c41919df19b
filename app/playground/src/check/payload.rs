//! Payloads of every size, and much at once.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::bail;
use subm_lab::{Host, traffic};
use subm_types::Family;

use super::Check;
use super::context::{ANSWER, Context, Lane, PATIENCE, echo, until_ok};
use super::narrow::{Narrow, narrow};
use super::outcome::Skip;
use super::pods::own_source;

/// Bytes of ICMP or UDP headers, and of TCP's with a timestamp.
const DATAGRAM: u32 = 8;
const SEGMENT: u32 = 32;
/// Bytes of TCP's header without.
const BARE_SEGMENT: u32 = 20;
/// Bytes that a cable adds, at the least and at the most among those known.
const OVERHEADS: [u32; 5] = [0, 50, 60, 70, 80];
const LARGE: usize = 16_000;
/// By as much an answer over UDP is longer at the most.
const ADDRESS: usize = 64;
/// Nearly the largest datagram that there is.
const LARGEST: usize = 65_400;
/// On a wire that loses packets a check is about those that come through.
const LOSSY_TRANSFER: u64 = 4_000_000;

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
            let (lossy, narrow) = (context.must_be_lossless().is_err(), narrow(context, lane));
            job(&Way { host, target, lane, slowest, lossy, narrow, transfer: context.transfer })
        })
    };
    let jobs = |lane| all.map(|job| (lane, job));
    context.lanes().into_iter().flat_map(jobs).filter(there_is).map(check).collect()
}

/// From whom to whom, and what to expect of it.
struct Way<'a> {
    host: &'a Host,
    target: IpAddr,
    lane: Lane<'a>,
    /// Bits per second that pass, where that is limited.
    slowest: Option<u64>,
    /// Whether packets are lost on purpose.
    lossy: bool,
    /// Whether there is too little room for what IPv6 needs.
    narrow: Option<Narrow>,
    /// Bytes of a transfer.
    transfer: u64,
}

type Job = fn(&Way<'_>) -> anyhow::Result<String>;

/// How payloads are cut into packets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Into fragments of one datagram.
    Datagram,
    /// Into segments.
    Stream,
}

impl Way<'_> {
    /// One byte, and a few bytes around every size at which another packet is needed, where any link on the way or
    /// any cable may be what limits a packet; then many packets.
    fn sizes(&self, cut: Cut) -> Vec<usize> {
        let (from, to) = (self.lane.from, self.lane.to);
        let links = [from.mtu, to.mtu, from.uplink.mtu.0, to.uplink.mtu.0];
        let inside = links.into_iter().flat_map(|mtu| OVERHEADS.map(|overhead| mtu - overhead));
        let limits = inside.flat_map(|mtu| limits(mtu, self.lane.family, cut));
        // A datagram of many fragments is lost with any one of them.
        let (around, many) = match (self.lossy, cut) {
            (false, _) => (-2..=2, &[LARGE, LARGEST][..]),
            (true, Cut::Stream) => (0..=1, &[LARGE][..]),
            (true, Cut::Datagram) => (0..=1, &[][..]),
        };
        let near = |limit: i32| around.clone().filter_map(move |more| usize::try_from(limit + more).ok());
        let all = limits.flat_map(near).chain([1, 512]).chain(many.iter().copied());
        let most = self.room(cut).map_or(LARGEST, |room| room.min(LARGEST));
        all.filter(|size| *size <= most).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The largest payload that passes, where that is limited.
    fn room(&self, cut: Cut) -> Option<usize> {
        let narrow = self.narrow.as_ref().filter(|narrow| cut == Cut::Datagram || !narrow.known)?;
        let whole = limits(narrow.room, self.lane.family, cut);
        let at_once = if cut == Cut::Datagram { whole.first() } else { whole.get(1) };
        at_once.and_then(|size| usize::try_from(*size).ok())
    }

    /// What is said when all of these came back.
    fn whole(&self, sizes: &[usize], cut: Cut) -> String {
        let largest = sizes.last().copied().unwrap_or_default();
        let said = format!("{} sizes from 1 to {largest} bytes came back whole", sizes.len());
        match self.narrow.as_ref().filter(|_| self.room(cut).is_some()) {
            Some(narrow) => format!("{said}; larger ones do not pass: {}", narrow.why),
            None => said,
        }
    }

    /// How long an answer to this many bytes may take. A packet that is too big is lost once, and the sender told.
    fn one_try(&self, bytes: usize) -> Duration {
        let base = if self.lossy { ONE_TRY / 4 } else { ONE_TRY };
        let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(8 * 4);
        base + self.slowest.map_or(Duration::ZERO, |rate| Duration::from_millis(bits * 1000 / rate))
    }
}

/// The largest payloads that go into one, two and three packets of a link.
fn limits(mtu: u32, family: Family, cut: Cut) -> Vec<i32> {
    let (header, fragment) = match family {
        Family::V4 => (20, 0),
        Family::V6 => (40, 8),
    };
    let sizes = match cut {
        Cut::Datagram => {
            // All fragments but the last are of eight bytes and again eight.
            let (room, piece) = (mtu - header - fragment, (mtu - header - fragment) / 8 * 8);
            [mtu - header - DATAGRAM, piece + room - DATAGRAM, 2 * piece + room - DATAGRAM]
        }
        Cut::Stream => {
            let whole = mtu - header - SEGMENT;
            [mtu - header - BARE_SEGMENT, whole, 2 * whole]
        }
    };
    sizes.into_iter().filter_map(|size| i32::try_from(size).ok()).collect()
}

/// A packet that is too big is lost once, and the sender told: the next is smaller.
const LEARNING: Duration = Duration::from_secs(5);
const ONE_TRY: Duration = Duration::from_millis(400);

fn icmp(way: &Way<'_>) -> anyhow::Result<String> {
    let sizes = way.sizes(Cut::Datagram);
    for bytes in &sizes {
        until_ok(LEARNING, || Ok(traffic::ping(way.host, way.target, *bytes, way.one_try(*bytes))?))?;
    }
    Ok(way.whole(&sizes, Cut::Datagram))
}

fn udp(way: &Way<'_>) -> anyhow::Result<String> {
    let (mut sizes, mut seen) = (way.sizes(Cut::Datagram), String::new());
    let room = way.room(Cut::Datagram).map(|room| room - ADDRESS);
    sizes.retain(|size| room.is_none_or(|room| *size <= room));
    for bytes in &sizes {
        let ask = || Ok(traffic::udp(way.host, echo(way.target), *bytes, way.one_try(*bytes))?);
        seen = own_source(&until_ok(LEARNING, ask)?.0)?;
    }
    Ok(format!("{seen}, {}", way.whole(&sizes, Cut::Datagram)))
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
    let (sizes, mut seen) = (way.sizes(Cut::Stream), String::new());
    for bytes in &sizes {
        let ask = || Ok(traffic::tcp(way.host, echo(way.target), *bytes, ANSWER + way.one_try(*bytes))?);
        // Where packets are lost, a connection may take its time.
        let echoed = if way.lossy { until_ok(PATIENCE, ask)?.0 } else { ask()? };
        seen = own_source(&echoed)?;
    }
    Ok(format!("{seen}, {}", way.whole(&sizes, Cut::Stream)))
}

fn transfer(way: &Way<'_>) -> anyhow::Result<String> {
    if let Some(narrow) = way.narrow.as_ref().filter(|narrow| !narrow.known) {
        return Err(Skip(narrow.why.clone()).into());
    }
    // On a slow wire a second's worth says as much.
    let most = [way.slowest.map(|rate| rate / 8), way.lossy.then_some(LOSSY_TRANSFER)];
    let bytes = most.into_iter().flatten().fold(way.transfer, u64::min);
    let sent = traffic::transfer(way.host, echo(way.target), bytes, Duration::from_secs(30))?;
    own_source(&sent)?;
    let seconds = sent.took.as_secs_f64();
    let megabits = mega(bytes) * 8.0 / seconds;
    if let Some(rate) = way.slowest.filter(|rate| megabits > mega(*rate) * 1.1) {
        bail!("{megabits:.1} Mb/s passed a wire of {} Mb/s", mega(rate));
    }
    Ok(format!("{:.1} MB arrived, with their digest, in {seconds:.2} s ({megabits:.0} Mb/s)", mega(bytes)))
}

/// Millions.
fn mega(number: u64) -> f64 {
    f64::from(u32::try_from(number / 1000).unwrap_or(u32::MAX)) / 1000.0
}
