//! Tables: one per owner.

use std::collections::BTreeMap;
use std::fmt;

use super::{Chain, ChainName, Set, SetName};
use crate::Conflict;
use crate::plan::agree;

/// The packets that a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the kernel's own names")]
pub enum TableFamily {
    Inet,
    Ip,
    Ip6,
}

/// The family and name of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The family.
    pub family: TableFamily,
    /// The name.
    pub name: String,
}

/// A whole table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// Its sets.
    pub sets: BTreeMap<SetName, Set>,
    /// Its chains.
    pub chains: BTreeMap<ChainName, Chain>,
}

impl Table {
    /// An empty table.
    pub const fn new(name: TableName) -> Self {
        Self { name, sets: BTreeMap::new(), chains: BTreeMap::new() }
    }

    /// Joins another table of the same name to this one. Sets and chains of one name must be equal: else it is a
    /// [`Conflict`], after which this table is what it was.
    pub(crate) fn merge(&mut self, other: Self) -> Result<(), Conflict> {
        if self.name != other.name {
            return Err(Conflict(format!("the packet-filter table: {} and {}", self.name, other.name)));
        }
        agree(&self.sets, &other.sets, |name| format!("set {name}"))?;
        agree(&self.chains, &other.chains, |name| format!("chain {name}"))?;
        self.sets.extend(other.sets);
        self.chains.extend(other.chains);
        Ok(())
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            TableFamily::Inet => "inet",
            TableFamily::Ip => "ip",
            TableFamily::Ip6 => "ip6",
        };
        write!(f, "{family} {}", self.name)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {} {{", self.name)?;
        self.sets.iter().try_for_each(|(name, set)| set.write(name, f))?;
        self.chains.iter().try_for_each(|(name, chain)| chain.write(name, f))?;
        writeln!(f, "}}")
    }
}
