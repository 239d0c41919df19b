//! Eyes on a link: packets that should not be there.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::Ipv4Net;
use nix::libc;
use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::{Host, LabError};

/// A packet that should not be on a link: all that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// Comes from here.
    pub src: Option<Ipv4Net>,
    /// Goes there.
    pub dst: Option<Ipv4Net>,
}

/// Packets of one kind that were seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// On which host.
    pub host: String,
    /// The kernel's index of the link.
    pub link: usize,
    /// The source.
    pub src: Ipv4Addr,
    /// The destination.
    pub dst: Ipv4Addr,
    /// The IP protocol number.
    pub protocol: u8,
}

/// A packet socket on some links of a host that counts suspects until it is stopped.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    host: Host,
    thread: JoinHandle<Result<io::Result<BTreeMap<Sighting, u64>>, LabError>>,
}

impl Watch {
    /// Starts to watch the named link for suspects, in both directions.
    pub async fn start(host: &Host, link: &str, suspects: &[Suspect]) -> Result<Self, LabError> {
        let what = format!("watch {link}");
        let found =
            host.netlink()?.get_link_by_name(link).await.map_err(LabError::kernel(host.name(), &*what))?;
        let missing = || LabError::io(host.name(), &*what)(io::ErrorKind::NotFound.into());
        let index = found.ok_or_else(missing)?.ifindex();
        let filter = program(index, suspects);
        let socket = host.enter(|| open(&filter))?.map_err(LabError::io(host.name(), what))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, name) = (Arc::clone(&stop), host.name().to_owned());
        let thread = host.spawn("watch", move || collect(&socket, &name, &seen))?;
        Ok(Self { stop, host: host.clone(), thread })
    }

    /// Stops and tells what was seen, with how often.
    pub fn stop(self) -> Result<BTreeMap<Sighting, u64>, LabError> {
        self.stop.store(true, Ordering::Relaxed);
        let outcome = self.thread.join().unwrap_or_else(|_| Ok(Err(io::Error::other("the thread panicked"))));
        outcome?.map_err(LabError::io(self.host.name(), "watch a link"))
    }
}

fn open(filter: &[SockFilter]) -> io::Result<Socket> {
    // KERNEL: only ETH_P_ALL sees packets that leave; the protocol of the socket is in network order.
    let socket =
        Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(i32::from(ETH_P_ALL.to_be()))))?;
    // KERNEL: it hears everything from its first moment: what came before the filter is thrown away.
    socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])?;
    socket.set_nonblocking(true)?;
    while recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut [0; 1]).is_ok() {}
    socket.set_nonblocking(false)?;
    socket.attach_filter(filter)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    Ok(socket)
}

fn collect(socket: &Socket, host: &str, stop: &AtomicBool) -> io::Result<BTreeMap<Sighting, u64>> {
    let mut seen = BTreeMap::new();
    let mut buffer = [0_u8; 128];
    // What was on its way when the end was asked for still counts.
    let mut late = 0;
    while late < QUEUED {
        let ending = stop.load(Ordering::Relaxed);
        late += usize::from(ending);
        match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
            Ok((length, from)) => {
                let link = from.map_or(0, |address| address.ifindex());
                if let Some(sighting) = sighting(host, link, &buffer[..length.min(buffer.len())]) {
                    *seen.entry(sighting).or_insert(0) += 1;
                }
            }
            Err(nix::Error::EAGAIN) if ending => break,
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(seen)
}

/// More packets than the buffer of a socket holds.
const QUEUED: usize = 10_000;

fn sighting(host: &str, link: usize, packet: &[u8]) -> Option<Sighting> {
    let address = |at: usize| -> Option<Ipv4Addr> {
        packet.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(Ipv4Addr::from)
    };
    let (src, dst, protocol) = (address(12)?, address(16)?, *packet.get(9)?);
    Some(Sighting { host: host.to_owned(), link, src, dst, protocol })
}

const SRC: u32 = 12;
const DST: u32 = 16;
const ETH_P_IP: u32 = 0x0800;
const ETH_P_ALL: u16 = 3;

/// Instructions of classic BPF (`linux/bpf_common.h`): load a word at a fixed place, mask it, compare it, return.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// A classic BPF program that keeps IPv4 packets of the link that match a suspect: the kernel leaves the rest out,
/// so that a fast transfer cannot push a suspect out of the socket's buffer.
fn program(link: u32, suspects: &[Suspect]) -> Vec<SockFilter> {
    let ancillary = |field: i32| (libc::SKF_AD_OFF + field).cast_unsigned();
    let refuse = || SockFilter::new(RETURN, 0, 0, 0);
    let mut program = vec![
        SockFilter::new(LOAD, 0, 0, ancillary(libc::SKF_AD_PROTOCOL)),
        SockFilter::new(EQUAL, 1, 0, ETH_P_IP),
        refuse(),
        SockFilter::new(LOAD, 0, 0, ancillary(libc::SKF_AD_IFINDEX)),
        SockFilter::new(EQUAL, 1, 0, link),
        refuse(),
    ];
    for suspect in suspects {
        let tests: Vec<_> = [(SRC, suspect.src), (DST, suspect.dst)]
            .into_iter()
            .filter_map(|(at, net)| net.map(|net| (at, net)))
            .collect();
        let count = u8::try_from(tests.len()).unwrap_or(0);
        for (index, (at, net)) in (0..count).zip(tests) {
            // On a mismatch: over the tests of this suspect that are left, and its `return`.
            let over = (count - 1 - index) * 3 + 1;
            program.push(SockFilter::new(LOAD, 0, 0, at));
            program.push(SockFilter::new(AND, 0, 0, u32::from(net.netmask())));
            program.push(SockFilter::new(EQUAL, 0, over, u32::from(net.network())));
        }
        program.push(SockFilter::new(RETURN, 0, 0, 128));
    }
    program.push(refuse());
    program
}
