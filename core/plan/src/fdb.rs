//! Forwarding entries of VXLAN devices and neighbours behind them, always permanent.

use std::fmt;
use std::net::IpAddr;

use subm_types::{IfName, MacAddress};

/// Where a VXLAN device sends frames for a hardware address.
///
/// Several entries with [`MacAddress::ZERO`] may exist on one link: unknown frames go to each of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FdbEntry {
    /// The VXLAN device.
    pub dev: IfName,
    /// The inner destination.
    pub mac: MacAddress,
    /// The outer destination.
    pub dst: IpAddr,
    /// The outer UDP destination port, where it is not the device's own.
    pub port: Option<u16>,
}

impl fmt::Display for FdbEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {} dst {}", self.mac, self.dev, self.dst)?;
        if let Some(port) = self.port {
            write!(f, " port {port}")?;
        }
        f.write_str(" self permanent")
    }
}

/// The hardware address of a neighbour, so that nobody has to ask for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Neighbour {
    /// The link.
    pub dev: IfName,
    /// The neighbour's address.
    pub address: IpAddr,
    /// Its hardware address.
    pub mac: MacAddress,
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {} lladdr {} PERMANENT", self.address, self.dev, self.mac)
    }
}
