//! Eyes on a link that read: a pattern of bytes in whatever passes.

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::sys::socket::sockopt::RxqOvfl;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt};
use socket2::{SockFilter, Socket};

use super::{RETURN, Sighting, only_link, open, sighting};
use crate::{Host, LabError};

/// Headers of a packet within a packet, and a payload's first kilobyte.
const KEPT: u32 = 1400;

/// What was found in the packets of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchReport {
    /// Packets that were looked into.
    pub packets: u64,
    /// Packets that came too fast to be looked into.
    pub missed: u64,
    /// Those with the pattern in them, with how often.
    pub found: BTreeMap<Sighting, u64>,
}

/// A packet socket on a link of a host that looks for bytes in every packet until it is stopped.
#[derive(Debug)]
pub struct Search {
    stop: Arc<AtomicBool>,
    host: Host,
    thread: JoinHandle<Result<io::Result<SearchReport>, LabError>>,
}

impl Search {
    /// Starts to look for the pattern on the named link, in both directions.
    pub async fn start(host: &Host, link: &str, pattern: &[u8]) -> Result<Self, LabError> {
        let what = format!("search packets of {link}");
        let index = host.index_of(link).await?;
        let mut filter = Vec::from(only_link(index));
        filter.push(SockFilter::new(RETURN, 0, 0, KEPT));
        let socket = host.enter(|| ready(&filter))?.map_err(LabError::io(host.name(), what))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, name, pattern) = (Arc::clone(&stop), host.name().to_owned(), pattern.to_vec());
        let thread = host.spawn("search", move || read(&socket, &name, &pattern, &seen))?;
        Ok(Self { stop, host: host.clone(), thread })
    }

    /// Stops and tells what was found.
    pub fn stop(self) -> Result<SearchReport, LabError> {
        self.stop.store(true, Ordering::Relaxed);
        let outcome = self.thread.join().unwrap_or_else(|_| Ok(Err(io::Error::other("the thread panicked"))));
        outcome?.map_err(LabError::io(self.host.name(), "search packets"))
    }
}

fn ready(filter: &[SockFilter]) -> io::Result<Socket> {
    let socket = open(filter)?;
    socket.set_recv_buffer_size(1 << 22)?;
    setsockopt(&socket, RxqOvfl, &1)?;
    Ok(socket)
}

fn read(socket: &Socket, host: &str, pattern: &[u8], stop: &AtomicBool) -> io::Result<SearchReport> {
    let mut report = SearchReport::default();
    let mut buffer = vec![0_u8; usize::try_from(KEPT).unwrap_or_default()];
    // What was on its way when the end was asked for still counts, for a while.
    let mut late = 0;
    while late < super::QUEUED {
        let ending = stop.load(Ordering::Relaxed);
        late += usize::from(ending);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let (length, link) = match receive(socket, &mut parts, &mut report.missed) {
            Ok(received) => received,
            Err(nix::Error::EAGAIN) if ending => break,
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        report.packets += 1;
        let packet = &buffer[..length.min(buffer.len())];
        if packet.windows(pattern.len()).any(|window| window == pattern)
            && let Some(sighting) = sighting(host, link, packet)
        {
            *report.found.entry(sighting).or_insert(0) += 1;
        }
    }
    Ok(report)
}

/// The next packet's length and link; `missed` becomes what the socket has lost so far.
fn receive(socket: &Socket, parts: &mut [IoSliceMut<'_>], missed: &mut u64) -> nix::Result<(usize, usize)> {
    let mut control = nix::cmsg_space!(u32);
    let message = recvmsg::<LinkAddr>(socket.as_raw_fd(), parts, Some(&mut control), MsgFlags::empty())?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::RxqOvfl(lost) = control {
            *missed = u64::from(lost);
        }
    }
    Ok((message.bytes, message.address.map_or(0, |address| address.ifindex())))
}

/// The pattern that every payload of the lab's traffic of at least 48 bytes has in it.
pub fn payload_pattern() -> Vec<u8> {
    crate::traffic::payload(48).split_off(16)
}
