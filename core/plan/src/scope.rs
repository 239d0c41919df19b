//! What a daemon owns on a node, so that several share it and each finds its own after a crash.

use std::collections::BTreeSet;
use std::fmt;

use subm_types::IfName;

use crate::nft::{TableFamily, TableName};

/// Who put something there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub &'static str);

impl Owner {
    /// The alias that its links carry.
    pub fn alias(self) -> String {
        format!("submariner:{}", self.0)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The protocol number that an owner's routes and rules carry (`rtm_protocol` in `linux/rtnetlink.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteProtocol(pub u8);

/// What belongs to one daemon: nothing else is ever changed or deleted by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Whose it is.
    pub owner: Owner,
    /// Marks its routes and rules, in every table.
    pub protocol: RouteProtocol,
    /// The links that it may make; those that stand under such a name with its alias are its own.
    pub links: BTreeSet<IfName>,
    /// Its packet-filter table.
    pub table: TableName,
}

impl Scope {
    /// The gateway's: cables, and the routes into them.
    pub fn gateway() -> Self {
        Self::of(
            Owner("gateway"),
            RouteProtocol(83),
            &["submariner", "vxlan-tunnel", "vxlan-tunnel-6", "ipsec83"],
        )
    }

    /// The route agent's: the overlay, the ways to the gateway, the packet filter.
    pub fn route_agent() -> Self {
        Self::of(Owner("route-agent"), RouteProtocol(84), &["vx-submariner"])
    }

    /// A scope of this owner; its packet-filter table is `inet submariner-OWNER`.
    pub fn of(owner: Owner, protocol: RouteProtocol, links: &[&'static str]) -> Self {
        let table = TableName { family: TableFamily::Inet, name: format!("submariner-{owner}") };
        let links = links.iter().map(|name| IfName::constant(name)).collect();
        Self { owner, protocol, links, table }
    }
}
