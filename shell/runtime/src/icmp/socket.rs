//! One ICMP socket: echo requests out, echo replies in.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, recvfrom, sendmsg};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use subm_probe::icmp::{Message, after_ipv4_header, decode, encode};
use subm_probe::{Echo, Transmit};
use subm_types::Family;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// As many replies are read before others have their turn.
const BATCH: usize = 256;

pub(super) struct IcmpSocket {
    family: Family,
    /// Raw IPv4 sockets deliver the IP header too.
    with_header: bool,
    /// Datagrams with addresses and readiness are all that is asked of it, so tokio's type for them serves.
    socket: UdpSocket,
}

impl IcmpSocket {
    /// A raw socket, or where that is forbidden the datagram socket that `net.ipv4.ping_group_range` permits.
    pub(super) fn open(family: Family, identifier: u16) -> io::Result<Self> {
        let (domain, protocol) = match family {
            Family::V4 => (Domain::IPV4, Protocol::ICMPV4),
            Family::V6 => (Domain::IPV6, Protocol::ICMPV6),
        };
        let (socket, raw) = match Socket::new(domain, Type::RAW, Some(protocol)) {
            Ok(socket) => {
                socket.attach_filter(&replies_only(family, identifier))?;
                (socket, true)
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                (Socket::new(domain, Type::DGRAM, Some(protocol))?, false)
            }
            Err(error) => return Err(error),
        };
        socket.set_nonblocking(true)?;
        let with_header = raw && family == Family::V4;
        let socket = UdpSocket::from_std(std::net::UdpSocket::from(OwnedFd::from(socket)))?;
        Ok(Self { family, with_header, socket })
    }

    /// Sends a request, from the address that it names.
    pub(super) fn send(&self, transmit: &Transmit) -> io::Result<()> {
        let bytes = encode(self.family, &Message::Request(transmit.echo.clone()));
        let parts = [IoSlice::new(&bytes)];
        let to = SockaddrStorage::from(SocketAddr::new(transmit.to, 0));
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        match transmit.from {
            None => sendmsg(fd, &parts, &[], flags, Some(&to)),
            Some(IpAddr::V4(from)) => {
                let source = libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
                let none = libc::in_addr { s_addr: 0 };
                let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: none };
                sendmsg(fd, &parts, &[ControlMessage::Ipv4PacketInfo(&info)], flags, Some(&to))
            }
            Some(IpAddr::V6(from)) => {
                let source = libc::in6_addr { s6_addr: from.octets() };
                let info = libc::in6_pktinfo { ipi6_addr: source, ipi6_ifindex: 0 };
                sendmsg(fd, &parts, &[ControlMessage::Ipv6PacketInfo(&info)], flags, Some(&to))
            }
        }
        .map(drop)
        .map_err(io::Error::from)
    }

    /// Waits for replies and takes those that are there.
    pub(super) async fn replies(&self) -> Vec<(IpAddr, Echo)> {
        let read = self.socket.async_io(Interest::READABLE, || self.read());
        // An error of the socket is one of an earlier request (an ICMP error that came back), not of the reading.
        read.await.unwrap_or_default()
    }

    fn read(&self) -> io::Result<Vec<(IpAddr, Echo)>> {
        let mut replies = Vec::new();
        let mut buffer = [0_u8; 256];
        for _ in 0..BATCH {
            let (length, from) = match recvfrom::<SockaddrStorage>(self.socket.as_raw_fd(), &mut buffer) {
                Ok(received) => received,
                Err(_) if !replies.is_empty() => break,
                Err(error) => return Err(error.into()),
            };
            let packet = buffer.get(..length).unwrap_or_default();
            let message = if self.with_header { after_ipv4_header(packet) } else { Ok(packet) };
            let message = message.and_then(|bytes| decode(self.family, bytes));
            if let (Some(from), Ok(Message::Reply(echo))) = (from.and_then(address), message) {
                replies.push((from, echo));
            }
        }
        Ok(replies)
    }
}

fn address(from: SockaddrStorage) -> Option<IpAddr> {
    let v4 = from.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| from.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

/// A classic BPF program that lets pass echo replies with our identifier: a raw socket sees every ICMP message of
/// the host otherwise.
///
/// KERNEL: the program of an IPv4 socket sees the IP header first, that of an IPv6 socket the ICMP header.
fn replies_only(family: Family, identifier: u16) -> Vec<SockFilter> {
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE_BEHIND_X: u16 = 0x50;
    const LOAD_HALF_BEHIND_X: u16 = 0x48;
    const X_IS_HEADER_LENGTH: u16 = 0xb1;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let (byte, half, reply) = match family {
        Family::V4 => (LOAD_BYTE_BEHIND_X, LOAD_HALF_BEHIND_X, 0),
        Family::V6 => (LOAD_BYTE, LOAD_HALF, 129),
    };
    let test = [
        SockFilter::new(byte, 0, 0, 0),
        SockFilter::new(JUMP_IF_EQUAL, 0, 3, reply),
        SockFilter::new(half, 0, 0, 4),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, u32::from(identifier)),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ];
    let header = (family == Family::V4).then(|| SockFilter::new(X_IS_HEADER_LENGTH, 0, 0, 0));
    header.into_iter().chain(test).collect()
}
