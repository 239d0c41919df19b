//! Which kind of object a step is about: what drift is counted by.

use std::fmt;

use subm_plan::Step;

/// A kind of kernel object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A link.
    Link,
    /// An address.
    Address,
    /// A kernel parameter.
    Sysctl,
    /// A WireGuard device or a peer of one.
    Wireguard,
    /// A forwarding entry.
    Fdb,
    /// A neighbour.
    Neighbour,
    /// A route.
    Route,
    /// A rule.
    Rule,
    /// The packet-filter table.
    Table,
    /// A tracked flow.
    Flow,
}

impl ObjectKind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Link,
        Self::Address,
        Self::Sysctl,
        Self::Wireguard,
        Self::Fdb,
        Self::Neighbour,
        Self::Route,
        Self::Rule,
        Self::Table,
        Self::Flow,
    ];

    /// The kind of what a step changes.
    pub const fn of(step: &Step) -> Self {
        match step {
            Step::CreateLink(..) | Step::SetLink(..) | Step::DeleteLink(_) => Self::Link,
            Step::AddAddress(..) | Step::DeleteAddress(..) => Self::Address,
            Step::SetSysctl(_) => Self::Sysctl,
            Step::SetWireguard(..) | Step::RemoveWireguard(_) | Step::SetPeer(..) | Step::RemovePeer(..) => {
                Self::Wireguard
            }
            Step::AddFdb(_) | Step::DeleteFdb(_) => Self::Fdb,
            Step::SetNeighbour(_) | Step::DeleteNeighbour(_) => Self::Neighbour,
            Step::SetRoute(..) | Step::DeleteRoute(..) => Self::Route,
            Step::AddRule(_) | Step::DeleteRule(_) => Self::Rule,
            Step::SetTable(_) | Step::ChangeElements(..) | Step::DeleteTable(_) => Self::Table,
            Step::ForgetFlow(_) => Self::Flow,
        }
    }

    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Address => "address",
            Self::Sysctl => "sysctl",
            Self::Wireguard => "wireguard",
            Self::Fdb => "fdb",
            Self::Neighbour => "neighbour",
            Self::Route => "route",
            Self::Rule => "rule",
            Self::Table => "table",
            Self::Flow => "flow",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
