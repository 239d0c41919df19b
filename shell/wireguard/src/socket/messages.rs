//! Many datagrams with one system call: `sendmmsg` with `UDP_SEGMENT`, `recvmmsg` with `UDP_GRO`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::AsRawFd as _;

use libc::{c_int, c_void, iovec, mmsghdr, sockaddr_storage, socklen_t};
use socket2::{SockAddr, Socket};

use super::Train;

/// Room for one message: all that the kernel joins.
const LONGEST_MESSAGE: usize = 65_536;
/// As many messages go with one call.
const MOST_MESSAGES: usize = 32;
/// Room for one control message with an int, aligned as its header wants.
type Control = [u64; 4];

const UDP_SEGMENT: c_int = 103;
const UDP_GRO: c_int = 104;

/// What came with one message: datagrams of `segment` bytes each, the last of which may be shorter.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) from: SocketAddr,
    pub(crate) range: Range<usize>,
    pub(crate) segment: usize,
}

/// Room for the messages of one call. Its pages take memory once something is written to them.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) buffer: Vec<u8>,
    pub(crate) messages: Vec<Message>,
    /// How many messages the next call may take.
    pub(crate) room: usize,
}

impl Inbox {
    /// An inbox of at most this many messages.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.min(MOST_MESSAGES);
        Self { buffer: vec![0; most * LONGEST_MESSAGE], messages: Vec::with_capacity(most), room: most }
    }

    /// How many messages it could ever take.
    pub(crate) fn most(&self) -> usize {
        self.buffer.len() / LONGEST_MESSAGE
    }
}

/// Empty arrays that the kernel's structures point into. They live on the stack for one call.
struct Calls {
    headers: [mmsghdr; MOST_MESSAGES],
    parts: [iovec; MOST_MESSAGES],
    addresses: [sockaddr_storage; MOST_MESSAGES],
    controls: [Control; MOST_MESSAGES],
}

impl Calls {
    fn new() -> Self {
        #[expect(unsafe_code, reason = "C structures of integers and pointers, for which zero is valid")]
        unsafe {
            std::mem::zeroed()
        }
    }
}

/// Sends trains; tells how many went before the one that failed, and why it did.
pub(super) fn send(socket: &Socket, buffer: &[u8], trains: &[Train]) -> (usize, Option<io::Error>) {
    let mut calls = Calls::new();
    let mut addresses: [Option<SockAddr>; MOST_MESSAGES] = [const { None }; MOST_MESSAGES];
    let count = trains.len().min(MOST_MESSAGES);
    for (at, train) in trains[..count].iter().enumerate() {
        let address = addresses[at].insert(SockAddr::from(train.to));
        let bytes = &buffer[train.at..train.at + train.length];
        calls.parts[at] = iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let header = &mut calls.headers[at].msg_hdr;
        header.msg_name = address.as_ptr().cast_mut().cast();
        header.msg_namelen = address.len();
        header.msg_iov = &raw mut calls.parts[at];
        header.msg_iovlen = 1;
        if train.length > train.segment {
            set_segment(header, &mut calls.controls[at], train.segment);
        }
    }
    #[expect(
        unsafe_code,
        reason = "the headers point to addresses, parts and controls that outlive the call"
    )]
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), calls.headers.as_mut_ptr(), number(count), 0) };
    match usize::try_from(sent) {
        Ok(sent) if sent > 0 || count == 0 => (sent, None),
        Ok(_) => (0, Some(io::ErrorKind::WriteZero.into())),
        Err(_) => (0, Some(io::Error::last_os_error())),
    }
}

fn set_segment(header: &mut libc::msghdr, control: &mut Control, segment: usize) {
    let segment = u16::try_from(segment).unwrap_or(u16::MAX);
    header.msg_control = control.as_mut_ptr().cast();
    #[expect(
        unsafe_code,
        reason = "the control has room for one header with two bytes, and is aligned for it"
    )]
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(2) as _;
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = libc::SOL_UDP;
        (*first).cmsg_type = UDP_SEGMENT;
        (*first).cmsg_len = libc::CMSG_LEN(2) as _;
        libc::CMSG_DATA(first).cast::<u16>().write_unaligned(segment);
    }
}

/// Takes messages without waiting.
pub(super) fn receive(socket: &Socket, inbox: &mut Inbox) -> io::Result<usize> {
    inbox.messages.clear();
    let mut calls = Calls::new();
    let room = inbox.room.clamp(1, inbox.most());
    for (at, slot) in inbox.buffer.chunks_exact_mut(LONGEST_MESSAGE).take(room).enumerate() {
        calls.parts[at] = iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
        let header = &mut calls.headers[at].msg_hdr;
        header.msg_name = (&raw mut calls.addresses[at]).cast::<c_void>();
        header.msg_namelen = length_of::<sockaddr_storage>();
        header.msg_iov = &raw mut calls.parts[at];
        header.msg_iovlen = 1;
        header.msg_control = calls.controls[at].as_mut_ptr().cast();
        header.msg_controllen = size_of::<Control>() as _;
    }
    #[expect(
        unsafe_code,
        reason = "the headers point to addresses, parts and controls that outlive the call"
    )]
    let got = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            calls.headers.as_mut_ptr(),
            number(room),
            libc::MSG_DONTWAIT as _,
            std::ptr::null_mut(),
        )
    };
    let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    for at in 0..got {
        let header = &calls.headers[at];
        let length = (header.msg_len as usize).min(LONGEST_MESSAGE);
        let Some(from) = address(&calls.addresses[at]) else { continue };
        let segment = joined(&header.msg_hdr).unwrap_or(length).max(1);
        let start = at * LONGEST_MESSAGE;
        inbox.messages.push(Message { from, range: start..start + length, segment });
    }
    Ok(got)
}

/// The length of the datagrams that were joined, if they were.
fn joined(header: &libc::msghdr) -> Option<usize> {
    #[expect(unsafe_code, reason = "the kernel filled the control of this header, which is still alive")]
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while !control.is_null() {
            if (*control).cmsg_level == libc::SOL_UDP && (*control).cmsg_type == UDP_GRO {
                let segment = libc::CMSG_DATA(control).cast::<c_int>().read_unaligned();
                return usize::try_from(segment).ok().filter(|segment| *segment > 0);
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}

fn address(storage: &sockaddr_storage) -> Option<SocketAddr> {
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            #[expect(
                unsafe_code,
                reason = "the family says that the storage, which is larger, holds this kind"
            )]
            let v4 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            #[expect(
                unsafe_code,
                reason = "the family says that the storage, which is larger, holds this kind"
            )]
            let v6 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id)))
        }
        _ => None,
    }
}

/// Asks the kernel to join datagrams of one sender before they are received.
pub(super) fn join_received(socket: &Socket) -> io::Result<()> {
    set(socket, libc::SOL_UDP, UDP_GRO, 1)
}

/// Whether the kernel knows how to cut messages into datagrams.
pub(super) fn cuts(socket: &Socket) -> bool {
    // Zero is what it is set to already: nothing changes but the answer.
    set(socket, libc::SOL_UDP, UDP_SEGMENT, 0).is_ok()
}

/// Asks for long queues, beyond the system's limit where that is allowed.
pub(super) fn grow(socket: &Socket, bytes: usize) {
    let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    for (plain, forced) in [(libc::SO_RCVBUF, libc::SO_RCVBUFFORCE), (libc::SO_SNDBUF, libc::SO_SNDBUFFORCE)]
    {
        let done = set(socket, libc::SOL_SOCKET, forced, bytes)
            .or_else(|_| set(socket, libc::SOL_SOCKET, plain, bytes));
        if let Err(cause) = done {
            tracing::debug!(%cause, "the socket keeps a shorter queue");
        }
    }
}

fn set(socket: &Socket, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    #[expect(unsafe_code, reason = "the option is an int, which is alive, and its length is given")]
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length_of::<c_int>())
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn length_of<T>() -> socklen_t {
    socklen_t::try_from(size_of::<T>()).unwrap_or_default()
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
