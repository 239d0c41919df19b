//! ICMP echo requests (RFC 792, RFC 4443), answered by kernels.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::payload;
use crate::{Host, LabError};

/// The types of an echo request and of its reply, by family.
const V4: [u8; 2] = [8, 0];
const V6: [u8; 2] = [128, 129];
const HEADER: usize = 8;

/// Sends one echo request with this many bytes and tells how long the answer took.
pub fn ping(
    host: &Host,
    to: impl Into<IpAddr>,
    bytes: usize,
    timeout: Duration,
) -> Result<Duration, LabError> {
    let to = to.into();
    let ask = || -> io::Result<Duration> {
        let mut socket = open(to)?;
        let start = Instant::now();
        socket.write_all(&request(to, 1, bytes))?;
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            match receive(&mut socket, left)? {
                Some((1, length)) if length == bytes => return Ok(start.elapsed()),
                Some((1, _)) => return Err(super::changed()),
                Some(_) => {}
                None => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    };
    host.enter(ask)?.map_err(LabError::io(host.name(), format!("ping {to} with {bytes} bytes")))
}

/// What became of a series of echo requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PingReport {
    /// Requests sent.
    pub sent: u32,
    /// Answers that came, each counted once.
    pub received: u32,
    /// Numbers of the requests that were not answered.
    pub lost: Vec<u16>,
    /// The longest time between two answers.
    pub longest_gap: Duration,
    /// Round-trip times, in the order of the answers.
    pub times: Vec<Duration>,
}

/// A series of echo requests that goes on until it is stopped.
#[derive(Debug)]
pub struct PingRun {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<io::Result<PingReport>, LabError>>,
    what: String,
    host: Host,
}

impl PingRun {
    /// Starts asking at this interval.
    pub fn start(host: &Host, to: impl Into<IpAddr>, interval: Duration) -> Result<Self, LabError> {
        let to = to.into();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = host.spawn("ping", move || series(to, interval, &seen))?;
        Ok(Self { stop, thread, what: format!("ping {to}"), host: host.clone() })
    }

    /// Stops asking without waiting, where several series end together.
    pub fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Stops asking, waits a second for answers that are under way, and tells.
    pub fn stop(self) -> Result<PingReport, LabError> {
        self.end();
        let outcome = self.thread.join().unwrap_or_else(|_| Ok(Err(io::Error::other("the thread panicked"))));
        outcome?.map_err(LabError::io(self.host.name(), self.what))
    }
}

const LAST_WAIT: Duration = Duration::from_secs(1);

fn series(to: IpAddr, interval: Duration, stop: &AtomicBool) -> io::Result<PingReport> {
    let mut socket = open(to)?;
    let mut report = PingReport::default();
    let mut open_requests: BTreeMap<u16, Instant> = BTreeMap::new();
    let (mut number, mut due, mut last_answer) = (0_u16, Instant::now(), Instant::now());
    let mut end = None;
    loop {
        let now = Instant::now();
        if end.is_none() && stop.load(Ordering::Relaxed) {
            end = Some(now + LAST_WAIT);
        }
        match end {
            Some(end) if now >= end || open_requests.values().all(|asked| now > *asked + LAST_WAIT) => break,
            None if now >= due => {
                // A send may fail while the route is away: that is a lost packet and shows as one.
                if let Err(error) = socket.write_all(&request(to, number, 56)) {
                    tracing::debug!(%to, %error, "an echo request was refused");
                }
                report.sent += 1;
                open_requests.insert(number, now);
                number = number.wrapping_add(1);
                due += interval;
            }
            Some(_) | None => {}
        }
        let wait = end.unwrap_or(due).saturating_duration_since(Instant::now());
        let Ok(Some((number, _))) = receive(&mut socket, wait.min(Duration::from_millis(50))) else {
            continue;
        };
        if let Some(asked) = open_requests.remove(&number) {
            report.received += 1;
            report.times.push(asked.elapsed());
            report.longest_gap = report.longest_gap.max(last_answer.elapsed());
            last_answer = Instant::now();
        }
    }
    report.lost = open_requests.into_keys().collect();
    Ok(report)
}

/// KERNEL: a datagram ICMP socket fills in identifier and checksum, and gets only answers to its own requests.
fn open(to: IpAddr) -> io::Result<Socket> {
    let (domain, protocol) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
    socket.connect(&SocketAddr::from((to, 0)).into())?;
    Ok(socket)
}

fn request(to: IpAddr, number: u16, bytes: usize) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let [kind, _] = if to.is_ipv4() { V4 } else { V6 };
    let mut packet = vec![kind, 0, 0, 0, 0, 0, high, low];
    packet.extend(payload(bytes));
    packet
}

/// The number of the next answer and how many bytes came with it; `None` if none comes in time.
fn receive(socket: &mut Socket, wait: Duration) -> io::Result<Option<(u16, usize)>> {
    if wait.is_zero() {
        return Ok(None);
    }
    // KERNEL: a timeout of less than a microsecond is none at all.
    socket.set_read_timeout(Some(wait.max(Duration::from_micros(50))))?;
    let mut buffer = vec![0; 65_536];
    match socket.read(&mut buffer) {
        Ok(length) if length >= HEADER && [V4[1], V6[1]].contains(&buffer[0]) => {
            let number = u16::from_be_bytes([buffer[6], buffer[7]]);
            let intact = buffer[HEADER..length] == payload(length - HEADER);
            if intact { Ok(Some((number, length - HEADER))) } else { Err(super::changed()) }
        }
        Ok(_) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(None),
        Err(error) => Err(error),
    }
}
