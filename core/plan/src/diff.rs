//! From what is there to what is wanted.

use std::collections::BTreeSet;

use ipnet::IpNet;
use subm_types::IfName;

use crate::nft::{ElementsChange, Table};
use crate::{
    Alteration, FdbEntry, Link, LinkKind, Neighbour, NodePlan, NodeState, RouteTarget, Step, Sysctl,
    WireguardDevice,
};

/// The steps from a state to a plan: adds before deletes, links before what stands on them.
///
/// One run reaches the plan. What stands on a link that is made anew vanishes with the old one, so it is planned
/// again; deletes go the other way round, and the table goes last of all, so that what it keeps from leaving in
/// clear stays in as long as there is anything to keep.
pub fn diff(state: &NodeState, plan: &NodePlan) -> Vec<Step> {
    let change = Change { state, plan, anew: anew(state, plan) };
    let mut steps = change.links();
    change.add_addresses(&mut steps);
    change.delete_addresses(Last::Yes, &mut steps);
    change.sysctls(&mut steps);
    change.set_wireguard(&mut steps);
    change.add_entries(&mut steps);
    steps.extend(plan.rules.difference(&state.own.rules).cloned().map(Step::AddRule));
    change.add_routes(&mut steps);
    change.set_table(&mut steps);
    steps.extend(state.wrong_flows.iter().cloned().map(Step::ForgetFlow));
    change.delete_routes(&mut steps);
    steps.extend(extra(&state.own.rules, &plan.rules).cloned().map(Step::DeleteRule));
    change.delete_entries(&mut steps);
    change.remove_wireguard(&mut steps);
    change.delete_addresses(Last::No, &mut steps);
    steps.extend(gone(state, plan).map(|name| Step::DeleteLink(name.clone())));
    if let (Some(table), None) = (&state.own.table, &plan.table) {
        steps.push(Step::DeleteTable(table.name.clone()));
    }
    steps
}

/// What is there and not wanted, last first.
fn extra<'a, T: Ord>(there: &'a BTreeSet<T>, wanted: &'a BTreeSet<T>) -> impl Iterator<Item = &'a T> {
    there.iter().rev().filter(|object| !wanted.contains(*object))
}

/// Whether an address is the last of its link.
#[derive(Clone, Copy)]
enum Last {
    Yes,
    No,
}

struct Change<'a> {
    state: &'a NodeState,
    plan: &'a NodePlan,
    /// The links that are made in this run: nothing stands on them yet.
    anew: BTreeSet<&'a IfName>,
}

fn anew<'a>(state: &NodeState, plan: &'a NodePlan) -> BTreeSet<&'a IfName> {
    let stays = |name: &IfName, link: &Link| {
        let same = state.own.links.get(name).is_some_and(|found| found.kind == link.kind);
        same && !state.altered.contains(&Alteration::Link(name.clone()))
    };
    plan.links.iter().filter(|(name, link)| !stays(name, link)).map(|(name, _)| name).collect()
}

fn gone<'a>(state: &'a NodeState, plan: &'a NodePlan) -> impl Iterator<Item = &'a IfName> {
    state.own.links.keys().rev().filter(|name| !plan.links.contains_key(*name))
}

/// Whether a link that stands has what the plan asks of it; what the plan leaves to the kernel is as it should be.
fn suits(found: &Link, wanted: &Link) -> bool {
    let mtu = wanted.mtu.is_none() || found.mtu == wanted.mtu;
    mtu && (wanted.mac.is_none() || found.mac == wanted.mac)
}

impl Change<'_> {
    fn links(&self) -> Vec<Step> {
        let step = |(name, link): (&IfName, &Link)| {
            if self.anew.contains(name) {
                return Some(Step::CreateLink(name.clone(), link.clone()));
            }
            let up = !self.state.altered.contains(&Alteration::Down(name.clone()));
            let found = self.state.own.links.get(name);
            let right = up && found.is_some_and(|found| suits(found, link));
            (!right).then(|| Step::SetLink(name.clone(), link.clone()))
        };
        self.plan.links.iter().filter_map(step).collect()
    }

    /// Whether an object on a link outlives what is done to the link in this run.
    fn stands_on(&self, dev: &IfName) -> bool {
        !self.anew.contains(dev)
    }

    /// Whether a neighbour outlives what is done to its link. KERNEL: neighbours go with the hardware address of
    /// their link, and with its last address of their family.
    fn keeps(&self, neighbour: &Neighbour) -> bool {
        let mac = self.plan.links.get(&neighbour.dev).and_then(|link| link.mac);
        let found = self.state.own.links.get(&neighbour.dev).and_then(|link| link.mac);
        let emptied = neighbour.address.is_ipv4() && self.emptied(&neighbour.dev);
        self.stands_on(&neighbour.dev) && (mac.is_none() || mac == found) && !emptied
    }

    /// Whether an object on a link must be taken away by itself; otherwise it goes with its link.
    fn outlives(&self, dev: &IfName) -> bool {
        self.stands_on(dev) && self.plan.links.contains_key(dev)
    }

    fn add_addresses(&self, steps: &mut Vec<Step>) {
        let missing = |(dev, net): &&(IfName, IpNet)| {
            !self.stands_on(dev) || !self.state.own.addresses.contains(&(dev.clone(), *net))
        };
        let missing = self.plan.addresses.iter().filter(missing);
        steps.extend(missing.map(|(dev, net)| Step::AddAddress(dev.clone(), *net)));
    }

    /// Whether a link loses its last IPv4 address in this run. KERNEL: all IPv4 routes by it go with that.
    fn emptied(&self, dev: &IfName) -> bool {
        let on = |plan: &NodePlan| plan.addresses.iter().any(|(on, net)| on == dev && net.addr().is_ipv4());
        self.outlives(dev) && on(&self.state.own) && !on(self.plan)
    }

    /// Takes away the last addresses of links before routes are written, the others after all else.
    fn delete_addresses(&self, last: Last, steps: &mut Vec<Step>) {
        let extra = extra(&self.state.own.addresses, &self.plan.addresses);
        let due = |dev: &IfName, net: &IpNet| match last {
            Last::Yes => net.addr().is_ipv4() && self.emptied(dev),
            Last::No => !(net.addr().is_ipv4() && self.emptied(dev)),
        };
        let extra = extra.filter(|(dev, net)| self.outlives(dev) && due(dev, net));
        steps.extend(extra.map(|(dev, net)| Step::DeleteAddress(dev.clone(), *net)));
    }

    fn sysctls(&self, steps: &mut Vec<Step>) {
        for (key, &value) in &self.plan.sysctls {
            let anew = key.link().is_some_and(|link| self.anew.contains(link));
            let found = self.state.own.sysctls.get(key).copied();
            // A parameter of a link that is not there cannot be written; it is once the link is.
            let wrong = found.is_some_and(|found| found != value);
            if anew || wrong {
                steps.push(Step::SetSysctl(Sysctl { key: key.clone(), value }));
            }
        }
    }

    /// What stands of a WireGuard device that the plan has.
    fn wireguard(&self, name: &IfName) -> Option<&WireguardDevice> {
        self.state.own.wireguard.get(name).filter(|_| self.stands_on(name))
    }

    fn set_wireguard(&self, steps: &mut Vec<Step>) {
        for (name, device) in &self.plan.wireguard {
            steps.extend(device.steps_from(name, self.wireguard(name)));
        }
    }

    fn remove_wireguard(&self, steps: &mut Vec<Step>) {
        for (name, found) in self.state.own.wireguard.iter().filter(|(name, _)| self.outlives(name)) {
            match self.plan.wireguard.get(name) {
                None => steps.push(Step::RemoveWireguard(name.clone())),
                Some(device) => {
                    let extra = found.peers.keys().filter(|key| !device.peers.contains_key(*key));
                    steps.extend(extra.map(|key| Step::RemovePeer(name.clone(), *key)));
                }
            }
        }
    }

    /// The plan's forwarding entries as the kernel tells them: the device's own port is not named.
    fn fdb(&self) -> BTreeSet<FdbEntry> {
        let own_port = |dev: &IfName| match &self.plan.links.get(dev)?.kind {
            LinkKind::Vxlan(vxlan) => Some(vxlan.port),
            LinkKind::Bridge
            | LinkKind::Tun
            | LinkKind::Veth(_)
            | LinkKind::Xfrm(_)
            | LinkKind::Wireguard => None,
        };
        let normal = |entry: &FdbEntry| {
            let port = entry.port.filter(|port| Some(*port) != own_port(&entry.dev));
            FdbEntry { port, ..entry.clone() }
        };
        self.plan.fdb.iter().map(normal).collect()
    }

    fn add_entries(&self, steps: &mut Vec<Step>) {
        let fdb = self.fdb();
        let altered = |entry: &FdbEntry| self.state.altered.contains(&Alteration::Fdb(entry.clone()));
        let missing = |entry: &FdbEntry| {
            !self.stands_on(&entry.dev) || !self.state.own.fdb.contains(entry) || altered(entry)
        };
        steps.extend(fdb.into_iter().filter(missing).map(Step::AddFdb));
        let missing =
            |neighbour: &&Neighbour| !self.keeps(neighbour) || !self.state.own.neighbours.contains(neighbour);
        steps.extend(self.plan.neighbours.iter().filter(missing).cloned().map(Step::SetNeighbour));
    }

    fn delete_entries(&self, steps: &mut Vec<Step>) {
        let old = extra(&self.state.own.neighbours, &self.plan.neighbours);
        let old = old.filter(|neighbour| self.outlives(&neighbour.dev) && !self.replaced(neighbour));
        steps.extend(old.cloned().map(Step::DeleteNeighbour));
        let fdb = self.fdb();
        let extra = extra(&self.state.own.fdb, &fdb).filter(|entry| self.outlives(&entry.dev));
        steps.extend(extra.cloned().map(Step::DeleteFdb));
    }

    /// Whether the plan gives this neighbour another hardware address: it is replaced, and must not go after that.
    fn replaced(&self, old: &Neighbour) -> bool {
        self.plan.neighbours.iter().any(|new| new.dev == old.dev && new.address == old.address)
    }

    fn add_routes(&self, steps: &mut Vec<Step>) {
        for (key, route) in &self.plan.routes {
            let stands = match &route.target {
                RouteTarget::Link { dev, .. } => {
                    self.stands_on(dev) && !(key.dst.addr().is_ipv4() && self.emptied(dev))
                }
                RouteTarget::Unreachable => true,
            };
            let altered = self.state.altered.contains(&Alteration::Route(*key));
            let found = self.state.own.routes.get(key);
            if let Some(found) = found.filter(|_| altered) {
                // There may be several of them at one place, of which replacing changes one.
                steps.push(Step::DeleteRoute(*key, found.clone()));
            }
            if !stands || altered || found != Some(route) {
                steps.push(Step::SetRoute(*key, route.clone()));
            }
        }
    }

    fn delete_routes(&self, steps: &mut Vec<Step>) {
        let extra = self.state.own.routes.iter().filter(|(key, _)| !self.plan.routes.contains_key(key));
        for (key, route) in extra {
            let vanished = match &route.target {
                RouteTarget::Link { dev, .. } => self.anew.contains(dev),
                RouteTarget::Unreachable => false,
            };
            // There may be several of them at one place, of which only some go with the link.
            if !vanished || self.state.altered.contains(&Alteration::Route(*key)) {
                steps.push(Step::DeleteRoute(*key, route.clone()));
            }
        }
    }

    fn set_table(&self, steps: &mut Vec<Step>) {
        let Some(wanted) = &self.plan.table else { return };
        let altered = self.state.altered.contains(&Alteration::Table);
        let changes = match &self.state.own.table {
            Some(found) if !altered => element_changes(found, wanted),
            Some(_) | None => None,
        };
        match changes {
            None => steps.push(Step::SetTable(wanted.clone())),
            Some(changes) if changes.is_empty() => {}
            Some(changes) => steps.push(Step::ChangeElements(wanted.name.clone(), changes)),
        }
    }
}

/// What changes in the sets, if that is all that changes.
fn element_changes(found: &Table, wanted: &Table) -> Option<Vec<ElementsChange>> {
    let alike = found.name == wanted.name && found.chains == wanted.chains;
    if !alike || !found.sets.keys().eq(wanted.sets.keys()) {
        return None;
    }
    let mut changes = Vec::new();
    for (name, set) in &wanted.sets {
        let (delete, add) = found.sets.get(name)?.elements.change_to(&set.elements)?;
        if !delete.is_empty() || !add.is_empty() {
            changes.push(ElementsChange { set: name.clone(), delete, add });
        }
    }
    Some(changes)
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
