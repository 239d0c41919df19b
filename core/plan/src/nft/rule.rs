//! Rules: what a packet must be, and what happens to it.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use subm_types::{Family, IfName, Mtu};

use super::{ChainName, SetName};

/// Source or destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where the packet comes from.
    Source,
    /// Where it goes.
    Destination,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "protocol names")]
pub enum L4 {
    Tcp,
    Udp,
}

/// Which addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressTest {
    /// In a named set of this family.
    In(Family, SetName),
    /// Not in a named set of this family.
    NotIn(Family, SetName),
    /// In one network.
    Net(IpNet),
    /// Not in one network.
    NotNet(IpNet),
}

/// Which ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortTest {
    /// Exactly this one.
    Is(u16),
}

/// One condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// An address, and with it the family of the packet.
    Address(Side, AddressTest),
    /// The link that the packet arrived by.
    Iif(IfName),
    /// The link that it leaves by.
    Oif(IfName),
    /// Another link than this.
    NotOif(IfName),
    /// A link that is not in a named set.
    OifNotIn(SetName),
    /// A link of a named set.
    OifIn(SetName),
    /// The transport protocol and a port.
    Port(L4, Side, PortTest),
    /// A TCP packet that opens a connection, or its answer (`tcp flags & (syn|rst) == syn`).
    TcpSyn,
    /// True for one of `of` random draws, for number `is`.
    Random {
        /// How many there are.
        of: u32,
        /// Which of them.
        is: u32,
    },
}

/// What happens to a packet that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This base chain is done with it.
    Accept,
    /// It is gone.
    Drop,
    /// Goes on in another chain, and comes back.
    Jump(ChainName),
    /// Goes back to the chain that jumped here.
    Return,
    /// Its source becomes this address.
    Snat(IpAddr),
    /// Its source is bound to itself: `snat ip to ip saddr`.
    SnatToSelf(Family),
    /// Its source becomes the address of the link that it leaves by.
    Masquerade,
    /// Its destination becomes this address and port.
    Dnat(IpAddr, Option<u16>),
    /// Its TCP maximum segment size becomes what the route carries, where that is smaller (`rt mtu`).
    ClampMss,
    /// Its TCP maximum segment size becomes at most what fits into this MTU.
    ClampMssTo(Mtu),
}

/// A rule. It always counts what it matches; counters are not part of its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// All must hold.
    pub matches: Vec<Match>,
    /// What then happens.
    pub verdict: Verdict,
    /// Why the rule is there, for whoever lists it.
    pub comment: Cow<'static, str>,
}

impl Rule {
    /// A rule for packets of which all this holds.
    pub fn new(
        matches: impl IntoIterator<Item = Match>,
        verdict: Verdict,
        comment: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { matches: matches.into_iter().collect(), verdict, comment: comment.into() }
    }
}

const fn protocol(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "s",
            Self::Destination => "d",
        })
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(side, test) => match test {
                AddressTest::In(family, set) => write!(f, "{} {side}addr @{set}", protocol(*family)),
                AddressTest::NotIn(family, set) => write!(f, "{} {side}addr != @{set}", protocol(*family)),
                AddressTest::Net(net) => write!(f, "{} {side}addr {net}", protocol(Family::of_net(net))),
                AddressTest::NotNet(net) => {
                    write!(f, "{} {side}addr != {net}", protocol(Family::of_net(net)))
                }
            },
            Self::Iif(name) => write!(f, "iifname \"{name}\""),
            Self::Oif(name) => write!(f, "oifname \"{name}\""),
            Self::NotOif(name) => write!(f, "oifname != \"{name}\""),
            Self::OifNotIn(set) => write!(f, "oifname != @{set}"),
            Self::OifIn(set) => write!(f, "oifname @{set}"),
            Self::Port(l4, side, PortTest::Is(port)) => {
                let name = match l4 {
                    L4::Tcp => "tcp",
                    L4::Udp => "udp",
                };
                write!(f, "{name} {side}port {port}")
            }
            Self::TcpSyn => f.write_str("tcp flags & (syn | rst) == syn"),
            Self::Random { of, is } => write!(f, "numgen random mod {of} {is}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Return => f.write_str("return"),
            Self::Snat(to) => write!(f, "snat {} to {to}", protocol(Family::of(*to))),
            Self::SnatToSelf(family) => write!(f, "snat {0} to {0} saddr", protocol(*family)),
            Self::Masquerade => f.write_str("masquerade"),
            Self::Dnat(to, None) => write!(f, "dnat {} to {to}", protocol(Family::of(*to))),
            Self::Dnat(to @ IpAddr::V4(_), Some(port)) => write!(f, "dnat ip to {to}:{port}"),
            Self::Dnat(to @ IpAddr::V6(_), Some(port)) => write!(f, "dnat ip6 to [{to}]:{port}"),
            Self::ClampMss => f.write_str("tcp option maxseg size set rt mtu"),
            Self::ClampMssTo(mtu) => write!(f, "tcp option maxseg size set {}", mtu.0.saturating_sub(40)),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for condition in &self.matches {
            write!(f, "{condition} ")?;
        }
        write!(f, "counter {} comment \"{}\"", self.verdict, self.comment)
    }
}
