//! Eyes on a link: packets that should not be there.

mod search;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::IpNet;
use nix::libc;
use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::{Host, LabError};

pub use search::{Search, SearchReport, payload_pattern};

/// A packet that should not be on a link: all that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// Comes from here.
    pub src: Option<IpNet>,
    /// Goes there.
    pub dst: Option<IpNet>,
}

/// Packets of one kind that were seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// On which host.
    pub host: String,
    /// The kernel's index of the link.
    pub link: usize,
    /// The source.
    pub src: IpAddr,
    /// The destination.
    pub dst: IpAddr,
    /// The IP protocol number; of IPv6 the next header.
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
        let index = host.index_of(link).await?;
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
    let sighting = |src, dst, protocol| Sighting { host: host.to_owned(), link, src, dst, protocol };
    match packet.first()? >> 4 {
        4 => {
            let address = |at: usize| -> Option<IpAddr> {
                let bytes = packet.get(at..at + 4)?;
                Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into())
            };
            Some(sighting(address(V4.src)?, address(V4.dst)?, *packet.get(V4.protocol)?))
        }
        6 => {
            let address = |at: usize| -> Option<IpAddr> {
                let bytes = packet.get(at..at + 16)?;
                Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into())
            };
            Some(sighting(address(V6.src)?, address(V6.dst)?, *packet.get(V6.protocol)?))
        }
        _ => None,
    }
}

/// Where things stand in an IP header, and its Ethernet type.
struct Header {
    src: usize,
    dst: usize,
    protocol: usize,
    ethernet: u32,
}

const V4: Header = Header { src: 12, dst: 16, protocol: 9, ethernet: 0x0800 };
const V6: Header = Header { src: 8, dst: 24, protocol: 6, ethernet: 0x86dd };
const ETH_P_ALL: u16 = 3;

/// Instructions of classic BPF (`linux/bpf_common.h`): load a word at a fixed place, mask it, compare it, return.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
/// As many bytes of a suspect are kept as tell whose it is.
const KEPT: u32 = 128;

fn ancillary(field: i32) -> u32 {
    (libc::SKF_AD_OFF + field).cast_unsigned()
}

/// Instructions that end the program for packets of other links.
fn only_link(link: u32) -> [SockFilter; 3] {
    [
        SockFilter::new(LOAD, 0, 0, ancillary(libc::SKF_AD_IFINDEX)),
        SockFilter::new(EQUAL, 1, 0, link),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// One word of a packet that must have a value where the mask is set.
struct Word {
    at: u32,
    mask: u32,
    is: u32,
}

/// A classic BPF program that keeps packets of the link that match a suspect: the kernel leaves the rest out, so that
/// a fast transfer cannot push a suspect out of the socket's buffer.
fn program(link: u32, suspects: &[Suspect]) -> Vec<SockFilter> {
    let mut program = Vec::from(only_link(link));
    for suspect in suspects {
        let tests = tests(suspect);
        let count = u8::try_from(tests.len()).unwrap_or(0);
        for (index, test) in (0..count).zip(tests) {
            // On a mismatch: over the tests of this suspect that are left, and its `return`.
            let over = (count - 1 - index) * 3 + 1;
            program.push(SockFilter::new(LOAD, 0, 0, test.at));
            program.push(SockFilter::new(AND, 0, 0, test.mask));
            program.push(SockFilter::new(EQUAL, 0, over, test.is));
        }
        program.push(SockFilter::new(RETURN, 0, 0, KEPT));
    }
    program.push(SockFilter::new(RETURN, 0, 0, 0));
    program
}

/// What must hold for a suspect: the family of its networks, and the words of its addresses.
fn tests(suspect: &Suspect) -> Vec<Word> {
    let mut tests = Vec::new();
    let sides = [(suspect.src, V4.src, V6.src), (suspect.dst, V4.dst, V6.dst)];
    for (net, v4, v6) in sides {
        let (header, at, mask, address) = match net {
            None => continue,
            Some(IpNet::V4(net)) => {
                (&V4, v4, net.netmask().octets().to_vec(), net.network().octets().to_vec())
            }
            Some(IpNet::V6(net)) => {
                (&V6, v6, net.netmask().octets().to_vec(), net.network().octets().to_vec())
            }
        };
        let protocol = ancillary(libc::SKF_AD_PROTOCOL);
        tests.push(Word { at: protocol, mask: u32::MAX, is: header.ethernet });
        for (index, (mask, is)) in words(&mask).zip(words(&address)).enumerate() {
            // A network of length 0 is all of its family.
            if mask != 0 {
                tests.push(Word { at: u32::try_from(at + 4 * index).unwrap_or(u32::MAX), mask, is });
            }
        }
    }
    tests
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks(4).map(|word| word.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
}
