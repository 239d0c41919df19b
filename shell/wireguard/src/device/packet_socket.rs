//! One end of a veth pair behind a packet socket: for those who may not open `/dev/net/tun`.
//!
//! Packets that the kernel routes into the link come out at its other end, which this socket listens on; what is
//! sent there arrives on the link. Both ends have no ARP, and the other end no addresses of its own.

use std::io::{self, ErrorKind, IoSlice, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};
use subm_types::{IfName, MacAddress};

use super::request;
use super::{Device, Frame, NoFrame, write_after};
use crate::error::{DeviceError, DeviceFailure};
use crate::headers::{Version, low16};
use crate::merge::Merges;
use crate::virtio::{HEADER_BYTES, Offload};

/// Destination, source and type.
const ETHERNET: usize = 14;
const TYPE_V4: [u8; 2] = [0x08, 0x00];
const TYPE_V6: [u8; 2] = [0x86, 0xdd];
/// Room for some hundred large frames; the kernel gives less where the limit is lower.
const QUEUE_BYTES: usize = 8 << 20;

/// A packet socket on the far end of a veth link.
#[derive(Debug)]
pub struct PacketSocket {
    name: IfName,
    far: IfName,
    far_index: i32,
    socket: Socket,
    /// The addresses of the link and of the far end, which each frame to the link begins with.
    addresses: [u8; 12],
}

impl PacketSocket {
    /// Listens on `far`, the other end of the veth link `name`, in the namespace of this thread.
    pub fn attach(name: &IfName, far: &IfName) -> Result<Self, DeviceError> {
        Self::open(name, far).map_err(|source| {
            DeviceError::new(
                name,
                match source.raw_os_error() {
                    Some(libc::EPERM) => DeviceFailure::NotPermitted,
                    Some(libc::ENODEV) => DeviceFailure::NoLink,
                    _ => DeviceFailure::Refused(source),
                },
            )
        })
    }

    fn open(name: &IfName, far: &IfName) -> io::Result<Self> {
        let (MacAddress(to), MacAddress(from)) = (request::mac(name)?, request::mac(far)?);
        let far_index = request::index(far)?;
        // Without a protocol nothing is queued until the socket is bound to its link.
        let socket = Socket::new(Domain::PACKET, Type::RAW.cloexec().nonblocking(), Some(Protocol::from(0)))?;
        option(&socket, libc::PACKET_VNET_HDR, 1)?;
        option(&socket, libc::PACKET_IGNORE_OUTGOING, 1)?;
        // Straight to the link: a veth has no queue to wait in.
        option(&socket, libc::PACKET_QDISC_BYPASS, 1)?;
        grow(&socket);
        socket.bind(&address(far_index))?;
        let mut addresses = [0; 12];
        addresses[..6].copy_from_slice(&to);
        addresses[6..].copy_from_slice(&from);
        Ok(Self { name: name.clone(), far: far.clone(), far_index, socket, addresses })
    }

    /// Down is not gone: a link that is down says so once and may come up again.
    fn is_there(&self) -> bool {
        request::index(&self.far).is_ok_and(|index| index == self.far_index)
    }
}

fn option(socket: &Socket, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or_default();
    #[expect(unsafe_code, reason = "the option is an int, which is alive, and its length is given")]
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, name, (&raw const value).cast(), length)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Asks for long queues, beyond the limit where that is allowed.
fn grow(socket: &Socket) {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or_default();
    let bytes = libc::c_int::try_from(QUEUE_BYTES).unwrap_or(libc::c_int::MAX);
    for (forced, plain) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
    {
        for name in [plain, forced] {
            #[expect(unsafe_code, reason = "the option is an int, which is alive, and its length is given")]
            let done = unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_SOCKET,
                    name,
                    (&raw const bytes).cast(),
                    length,
                )
            };
            if done < 0 {
                tracing::debug!(option = name, "the packet socket keeps a shorter queue");
            }
        }
    }
}

fn address(link: i32) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    #[expect(unsafe_code, reason = "a sockaddr_ll fits into the storage, and its zeroed bytes are valid")]
    let packet = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    packet.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
    packet.sll_protocol = u16::try_from(libc::ETH_P_ALL).unwrap_or_default().to_be();
    packet.sll_ifindex = link;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default();
    #[expect(unsafe_code, reason = "the storage holds a sockaddr_ll of this length")]
    unsafe {
        SockAddr::new(storage, length)
    }
}

impl Device for PacketSocket {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn read(&self, buffer: &mut [u8]) -> Result<Frame, NoFrame> {
        let length = match (&self.socket).read(buffer) {
            Ok(length) => length,
            Err(cause) if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Err(NoFrame::Empty);
            }
            Err(cause) if self.is_there() => {
                tracing::debug!(link = %self.far, %cause, "the far end of the link is down");
                return Err(NoFrame::Empty);
            }
            Err(cause) => return Err(NoFrame::Lost(cause)),
        };
        let packet = HEADER_BYTES + ETHERNET..length;
        let header = buffer[..length].first_chunk().ok_or(NoFrame::Foreign)?;
        let mut offload = Offload::read(header).ok_or(NoFrame::Foreign)?;
        if packet.is_empty()
            || ![TYPE_V4, TYPE_V6].iter().any(|kind| buffer[packet.start - 2..packet.start] == *kind)
        {
            return Err(NoFrame::Foreign);
        }
        if offload.partial_checksum {
            let inner = |at: u16| at.checked_sub(low16(ETHERNET)).ok_or(NoFrame::Foreign);
            offload.checksum_start = inner(offload.checksum_start)?;
        }
        Ok(Frame { offload, packet })
    }

    fn write(&self, offload: Offload, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut header = [0; HEADER_BYTES + ETHERNET];
        header[..HEADER_BYTES].copy_from_slice(&offload.write(low16(ETHERNET)));
        header[HEADER_BYTES..HEADER_BYTES + 12].copy_from_slice(&self.addresses);
        let kind = match parts.first().and_then(|head| Version::of(head)) {
            Some(Version::V4) => TYPE_V4,
            Some(Version::V6) => TYPE_V6,
            None => return Err(ErrorKind::InvalidData.into()),
        };
        header[HEADER_BYTES + 12..].copy_from_slice(&kind);
        write_after(&header, parts, |slices| self.socket.send_vectored(slices))
    }

    fn merges(&self) -> Merges {
        Merges { tcp: true, udp: true }
    }

    fn mtu(&self) -> io::Result<u32> {
        request::mtu(&self.name)
    }
}
