//! One change to the world.

use std::fmt;

use ipnet::IpNet;
use subm_types::{Family, IfName, PrivateKey, PublicKey};

use crate::nft::{ElementsChange, Table, TableName};
use crate::{FdbEntry, Flow, Link, Neighbour, Route, RouteKey, Rule, Sysctl, WireguardPeer};

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
    /// Gives a link the WireGuard device with this key and port; one without peers where there is none yet.
    SetWireguard(IfName, PrivateKey, u16),
    /// Takes the WireGuard device from a link that stays.
    RemoveWireguard(IfName),
    /// Gives a WireGuard device a peer, or changes one. Networks that another peer has move.
    SetPeer(IfName, PublicKey, WireguardPeer),
    /// Takes a peer from a WireGuard device.
    RemovePeer(IfName, PublicKey),
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
    /// Changes elements of sets of the table, in one transaction; everything else in it stays, counters too.
    ChangeElements(TableName, Vec<ElementsChange>),
    /// Removes the table.
    DeleteTable(TableName),
    /// Makes the kernel forget a flow.
    ForgetFlow(Flow),
}

const fn ip(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip -6",
    }
}

fn write_table(table: &Table, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let rules: usize = table.chains.values().map(|chain| chain.rules.len()).sum();
    let (sets, chains) = (table.sets.len(), table.chains.len());
    write!(f, "nft replace table {} # {sets} sets, {chains} chains, {rules} rules", table.name)
}

fn write_route(verb: &str, key: &RouteKey, route: &Route, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{} route {verb} ", ip(Family::of_net(&key.dst)))?;
    route.write(key, f)
}

fn write_rule(verb: &str, rule: &Rule, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{} rule {verb} ", ip(rule.family))?;
    rule.write_argument(f)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateLink(name, link) => write!(f, "ip link add {name} type {link}"),
            Self::SetLink(name, link) => {
                write!(f, "ip link set {name}")?;
                link.write_changeable(f)
            }
            Self::DeleteLink(name) => write!(f, "ip link delete {name}"),
            Self::AddAddress(dev, net) => write!(f, "ip address add {net} dev {dev}"),
            Self::DeleteAddress(dev, net) => write!(f, "ip address delete {net} dev {dev}"),
            Self::SetSysctl(sysctl) => write!(f, "sysctl {sysctl}"),
            Self::SetWireguard(dev, _, port) => {
                write!(f, "wg set {dev} listen-port {port} private-key (hidden)")
            }
            Self::RemoveWireguard(dev) => write!(f, "wg set {dev} down"),
            Self::SetPeer(dev, key, peer) => write!(f, "wg set {dev} peer {} {peer}", key.short()),
            Self::RemovePeer(dev, key) => write!(f, "wg set {dev} peer {} remove", key.short()),
            Self::AddFdb(entry) => write!(f, "bridge fdb append {entry}"),
            Self::DeleteFdb(entry) => write!(f, "bridge fdb delete {entry}"),
            Self::SetNeighbour(Neighbour { dev, address, mac }) => {
                write!(f, "ip neighbour replace {address} dev {dev} lladdr {mac} nud permanent")
            }
            Self::DeleteNeighbour(Neighbour { dev, address, .. }) => {
                write!(f, "ip neighbour delete {address} dev {dev}")
            }
            Self::SetRoute(key, route) => write_route("replace", key, route, f),
            Self::DeleteRoute(key, route) => write_route("delete", key, route, f),
            Self::AddRule(rule) => write_rule("add", rule, f),
            Self::DeleteRule(rule) => write_rule("delete", rule, f),
            Self::SetTable(table) => write_table(table, f),
            Self::ChangeElements(table, changes) => {
                let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
                write!(f, "nft change elements of {table} {}", changes.join("; "))
            }
            Self::DeleteTable(table) => write!(f, "nft delete table {table}"),
            Self::ForgetFlow(flow) => write!(f, "conntrack delete {flow}"),
        }
    }
}
