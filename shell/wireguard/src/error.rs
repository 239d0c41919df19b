//! Why an engine cannot start, or had to stop.

use std::io;

use subm_types::{Family, IfName};

/// A device that cannot be attached to.
#[derive(Debug, thiserror::Error)]
#[error("attach to link {link}: {failure}")]
pub struct DeviceError {
    /// The link.
    pub link: IfName,
    /// Why not.
    #[source]
    pub failure: DeviceFailure,
}

impl DeviceError {
    pub(crate) fn new(link: &IfName, failure: DeviceFailure) -> Self {
        Self { link: link.clone(), failure }
    }
}

/// What stands in the way of a device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceFailure {
    /// Another process is attached to it.
    #[error("another process is attached to it: end that process, or give this one another link")]
    Busy,
    /// The kernel has no TUN driver.
    #[error("/dev/net/tun is not there: load the module `tun`, or use a veth pair")]
    NoTun,
    /// This user may not open the TUN driver.
    #[error("this user may not open /dev/net/tun: give it access, or use a veth pair")]
    TunClosed,
    /// The capability is missing.
    #[error("not permitted: it takes CAP_NET_ADMIN for a TUN link and CAP_NET_RAW for a packet socket")]
    NotPermitted,
    /// The name belongs to something else.
    #[error("a link of another kind has this name: remove or rename it")]
    OtherKind,
    /// There is no such link.
    #[error("it, or the far end of it, is not there: make the veth pair first")]
    NoLink,
    /// The kernel refused for another reason.
    #[error(transparent)]
    Refused(io::Error),
}

/// Why an engine does not run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The port is taken.
    #[error(
        "UDP port {port} ({family}) is in use in this network namespace: free it, or choose another port"
    )]
    PortInUse {
        /// The port.
        port: u16,
        /// For which family.
        family: Family,
    },
    /// A socket could not be had.
    #[error("open the UDP socket on port {port}: {source}")]
    Socket {
        /// The port.
        port: u16,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Threads or wake-ups could not be had.
    #[error("start the threads of the tunnel: {0}")]
    Threads(#[source] io::Error),
    /// The MTU of the device could not be read.
    #[error("read the MTU of link {link}: {source}")]
    Mtu {
        /// The link.
        link: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The link went away under the engine.
    #[error("link {link} is gone: make it again and start anew")]
    DeviceLost {
        /// The link.
        link: String,
    },
}
