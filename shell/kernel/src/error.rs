//! What the kernel refused, in its own words.

use std::fmt;

use subm_plan::Owner;
use subm_types::IfName;

/// Why the kernel's state could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A request was refused, or its answer could not be read.
    #[error("{operation}: {source}")]
    Netlink {
        /// What was asked for.
        operation: &'static str,
        /// The errno and the kernel's extended acknowledgement.
        #[source]
        source: nlink::Error,
    },
    /// A kernel parameter could not be written.
    #[error("write {path}: {source}")]
    Sysctl {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A TUN device could not be opened or made.
    #[error("{operation}: {source}")]
    Tun {
        /// What was asked for.
        operation: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A link cannot be opened to carry its packets.
    #[error(transparent)]
    Device(subm_wireguard::DeviceError),
    /// The WireGuard of a link does not start, or cannot be changed.
    #[error("WireGuard on link {name}: {source}")]
    Engine {
        /// The link.
        name: IfName,
        /// Why not.
        #[source]
        source: subm_wireguard::EngineError,
    },
    /// A peer that cannot be one.
    #[error(transparent)]
    Peer(subm_wireguard::PeerProblem),
    /// A link that has no WireGuard device, or can have none.
    #[error("link {0} is no WireGuard device")]
    NotWireguard(IfName),
    /// The runtime that netlink sockets live on could not be made.
    #[error("make a runtime for netlink: {0}")]
    Runtime(#[source] std::io::Error),
    /// A link of somebody else stands under a name that this owner needs.
    #[error("link {name} belongs to {holder}, not to {owner}: remove or rename it")]
    ForeignLink {
        /// The link.
        name: IfName,
        /// Whose it is, as far as it says so.
        holder: Holder,
        /// Who wanted it.
        owner: Owner,
    },
    /// A route of somebody else stands in the main table.
    #[error("a route of protocol {0} stands at this destination and metric in the main table: remove it")]
    ForeignRoute(u8),
    /// A link that is not there.
    #[error("link {0} is not there")]
    NoLink(IfName),
}

impl KernelError {
    pub(crate) const fn netlink(operation: &'static str) -> impl FnOnce(nlink::Error) -> Self {
        move |source| Self::Netlink { operation, source }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Netlink { source, .. } => source.is_busy() || source.is_try_again() || source.is_timeout(),
            Self::NoLink(_) | Self::NotWireguard(_) | Self::Engine { .. } => true,
            Self::Sysctl { .. }
            | Self::Tun { .. }
            | Self::Device(_)
            | Self::Peer(_)
            | Self::Runtime(_)
            | Self::ForeignLink { .. }
            | Self::ForeignRoute(_) => false,
        }
    }
}

/// Whose a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(pub(crate) Option<String>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(alias) => write!(f, "whoever gave it the alias {alias:?}"),
            None => f.write_str("an unknown owner (it has no alias)"),
        }
    }
}
