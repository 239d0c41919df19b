//! What is found of a plan: the daemon's own word, and the kernel's for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use subm_types::IkeSecret;

use super::ConnectionName;

/// A security association in one direction, as the kernel is asked for it: its destination and index (RFC 4303 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Association {
    /// Where its packets are sent.
    pub destination: IpAddr,
    /// The security parameter index.
    pub spi: u32,
}

/// A pair of associations that the daemon holds for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    /// From the other end.
    pub inbound: Association,
    /// To the other end.
    pub outbound: Association,
}

/// A connection as the daemon tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundConnection {
    /// The number that it was added with.
    pub mark: Option<u32>,
    /// Its associations, less those whose IKE association is gone: the other end has forgotten them.
    pub children: Vec<Child>,
    /// Whether the daemon is at work on one.
    pub negotiating: bool,
}

/// The daemon as it tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundDaemon {
    /// Its version, as far as it could be read.
    pub version: Option<(u32, u32)>,
    /// The addresses that it hears by.
    pub listening: BTreeSet<IpAddr>,
    /// Its connections by name, other people's too.
    pub connections: BTreeMap<String, FoundConnection>,
}

/// Everything that is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpsecState {
    /// The daemon, if it answers.
    pub daemon: Option<FoundDaemon>,
    /// The secret that was last given to this very daemon, as far as this process knows.
    pub secret: Option<IkeSecret>,
    /// The kernel's associations with the bytes that they carried.
    pub associations: BTreeMap<Association, u64>,
}

/// What is known of one pair of subnets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PairEvidence {
    /// Whether both directions stand, by the word of the daemon and of the kernel.
    pub up: bool,
    /// Whether the daemon is at work on it.
    pub negotiating: bool,
    /// Bytes received by the associations that stand.
    pub received: u64,
    /// Bytes sent by them.
    pub sent: u64,
}

/// The evidence of every connection that the daemon has.
pub type IpsecEvidence = BTreeMap<String, PairEvidence>;

impl IpsecState {
    /// What is known of each connection.
    pub fn evidence(&self) -> IpsecEvidence {
        let connections = self.daemon.iter().flat_map(|daemon| &daemon.connections);
        connections.map(|(name, found)| (name.clone(), self.pair(found))).collect()
    }

    pub(crate) fn pair(&self, found: &FoundConnection) -> PairEvidence {
        let mut out = PairEvidence { negotiating: found.negotiating, ..PairEvidence::default() };
        for child in &found.children {
            let bytes = |association| self.associations.get(association).copied();
            if let (Some(received), Some(sent)) = (bytes(&child.inbound), bytes(&child.outbound)) {
                out.up = true;
                out.received = out.received.saturating_add(received);
                out.sent = out.sent.saturating_add(sent);
            }
        }
        out
    }

    pub(crate) fn connection(&self, name: &ConnectionName) -> Option<&FoundConnection> {
        self.daemon.as_ref()?.connections.get(name.as_str())
    }
}
