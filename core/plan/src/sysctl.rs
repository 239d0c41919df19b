//! Kernel parameters of the network.

use std::fmt;

use subm_types::{Family, IfName};

/// A parameter below `/proc/sys/net`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SysctlKey {
    /// `net.ipv6.conf.LINK.accept_ra`: 2 follows router advertisements although the link forwards, 0 never.
    ///
    /// KERNEL: where it is 1, the routes that were advertised go as soon as forwarding is switched on. So it is
    /// written first: the order of the keys is the order of writing.
    AcceptRa(IfName),
    /// `net.ipv4.ip_forward` or `net.ipv6.conf.all.forwarding`: 1 lets packets pass through this node.
    Forwarding(Family),
    /// `net.ipv4.conf.LINK.rp_filter`: 0 off, 1 strict, 2 loose (RFC 3704). The kernel uses the larger of the
    /// link's and that of `all`.
    RpFilter(IfName),
    /// `net.ipv4.conf.LINK.send_redirects`: 0 keeps the node from telling senders of better ways.
    SendRedirects(IfName),
    /// `net.ipv4.conf.LINK.forwarding` or `net.ipv6.conf.LINK.forwarding`.
    LinkForwarding(Family, IfName),
    /// `net.ipv6.conf.LINK.addr_gen_mode`: 1 keeps the kernel from making link-local addresses.
    AddrGenMode(IfName),
}

impl SysctlKey {
    /// The link that the parameter belongs to, where it is not the whole node's.
    pub const fn link(&self) -> Option<&IfName> {
        match self {
            Self::Forwarding(_) => None,
            Self::AcceptRa(link)
            | Self::RpFilter(link)
            | Self::SendRedirects(link)
            | Self::LinkForwarding(_, link)
            | Self::AddrGenMode(link) => Some(link),
        }
    }

    /// The file below `/proc/sys`. Link names stand for themselves, dots and all.
    pub fn path(&self) -> String {
        match self {
            Self::Forwarding(Family::V4) => "net/ipv4/ip_forward".to_owned(),
            Self::Forwarding(Family::V6) => "net/ipv6/conf/all/forwarding".to_owned(),
            Self::AcceptRa(link) => format!("net/ipv6/conf/{link}/accept_ra"),
            Self::RpFilter(link) => format!("net/ipv4/conf/{link}/rp_filter"),
            Self::SendRedirects(link) => format!("net/ipv4/conf/{link}/send_redirects"),
            Self::LinkForwarding(Family::V4, link) => format!("net/ipv4/conf/{link}/forwarding"),
            Self::LinkForwarding(Family::V6, link) => format!("net/ipv6/conf/{link}/forwarding"),
            Self::AddrGenMode(link) => format!("net/ipv6/conf/{link}/addr_gen_mode"),
        }
    }
}

impl fmt::Display for SysctlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path().replace('/', "."))
    }
}

/// A parameter with the value that it must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sysctl {
    /// The parameter.
    pub key: SysctlKey,
    /// Its value.
    pub value: u32,
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.key, self.value)
    }
}
