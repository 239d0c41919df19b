//! The complete state of a node, wanted or found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;
use subm_types::IfName;

use crate::nft::Table;
use crate::{FdbEntry, Flow, FlowRule, Link, Neighbour, Route, RouteKey, Rule, SysctlKey, WireguardDevice};

/// Everything that an owner wants on a node; what it owns there and is not in it goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodePlan {
    /// Links by name.
    pub links: BTreeMap<IfName, Link>,
    /// Addresses with their prefixes on links of this plan.
    pub addresses: BTreeSet<(IfName, IpNet)>,
    /// Kernel parameters; on links that are not ours too.
    pub sysctls: BTreeMap<SysctlKey, u32>,
    /// WireGuard devices on links of this plan.
    pub wireguard: BTreeMap<IfName, WireguardDevice>,
    /// Forwarding entries on links of this plan.
    pub fdb: BTreeSet<FdbEntry>,
    /// Permanent neighbours on links of this plan.
    pub neighbours: BTreeSet<Neighbour>,
    /// Rules.
    pub rules: BTreeSet<Rule>,
    /// Routes.
    pub routes: BTreeMap<RouteKey, Route>,
    /// The packet-filter table.
    pub table: Option<Table>,
    /// Flows that must have their own source address; those that lost it are forgotten by conntrack.
    pub flows: BTreeSet<FlowRule>,
}

/// What an owner finds on a node: its own objects, the kernel parameters that its plan names (absent where the
/// link is), and the tracked flows that break a [`FlowRule`] of its plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeState {
    /// Its own objects. `flows` is empty.
    pub own: NodePlan,
    /// Links that stand under a name of the scope without the owner's alias: somebody else's.
    pub foreign_links: BTreeSet<IfName>,
    /// Flows that lost their source address.
    pub wrong_flows: BTreeSet<Flow>,
    /// Own objects with something that no plan says: a foreign edit, to be undone.
    pub altered: BTreeSet<Alteration>,
}

/// An own object whose name is right and that has something which no plan says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alteration {
    /// A link with attributes that can only be had by making it anew.
    Link(IfName),
    /// A link that is down.
    Down(IfName),
    /// A forwarding entry that is not permanent.
    Fdb(FdbEntry),
    /// A route with other attributes than plans give.
    Route(RouteKey),
    /// The packet-filter table: a rule, chain, set or element of a form that plans do not have.
    Table,
}

/// Two plans that want different things under one name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("two plans want different things for {0}")]
pub struct Conflict(pub String);

impl NodePlan {
    /// Joins another plan to this one. What both want alike stands once; what they want differently is a
    /// [`Conflict`], after which this plan is what it was.
    pub fn merge(&mut self, other: Self) -> Result<(), Conflict> {
        agree(&self.links, &other.links, |name| format!("link {name}"))?;
        agree(&self.sysctls, &other.sysctls, |key| format!("sysctl {key}"))?;
        agree(&self.wireguard, &other.wireguard, |name| format!("WireGuard device {name}"))?;
        agree(&self.routes, &other.routes, |key| format!("route {} table {}", key.dst, key.table))?;
        match (&mut self.table, other.table) {
            (Some(ours), Some(theirs)) => ours.merge(theirs)?,
            (ours @ None, theirs) => *ours = theirs,
            (Some(_), None) => {}
        }
        self.links.extend(other.links);
        self.sysctls.extend(other.sysctls);
        self.wireguard.extend(other.wireguard);
        self.routes.extend(other.routes);
        self.addresses.extend(other.addresses);
        self.fdb.extend(other.fdb);
        self.neighbours.extend(other.neighbours);
        self.rules.extend(other.rules);
        self.flows.extend(other.flows);
        Ok(())
    }
}

/// Fails where both want different things under one name.
pub(crate) fn agree<K: Ord, V: PartialEq>(
    ours: &BTreeMap<K, V>,
    theirs: &BTreeMap<K, V>,
    name: impl Fn(&K) -> String,
) -> Result<(), Conflict> {
    let differs = |(key, value): &(&K, &V)| ours.get(key).is_some_and(|present| present != *value);
    match theirs.iter().find(differs) {
        Some((key, _)) => Err(Conflict(name(key))),
        None => Ok(()),
    }
}

impl fmt::Display for NodePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, link) in &self.links {
            writeln!(f, "link {name} {link}")?;
        }
        for (dev, net) in &self.addresses {
            writeln!(f, "address {net} dev {dev}")?;
        }
        for (key, value) in &self.sysctls {
            writeln!(f, "sysctl {key} = {value}")?;
        }
        for (name, device) in &self.wireguard {
            writeln!(f, "wireguard {name} listen-port {}", device.listen_port)?;
            for (key, peer) in &device.peers {
                writeln!(f, "peer {} {peer}", key.short())?;
            }
        }
        for entry in &self.fdb {
            writeln!(f, "fdb {entry}")?;
        }
        for neighbour in &self.neighbours {
            writeln!(f, "neighbour {neighbour}")?;
        }
        for rule in &self.rules {
            writeln!(f, "rule {rule}")?;
        }
        for (key, route) in &self.routes {
            f.write_str("route ")?;
            route.write(key, f)?;
            writeln!(f)?;
        }
        for flow in &self.flows {
            writeln!(f, "flows {flow}")?;
        }
        self.table.iter().try_for_each(|table| write!(f, "{table}"))
    }
}
