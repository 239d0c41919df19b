//! A packet-filter table as small types that print in nft's syntax.
//!
//! Only what our plans say can be said. A table is always replaced or changed in one transaction.

mod chain;
mod rule;
mod set;
mod table;

pub use chain::{At, Chain, ChainName, Hook, HookType, Policy, priority};
pub use rule::{AddressTest, L4, Match, PortTest, Rule, Side, Verdict};
pub use set::{Elements, ElementsChange, Set, SetName};
pub use table::{Table, TableFamily, TableName};
