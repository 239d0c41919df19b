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
        let (kind, elements) = match &self.elements {
            Elements::Networks(Family::V4, nets) => ("type ipv4_addr; flags interval;", nets.to_string()),
            Elements::Networks(Family::V6, nets) => ("type ipv6_addr; flags interval;", nets.to_string()),
            Elements::Interfaces(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
                ("type ifname;", names.join(", "))
            }
        };
        if elements.is_empty() {
            writeln!(f, "  set {name} {{ {kind} }}")
        } else {
            writeln!(f, "  set {name} {{ {kind} elements = {{ {elements} }} }}")
        }
    }
}
