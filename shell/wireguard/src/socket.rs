//! The UDP sockets of one port, one per family.

mod messages;

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use subm_types::Family;

pub(crate) use messages::{Inbox, Message};

use crate::error::EngineError;

/// Longer queues than the kernel gives by itself: a burst while the threads are busy is not lost.
const QUEUE_BYTES: usize = 7 << 20;
/// A full queue holds up a thread no longer than this, so that it can be told to end.
const LONGEST_WAIT: Duration = Duration::from_millis(200);
/// The most payload of one UDP datagram over IPv4, also of one that is cut by the kernel.
pub(crate) const LONGEST_DATAGRAM: usize = 65_507;
/// As many datagrams the kernel makes of one message.
pub(crate) const MOST_SEGMENTS: usize = 64;

/// Datagrams to one address: equally long ones, the last of which may be shorter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Train {
    pub(crate) to: SocketAddr,
    pub(crate) at: usize,
    pub(crate) length: usize,
    pub(crate) segment: usize,
}

/// The sockets of a port. A family that the kernel lacks has none.
#[derive(Debug)]
pub(crate) struct Sockets {
    port: u16,
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
}

#[derive(Debug)]
pub(crate) struct UdpSocket {
    socket: Socket,
    /// Whether the kernel cuts messages; it may turn out that the way out cannot.
    cuts: AtomicBool,
}

impl Sockets {
    /// Binds the port in the namespace of this thread; 0 lets the kernel choose one that is free in both families.
    pub(crate) fn bind(port: u16) -> Result<Self, EngineError> {
        let v4 = UdpSocket::bind(Family::V4, port)?;
        let chosen = match &v4 {
            Some(socket) => socket.port().map_err(|source| EngineError::Socket { port, source })?,
            None => port,
        };
        let v6 = UdpSocket::bind(Family::V6, chosen)?;
        let port = match (&v4, &v6) {
            (None, Some(socket)) => socket.port().map_err(|source| EngineError::Socket { port, source })?,
            (None, None) => {
                return Err(EngineError::Socket { port, source: io::Error::from(ErrorKind::Unsupported) });
            }
            (Some(_), _) => chosen,
        };
        Ok(Self { port, v4, v6 })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The sockets that are there.
    pub(crate) fn each(&self) -> impl Iterator<Item = &UdpSocket> {
        self.v4.iter().chain(&self.v6)
    }

    /// Sends trains of one buffer. What cannot be sent is lost, as on any link.
    pub(crate) fn send(&self, buffer: &[u8], trains: &[Train]) {
        for run in trains.chunk_by(|one, next| one.to.is_ipv4() == next.to.is_ipv4()) {
            let socket = if run[0].to.is_ipv4() { &self.v4 } else { &self.v6 };
            if let Some(socket) = socket {
                socket.send(buffer, run);
            }
        }
    }
}

impl UdpSocket {
    fn bind(family: Family, port: u16) -> Result<Option<Self>, EngineError> {
        match Self::open(family, port) {
            Ok(socket) => Ok(Some(socket)),
            Err(cause) if cause.kind() == ErrorKind::AddrInUse => {
                Err(EngineError::PortInUse { port, family })
            }
            // IPv6 may be compiled out or switched off.
            Err(cause) if matches!(cause.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {
                Ok(None)
            }
            Err(source) => Err(EngineError::Socket { port, source }),
        }
    }

    fn open(family: Family, port: u16) -> io::Result<Self> {
        let (domain, any) = match family {
            Family::V4 => (Domain::IPV4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
            Family::V6 => (Domain::IPV6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
        };
        let socket = Socket::new(domain, Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
        if family == Family::V6 {
            socket.set_only_v6(true)?;
        }
        messages::grow(&socket, QUEUE_BYTES);
        socket.set_write_timeout(Some(LONGEST_WAIT))?;
        if messages::join_received(&socket).is_err() {
            tracing::debug!(%family, "the kernel does not join received datagrams (UDP_GRO)");
        }
        socket.bind(&any.into())?;
        let cuts = messages::cuts(&socket);
        Ok(Self { socket, cuts: AtomicBool::new(cuts) })
    }

    fn port(&self) -> io::Result<u16> {
        let address = SockRef::from(&self.socket).local_addr()?;
        address.as_socket().map(|address| address.port()).ok_or_else(|| ErrorKind::InvalidData.into())
    }

    fn send(&self, buffer: &[u8], mut trains: &[Train]) {
        while let Some((first, others)) = trains.split_first() {
            if !self.cuts.load(Relaxed) {
                self.send_apart(buffer, first);
                trains = others;
                continue;
            }
            let (sent, failure) = messages::send(&self.socket, buffer, trains);
            trains = &trains[sent..];
            if let (Some(cause), Some((train, rest))) = (failure, trains.split_first()) {
                trains = rest;
                self.after_failure(buffer, train, &cause);
            }
        }
    }

    fn after_failure(&self, buffer: &[u8], train: &Train, cause: &io::Error) {
        match cause.raw_os_error() {
            // The way out computes no checksums: the kernel refuses to cut for it, today and tomorrow.
            Some(libc::EIO) if train.length > train.segment => {
                self.cut_no_more(train);
                self.send_apart(buffer, train);
            }
            // A datagram is longer than the path takes: alone it may still go in fragments.
            Some(libc::EINVAL | libc::EMSGSIZE) if train.length > train.segment => {
                self.send_apart(buffer, train);
            }
            _ => tracing::trace!(to = %train.to, %cause, "datagrams were not sent"),
        }
    }

    fn cut_no_more(&self, train: &Train) {
        tracing::debug!(to = %train.to, "the kernel cannot cut datagrams on this way; sending them one by one");
        self.cuts.store(false, Relaxed);
    }

    fn send_apart(&self, buffer: &[u8], train: &Train) {
        let end = train.at + train.length;
        let mut at = train.at;
        while at < end {
            let length = train.segment.min(end - at);
            let one = Train { at, length, segment: length, ..*train };
            if let (_, Some(cause)) = messages::send(&self.socket, buffer, &[one]) {
                tracing::trace!(to = %train.to, %cause, "a datagram was not sent");
            }
            at += length;
        }
    }

    /// Takes what waits, up to the inbox's room; none if nothing does.
    pub(crate) fn receive(&self, inbox: &mut Inbox) -> io::Result<usize> {
        messages::receive(&self.socket, inbox)
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
