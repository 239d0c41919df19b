//! A TUN link: it outlives the process that attaches to it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use subm_types::IfName;

use super::request::{self, Request, set_number, set_number_at};
use super::{Device, Frame, NoFrame, write_after};
use crate::error::{DeviceError, DeviceFailure};
use crate::merge::Merges;
use crate::virtio::{HEADER_BYTES, Offload};

const PATH: &str = "/dev/net/tun";
/// IP packets without a protocol header, each after a header that says what is left to do.
#[expect(clippy::cast_possible_truncation, reason = "the flags have sixteen bits")]
const KIND: i16 = (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as i16;

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETPERSIST: libc::c_ulong = 0x4004_54cb;
const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
const TUNSETVNETHDRSZ: libc::c_ulong = 0x4004_54d8;

const OFFLOAD_CHECKSUM: libc::c_ulong = 0x01;
const OFFLOAD_TCP: libc::c_ulong = 0x02 | 0x04;
const OFFLOAD_UDP: libc::c_ulong = 0x20 | 0x40;

/// One queue of a TUN link.
#[derive(Debug)]
pub struct Tun {
    name: IfName,
    file: File,
    merges: Merges,
}

/// Makes a persistent TUN link in the namespace of this thread, or leaves the one of this name as it is.
pub fn create_tun(name: &IfName) -> Result<(), DeviceError> {
    let failed = |failure| DeviceError::new(name, failure);
    let file = open_file().map_err(failed)?;
    attach(&file, name).map_err(failed)?;
    set_number(file.as_fd(), TUNSETPERSIST, 1).map_err(|source| failed(DeviceFailure::Refused(source)))
}

impl Tun {
    /// Attaches to the TUN link of this name in the namespace of this thread, which is made if it is not there. It
    /// stays when the process ends.
    pub fn attach(name: &IfName) -> Result<Self, DeviceError> {
        let failed = |failure| DeviceError::new(name, failure);
        let refused = |source| failed(DeviceFailure::Refused(source));
        let file = open_file().map_err(failed)?;
        attach(&file, name).map_err(failed)?;
        set_number(file.as_fd(), TUNSETPERSIST, 1).map_err(refused)?;
        let header = libc::c_int::try_from(HEADER_BYTES).unwrap_or_default();
        set_number_at(file.as_fd(), TUNSETVNETHDRSZ, header).map_err(refused)?;
        let merges = offload(&file).map_err(refused)?;
        Ok(Self { name: name.clone(), file, merges })
    }
}

fn open_file() -> Result<File, DeviceFailure> {
    let opened = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(PATH);
    opened.map_err(|source| match source.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => DeviceFailure::NoTun,
        Some(libc::EACCES | libc::EPERM) => DeviceFailure::TunClosed,
        _ => DeviceFailure::Refused(source),
    })
}

fn attach(file: &File, name: &IfName) -> Result<(), DeviceFailure> {
    let attached = Request::about(name).with_flags(KIND).send(file.as_fd(), TUNSETIFF);
    attached.map_err(|source| match source.raw_os_error() {
        Some(libc::EBUSY) => DeviceFailure::Busy,
        Some(libc::EPERM) => DeviceFailure::NotPermitted,
        // The name is taken by a link of another kind, or by a TUN of another make.
        Some(libc::EINVAL) => DeviceFailure::OtherKind,
        _ => DeviceFailure::Refused(source),
    })
}

/// Asks for as much as the kernel can: UDP segmentation is there from Linux 6.2 on.
fn offload(file: &File) -> io::Result<Merges> {
    let tcp = OFFLOAD_CHECKSUM | OFFLOAD_TCP;
    if set_number(file.as_fd(), TUNSETOFFLOAD, tcp | OFFLOAD_UDP).is_ok() {
        return Ok(Merges { tcp: true, udp: true });
    }
    set_number(file.as_fd(), TUNSETOFFLOAD, tcp)?;
    Ok(Merges { tcp: true, udp: false })
}

impl Device for Tun {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn read(&self, buffer: &mut [u8]) -> Result<Frame, NoFrame> {
        let length = match (&self.file).read(buffer) {
            Ok(length) => length,
            Err(cause) if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Err(NoFrame::Empty);
            }
            Err(cause) => return Err(NoFrame::Lost(cause)),
        };
        let header = buffer[..length].first_chunk().ok_or(NoFrame::Foreign)?;
        let offload = Offload::read(header).ok_or(NoFrame::Foreign)?;
        Ok(Frame { offload, packet: HEADER_BYTES..length })
    }

    fn write(&self, offload: Offload, parts: &[IoSlice<'_>]) -> io::Result<()> {
        write_after(&offload.write(0), parts, |slices| (&self.file).write_vectored(slices))
    }

    fn merges(&self) -> Merges {
        self.merges
    }

    fn mtu(&self) -> io::Result<u32> {
        request::mtu(&self.name)
    }
}
