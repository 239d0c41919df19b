//! One change to the world.

use ipnet::IpNet;
use subm_types::IfName;

use crate::nft::{Table, TableName};
use crate::{FdbEntry, Flow, Link, Neighbour, Route, RouteKey, Rule, Sysctl};

/// One change, complete in itself. Applying it twice is the same as applying it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Makes a link, with the owner's alias, and takes it up; one of ours that stands there goes first.
    CreateLink(IfName, Link),
    /// Gives a link the MTU, hardware address and state that it should have.
    SetLink(IfName, Link),
    /// Removes a link of ours.
    DeleteLink(IfName),
    /// Gives a link an address.
    AddAddress(IfName, IpNet),
    /// Takes an address from a link.
    DeleteAddress(IfName, IpNet),
    /// Writes a kernel parameter.
    SetSysctl(Sysctl),
    /// Adds a forwarding entry.
    AddFdb(FdbEntry),
    /// Removes a forwarding entry.
    DeleteFdb(FdbEntry),
    /// Adds or replaces a permanent neighbour.
    SetNeighbour(Neighbour),
    /// Removes a neighbour.
    DeleteNeighbour(Neighbour),
    /// Adds or replaces a route.
    SetRoute(RouteKey, Route),
    /// Removes a route of ours.
    DeleteRoute(RouteKey, Route),
    /// Adds a rule.
    AddRule(Rule),
    /// Removes a rule of ours.
    DeleteRule(Rule),
    /// Turns the table into this one, in one transaction, whatever stands there.
    SetTable(Table),
    /// Removes the table.
    DeleteTable(TableName),
    /// Makes the kernel forget a flow.
    ForgetFlow(Flow),
}
