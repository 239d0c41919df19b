//! Chains, and where the kernel calls them.

use std::fmt;

use super::Rule;

/// The name of a chain in its table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainName(pub String);

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a base chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookType {
    /// Filter packets, at any hook.
    Filter,
    /// Bind the address translation of a flow by its first packet.
    Nat,
}

/// The hooks of the `inet` families (`enum nf_inet_hooks` in `linux/netfilter.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the kernel's own names")]
pub enum At {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
}

/// Where and when the kernel calls a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// What it may do.
    pub kind: HookType,
    /// The hook.
    pub at: At,
    /// The order among base chains of one hook; lower is earlier. See [`priority`].
    pub priority: i32,
    /// What happens to packets that no rule decides.
    pub policy: Policy,
}

/// What a base chain does at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The packet goes on to the next base chain.
    Accept,
    /// The packet is gone.
    Drop,
}

/// A chain: a base chain with a hook, or a regular one that rules jump to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// Where the kernel calls it.
    pub hook: Option<Hook>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// The priorities of all our base chains.
///
/// KERNEL: the first NAT binding of a flow wins, and `accept` in one base chain does not end a later one. So ours
/// come before the CNI's at `srcnat` (100), in an order of their own.
pub mod priority {
    /// `NF_IP_PRI_NAT_DST` in `linux/netfilter_ipv4.h`.
    pub const DSTNAT: i32 = -100;
    /// `NF_IP_PRI_FILTER`.
    pub const FILTER: i32 = 0;
    /// `NF_IP_PRI_MANGLE`.
    pub const MANGLE: i32 = -150;
    /// `NF_IP_PRI_NAT_SRC`.
    pub const SRCNAT: i32 = 100;
    /// Node to remote pod: the node's address becomes that of its CNI interface.
    pub const NODE_SNAT: i32 = SRCNAT - 20;
    /// Flows between clusters keep their source: bound to itself, so that no later chain rewrites it.
    pub const IDENTITY: i32 = SRCNAT - 10;
    /// What must not leave in clear is dropped after all address translation.
    pub const LEAK: i32 = SRCNAT + 50;
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        })
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            HookType::Filter => "filter",
            HookType::Nat => "nat",
        };
        let policy = match self.policy {
            Policy::Accept => "accept",
            Policy::Drop => "drop",
        };
        write!(f, "type {kind} hook {} priority {}; policy {policy};", self.at, self.priority)
    }
}

impl Chain {
    pub(super) fn write(&self, name: &ChainName, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  chain {name} {{")?;
        if let Some(hook) = &self.hook {
            writeln!(f, "    {hook}")?;
        }
        for rule in &self.rules {
            writeln!(f, "    {rule}")?;
        }
        writeln!(f, "  }}")
    }
}
