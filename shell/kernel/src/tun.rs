//! TUN devices that outlive whoever opens them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;

use subm_types::IfName;

use crate::KernelError;

const PATH: &str = "/dev/net/tun";

/// Opens the device that TUN devices are made by.
pub(crate) fn openable() -> Result<File, KernelError> {
    let opened = OpenOptions::new().read(true).write(true).open(PATH);
    opened.map_err(|source| KernelError::Tun { operation: "open /dev/net/tun", source })
}

/// A TUN device that goes when this does, unless it is made to stay.
pub(crate) struct Tun(File);

impl Tun {
    /// Makes it, with offload headers, in the network namespace of the calling thread.
    pub(crate) fn make(name: &IfName) -> Result<Self, KernelError> {
        let file = openable()?;
        let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        let mut wanted = libc::ifreq {
            ifr_name: [0; libc::IFNAMSIZ],
            ifr_ifru: libc::__c_anonymous_ifr_ifru {
                ifru_flags: libc::c_short::try_from(flags).unwrap_or(0),
            },
        };
        for (place, byte) in wanted.ifr_name.iter_mut().zip(name.as_str().bytes()) {
            *place = libc::c_char::from_ne_bytes([byte]);
        }
        #[expect(
            unsafe_code,
            reason = "KERNEL: there is no other call; it uses one ifreq, which outlives it"
        )]
        let answer = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut wanted) };
        checked("make the TUN device", answer)?;
        Ok(Self(file))
    }

    /// Lets it stay when nobody has it open.
    pub(crate) fn persist(self) -> Result<(), KernelError> {
        #[expect(unsafe_code, reason = "KERNEL: there is no other call; it takes a number and no memory")]
        let answer = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TUNSETPERSIST, 1) };
        checked("keep the TUN device", answer)
    }
}

fn checked(operation: &'static str, answer: libc::c_int) -> Result<(), KernelError> {
    if answer == 0 { Ok(()) } else { Err(KernelError::Tun { operation, source: io::Error::last_os_error() }) }
}
