//! UDP datagrams and their answers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Echoed, payload};
use crate::{Host, LabError};

/// Sends one datagram of this many bytes from a fresh port.
pub fn udp(host: &Host, to: SocketAddr, bytes: usize, timeout: Duration) -> Result<Echoed, LabError> {
    UdpFlow::open(host, to)?.ask(bytes, timeout)
}

/// Datagrams of one flow: all leave from one port.
#[derive(Debug)]
pub struct UdpFlow {
    socket: UdpSocket,
    host: Host,
    what: String,
}

impl UdpFlow {
    /// Opens a port for questions to a server.
    pub fn open(host: &Host, to: SocketAddr) -> Result<Self, LabError> {
        let what = format!("udp to {to}");
        let open = || -> io::Result<UdpSocket> {
            let any: IpAddr =
                if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(to)?;
            Ok(socket)
        };
        let socket = host.enter(open)?.map_err(LabError::io(host.name(), what.clone()))?;
        Ok(Self { socket, host: host.clone(), what })
    }

    /// Sends one datagram and waits for its answer.
    pub fn ask(&self, bytes: usize, timeout: Duration) -> Result<Echoed, LabError> {
        self.exchange(bytes, timeout)
            .map_err(LabError::io(self.host.name(), format!("{} with {bytes} bytes", self.what)))
    }

    fn exchange(&self, bytes: usize, timeout: Duration) -> io::Result<Echoed> {
        let sent = payload(bytes);
        let start = Instant::now();
        self.socket.send(&sent)?;
        let mut buffer = vec![0; 65_536];
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.socket.set_read_timeout(Some(left))?;
            let length = match self.socket.recv(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                other => other?,
            };
            let own = self.socket.local_addr()?;
            // An answer to an earlier question may still come: it has another length.
            if let Some(seen_as) = parse(&buffer[..length], &sent) {
                return Ok(Echoed { seen_as, own, took: start.elapsed() });
            }
        }
    }
}

fn parse(answer: &[u8], sent: &[u8]) -> Option<SocketAddr> {
    let end = answer.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = (answer.get(..end)?, answer.get(end + 1..)?);
    if rest != sent {
        return None;
    }
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// What became of a series of datagrams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UdpReport {
    /// Datagrams sent.
    pub sent: u32,
    /// Datagrams that came back.
    pub received: u32,
}

/// A series of datagrams of one flow to an echo server that goes on until it is stopped, answered or not.
#[derive(Debug)]
pub struct UdpRun {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<io::Result<UdpReport>, LabError>>,
    what: String,
    host: Host,
}

impl UdpRun {
    /// Starts to send datagrams of this many bytes at this interval.
    pub fn start(
        host: &Host,
        to: SocketAddr,
        (bytes, interval): (usize, Duration),
    ) -> Result<Self, LabError> {
        let UdpFlow { socket, host, what } = UdpFlow::open(host, to)?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = host.spawn("datagrams", move || series(&socket, &payload(bytes), interval, &seen))?;
        Ok(Self { stop, thread, what, host })
    }

    /// Stops sending and tells.
    pub fn stop(self) -> Result<UdpReport, LabError> {
        self.stop.store(true, Ordering::Relaxed);
        let outcome = self.thread.join().unwrap_or_else(|_| Ok(Err(io::Error::other("the thread panicked"))));
        outcome?.map_err(LabError::io(self.host.name(), self.what))
    }
}

fn series(
    socket: &UdpSocket,
    datagram: &[u8],
    interval: Duration,
    stop: &AtomicBool,
) -> io::Result<UdpReport> {
    let mut report = UdpReport::default();
    let mut buffer = vec![0; 65_536];
    socket.set_nonblocking(true)?;
    while !stop.load(Ordering::Relaxed) {
        // That nobody is reached for a while is what it is about.
        report.sent += u32::from(socket.send(datagram).is_ok());
        thread::sleep(interval);
        while let Ok(length) = socket.recv(&mut buffer) {
            report.received += u32::from(parse(&buffer[..length], datagram).is_some());
        }
    }
    Ok(report)
}
