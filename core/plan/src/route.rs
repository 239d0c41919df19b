//! Routes and the rules that choose routing tables.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use subm_types::{Family, IfName, Mtu};

/// A routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

impl TableId {
    /// The table that every packet ends in (`RT_TABLE_MAIN` in `linux/rtnetlink.h`).
    pub const MAIN: Self = Self(254);
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::MAIN { f.write_str("main") } else { write!(f, "{}", self.0) }
    }
}

/// What the kernel tells one route of a table from another by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// The table.
    pub table: TableId,
    /// The destination, host bits cleared.
    pub dst: IpNet,
    /// The metric (priority): of two routes to one destination the lower is used. IPv6 knows no 0: the kernel
    /// makes it 1024, so plans always give IPv6 routes one.
    pub metric: u32,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// Out of a link, perhaps by a next hop.
    Link {
        /// The link.
        dev: IfName,
        /// The next hop; it is taken to be on the link (`onlink`).
        via: Option<IpAddr>,
    },
    /// Nowhere: the sender is told so.
    Unreachable,
}

/// A route's value; its key stands beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub target: RouteTarget,
    /// The source address for packets that this node begins.
    pub src: Option<IpAddr>,
    /// A smaller MTU than the link's.
    pub mtu: Option<Mtu>,
}

impl Route {
    /// The route that tells senders that the destination is not to be had.
    pub const UNREACHABLE: Self = Self { target: RouteTarget::Unreachable, src: None, mtu: None };

    /// A route out of a link.
    pub const fn dev(dev: IfName) -> Self {
        Self { target: RouteTarget::Link { dev, via: None }, src: None, mtu: None }
    }

    /// A route by a next hop on a link.
    pub const fn via(dev: IfName, via: IpAddr) -> Self {
        Self { target: RouteTarget::Link { dev, via: Some(via) }, src: None, mtu: None }
    }
}

impl Route {
    pub(crate) fn write(&self, key: &RouteKey, f: &mut impl fmt::Write) -> fmt::Result {
        match &self.target {
            RouteTarget::Unreachable => write!(f, "unreachable {}", key.dst)?,
            RouteTarget::Link { dev, via: Some(via) } => write!(f, "{} via {via} dev {dev} onlink", key.dst)?,
            RouteTarget::Link { dev, via: None } => write!(f, "{} dev {dev}", key.dst)?,
        }
        if key.table != TableId::MAIN {
            write!(f, " table {}", key.table)?;
        }
        if let Some(src) = self.src {
            write!(f, " src {src}")?;
        }
        if key.metric != 0 {
            write!(f, " metric {}", key.metric)?;
        }
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        Ok(())
    }
}

/// What a packet must be for a rule to apply; everything absent matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleSelector {
    /// The source network.
    pub from: Option<IpNet>,
    /// The destination network.
    pub to: Option<IpNet>,
    /// The link that the packet arrived by (`lo` for packets of this node).
    pub iif: Option<IfName>,
}

/// A rule that sends packets to a routing table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// The family.
    pub family: Family,
    /// The place in the order of rules; lower is asked first.
    pub priority: u32,
    /// Which packets.
    pub selector: RuleSelector,
    /// Where they look.
    pub table: TableId,
}

impl Rule {
    /// The rule as an argument of `ip rule`, which takes the family apart.
    pub(crate) fn write_argument(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "preference {}", self.priority)?;
        self.write_selector(f)
    }

    fn write_selector(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.selector.from {
            Some(from) => write!(f, " from {from}")?,
            None => f.write_str(" from all")?,
        }
        if let Some(to) = self.selector.to {
            write!(f, " to {to}")?;
        }
        if let Some(iif) = &self.selector.iif {
            write!(f, " iif {iif}")?;
        }
        write!(f, " lookup {}", self.table)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.priority)?;
        if self.family == Family::V6 {
            f.write_str(" -6")?;
        }
        self.write_selector(f)
    }
}
