//! Links that a plan creates.

use std::fmt;
use std::net::IpAddr;

use subm_types::{IfName, MacAddress, Mtu};

/// A link with the attributes that matter; it is always up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it is. A change of kind is a new link: its routes vanish with the old one.
    pub kind: LinkKind,
    /// The MTU; `None` leaves it to the kernel.
    pub mtu: Option<Mtu>,
    /// The hardware address; `None` leaves it to the kernel.
    pub mac: Option<MacAddress>,
}

/// The kinds of links that we make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkKind {
    /// A VXLAN device with external peers in its forwarding table.
    Vxlan(Vxlan),
    /// A bridge.
    Bridge,
    /// A TUN device that outlives whoever reads it, with offload headers (`IFF_VNET_HDR`).
    Tun,
    /// A pair of Ethernet devices; the other end is read where no TUN device can be opened.
    Veth(Veth),
    /// A device whose packets go by the IPsec policies of this identifier and no others; never 0.
    Xfrm(u32),
    /// A WireGuard device whose packets the kernel carries.
    Wireguard,
}

/// What a pair of Ethernet devices is told by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Veth {
    /// The other end, in the same namespace. Neither end resolves addresses.
    pub peer: IfName,
}

/// The attributes of a VXLAN device that cannot be changed once it exists (RFC 7348).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vxlan {
    /// The VXLAN network identifier, 24 bits.
    pub vni: u32,
    /// The UDP destination port, in host order.
    pub port: u16,
    /// The source address of outer packets; `None` leaves it to the route.
    pub local: Option<IpAddr>,
    /// The link that outer packets leave by; `None` leaves it to the route.
    pub dev: Option<IfName>,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            LinkKind::Vxlan(vxlan) => {
                write!(f, "vxlan id {} dstport {} nolearning", vxlan.vni, vxlan.port)?;
                if let Some(local) = vxlan.local {
                    write!(f, " local {local}")?;
                }
                if let Some(dev) = &vxlan.dev {
                    write!(f, " dev {dev}")?;
                }
            }
            LinkKind::Bridge => f.write_str("bridge")?,
            LinkKind::Tun => f.write_str("tun vnet_hdr persist")?,
            LinkKind::Veth(veth) => write!(f, "veth peer name {} noarp", veth.peer)?,
            LinkKind::Xfrm(identifier) => write!(f, "xfrm if_id {identifier}")?,
            LinkKind::Wireguard => f.write_str("wireguard")?,
        }
        self.write_changeable(f)
    }
}

impl Link {
    /// What can be changed while the link stands.
    pub(crate) fn write_changeable(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        if let Some(mac) = self.mac {
            write!(f, " address {mac}")?;
        }
        f.write_str(" up")
    }
}
