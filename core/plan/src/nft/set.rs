//! Named sets.

use std::collections::BTreeSet;
use std::fmt;

use subm_types::{CidrSet, Family, IfName};

/// The name of a set in its table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetName(pub String);

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A named set: its kind follows from its elements' kind, also when it is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// What is in it.
    pub elements: Elements,
}

/// The elements of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elements {
    /// Networks of one family (`type ipv4_addr` or `ipv6_addr`, `flags interval`), never merged by the kernel.
    Networks(Family, CidrSet),
    /// Interface names (`type ifname`).
    Interfaces(BTreeSet<IfName>),
}

/// What changes in one set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementsChange {
    /// The set.
    pub set: SetName,
    /// What leaves it, in the very form in which it went in.
    pub delete: Elements,
    /// What enters it.
    pub add: Elements,
}

impl Elements {
    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Networks(_, nets) => nets.is_empty(),
            Self::Interfaces(names) => names.is_empty(),
        }
    }

    /// What turns these elements into `wanted`, as (delete, add); `None` if they are not of one kind.
    pub fn change_to(&self, wanted: &Self) -> Option<(Self, Self)> {
        match (self, wanted) {
            (Self::Networks(family, old), Self::Networks(other, new)) if family == other => {
                let old: BTreeSet<_> = old.iter().collect();
                let new: BTreeSet<_> = new.iter().collect();
                let part = |a: &BTreeSet<_>, b: &BTreeSet<_>| {
                    Self::Networks(*family, a.difference(b).copied().collect())
                };
                Some((part(&old, &new), part(&new, &old)))
            }
            (Self::Interfaces(old), Self::Interfaces(new)) => Some((
                Self::Interfaces(old.difference(new).cloned().collect()),
                Self::Interfaces(new.difference(old).cloned().collect()),
            )),
            (Self::Networks(..) | Self::Interfaces(..), _) => None,
        }
    }
}

impl fmt::Display for Elements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Networks(_, nets) => write!(f, "{nets}"),
            Self::Interfaces(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
                f.write_str(&names.join(", "))
            }
        }
    }
}

impl fmt::Display for ElementsChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.set)?;
        if !self.delete.is_empty() {
            write!(f, " delete {{ {} }}", self.delete)?;
        }
        if !self.add.is_empty() {
            write!(f, " add {{ {} }}", self.add)?;
        }
        Ok(())
    }
}

impl Set {
    /// A set of the networks of one family out of `networks`.
    pub fn networks(family: Family, networks: &CidrSet) -> Self {
        Self { elements: Elements::Networks(family, networks.of(family)) }
    }

    /// A set of interfaces.
    pub fn interfaces(names: impl IntoIterator<Item = IfName>) -> Self {
        Self { elements: Elements::Interfaces(names.into_iter().collect()) }
    }

    pub(super) fn write(&self, name: &SetName, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.elements {
            Elements::Networks(Family::V4, _) => "type ipv4_addr; flags interval;",
            Elements::Networks(Family::V6, _) => "type ipv6_addr; flags interval;",
            Elements::Interfaces(_) => "type ifname;",
        };
        if self.elements.is_empty() {
            writeln!(f, "  set {name} {{ {kind} }}")
        } else {
            writeln!(f, "  set {name} {{ {kind} elements = {{ {} }} }}", self.elements)
        }
    }
}
