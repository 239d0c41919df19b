//! Reads what pluto tells of itself (`whack --status`), of libreswan 4 and 5.
//!
//! What is not understood is passed over: a line less is a connection that is taken for down or absent, never an error.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Association, Child, FoundDaemon};

/// Reads the status. Any text will do.
pub fn parse_status(text: &str) -> FoundDaemon {
    let mut reader = Reader::default();
    for line in text.lines() {
        // Each line begins with a number of three digits, for programs.
        if let Some((_, line)) = line.split_once(' ') {
            reader.line(line.trim_end());
        }
    }
    reader.finish()
}

/// A state of the daemon that will be, is or was a child of an IKE association.
#[derive(Debug, Default)]
struct ChildState {
    connection: String,
    established: bool,
    parent: Option<u64>,
    associations: Option<Child>,
}

#[derive(Debug, Default)]
struct Reader {
    daemon: FoundDaemon,
    parents: BTreeSet<u64>,
    children: BTreeMap<u64, ChildState>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("interface ") {
            self.daemon.listening.extend(listening(rest));
        } else if let Some(rest) = line.strip_prefix("pluto_version=") {
            self.daemon.version = version(rest);
        } else if let Some(rest) = line.strip_prefix('#') {
            self.state(rest);
        } else if line.starts_with('"') {
            self.connection(line);
        }
    }

    /// `"NAME": …`, or `"NAME"[1] 192.0.2.1: …` for one of several ends of one name.
    fn connection(&mut self, line: &str) {
        let Some((name, rest)) = quoted(line) else { return };
        let found = self.daemon.connections.entry(name.to_owned()).or_default();
        let metric = rest.split(';').find_map(|item| item.trim().strip_prefix("metric: "));
        if let Some(metric) = metric.and_then(|metric| metric.trim().parse().ok()) {
            found.mark = Some(metric);
        }
    }

    /// `2: "NAME":4500 STATE_V2_ESTABLISHED_CHILD_SA (established Child SA); …; IKE SA #1; idle;`,
    /// `2: "NAME" esp.7fa04572@192.0.2.2 esp.e525eb92@192.0.2.1 …` and `1: pending CHILD SA for "NAME"`.
    fn state(&mut self, rest: &str) {
        let Some((number, rest)) = rest.split_once(':') else { return };
        let Ok(number) = number.trim().parse::<u64>() else { return };
        let rest = rest.trim_start();
        if let Some(name) = rest.strip_prefix("pending CHILD SA for ").and_then(quoted) {
            self.daemon.connections.entry(name.0.to_owned()).or_default().negotiating = true;
            return;
        }
        let Some((name, rest)) = quoted(rest) else { return };
        if let Some(associations) = associations(rest) {
            self.children.entry(number).or_default().associations = Some(associations);
            return;
        }
        if rest.contains("ESTABLISHED_IKE_SA") || rest.contains("(established IKE SA)") {
            self.parents.insert(number);
            return;
        }
        let child = self.children.entry(number).or_default();
        name.clone_into(&mut child.connection);
        child.established = rest.contains("ESTABLISHED_CHILD_SA") || rest.contains("(established Child SA)");
        child.parent = rest.split(';').find_map(|item| item.trim().strip_prefix("IKE SA #")?.parse().ok());
    }

    fn finish(self) -> FoundDaemon {
        let Self { mut daemon, parents, children } = self;
        for child in children.into_values().filter(|child| !child.connection.is_empty()) {
            let found = daemon.connections.entry(child.connection).or_default();
            let alive = child.parent.is_none_or(|parent| parents.contains(&parent));
            found.negotiating |= !child.established;
            found.children.extend(child.associations.filter(|_| child.established && alive));
        }
        daemon
    }
}

/// What is between quotes, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('"')?.split_once('"')
}

/// `eth0 UDP 192.0.2.1:4500`, `eth0 UDP [2001:db8::1]:4500`.
fn listening(text: &str) -> Option<IpAddr> {
    let (address, _) = text.split_whitespace().last()?.rsplit_once(':')?;
    address.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn version(text: &str) -> Option<(u32, u32)> {
    let text = text.trim_start_matches('v');
    let text = text.split(|letter: char| !letter.is_ascii_digit() && letter != '.').next()?;
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next().and_then(Result::ok).unwrap_or(0)))
}

/// The outbound one stands first.
fn associations(rest: &str) -> Option<Child> {
    let mut found = rest.split_whitespace().filter_map(association);
    let (outbound, inbound) = (found.next()?, found.next()?);
    Some(Child { inbound, outbound })
}

/// `esp.7fa04572@192.0.2.1`, `esp:7fa04572@2001:db8::1`.
fn association(word: &str) -> Option<Association> {
    let word = word.strip_prefix("esp")?;
    let word = word.strip_prefix('.').or_else(|| word.strip_prefix(':'))?;
    let (spi, destination) = word.split_once('@')?;
    let spi = u32::from_str_radix(spi, 16).ok()?;
    Some(Association { destination: destination.parse().ok()?, spi })
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
