//! WireGuard devices: a key, a port, and peers with the networks behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use subm_types::{CidrSet, IfName, PresharedKey, PrivateKey, PublicKey};

use crate::Step;

/// A WireGuard device on a link of the plan: of the kernel on a link of its own kind, else of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireguardDevice {
    /// What it proves itself with.
    pub private_key: PrivateKey,
    /// The UDP port that it hears and sends by, in both families.
    pub listen_port: u16,
    /// Its peers. Their allowed networks do not overlap.
    pub peers: BTreeMap<PublicKey, WireguardPeer>,
}

/// The other end of a WireGuard tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireguardPeer {
    /// The secret that both ends share, where they do.
    pub preshared_key: Option<PresharedKey>,
    /// Where it is first looked for. A device sends to where it last heard the peer from, which is not told here.
    pub endpoint: SocketAddr,
    /// What it may send from and is sent, of both families.
    pub allowed: CidrSet,
    /// After this many seconds of silence something is sent; 0 never.
    pub keepalive: u16,
}

/// What a device tells of a peer beside what it was told: the cable's own evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerEvidence {
    /// How long the last handshake is past, if there was one.
    pub handshake: Option<Duration>,
    /// Bytes received from it.
    pub received: u64,
    /// Bytes sent to it.
    pub sent: u64,
    /// Where packets are sent now: where the peer was last heard from.
    pub endpoint: Option<SocketAddr>,
}

/// The evidence of one device by its peers' keys.
pub type Evidence = BTreeMap<PublicKey, PeerEvidence>;

impl WireguardDevice {
    /// The device without peers.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self { private_key: self.private_key.clone(), listen_port: self.listen_port, peers: BTreeMap::new() }
    }

    /// The steps that set the device, and peers that are new or differ. A network that moves from one peer to another
    /// is taken over by the one that gets it, so it is never without a peer; peers that only lose networks come last.
    pub(crate) fn steps_from(&self, name: &IfName, found: Option<&Self>) -> Vec<Step> {
        let mut steps = Vec::new();
        let same =
            |found: &Self| found.private_key == self.private_key && found.listen_port == self.listen_port;
        if !found.is_some_and(same) {
            steps.push(Step::SetWireguard(name.clone(), self.private_key.clone(), self.listen_port));
        }
        let before = |key: &PublicKey| found.and_then(|found| found.peers.get(key));
        let changed = self.peers.iter().filter(|(key, peer)| before(key) != Some(*peer));
        let (gaining, losing): (Vec<_>, Vec<_>) =
            changed.partition(|(key, peer)| before(key).is_none_or(|before| peer.gains_over(before)));
        let step =
            |(key, peer): (&PublicKey, &WireguardPeer)| Step::SetPeer(name.clone(), *key, peer.clone());
        steps.extend(gaining.into_iter().chain(losing).map(step));
        steps
    }

    /// Gives it a peer, or changes one. A network belongs to one peer only: it leaves the one that had it.
    pub fn set_peer(&mut self, key: PublicKey, peer: WireguardPeer) {
        for (_, other) in self.peers.iter_mut().filter(|(one, _)| **one != key) {
            let taken: BTreeSet<IpNet> = peer.allowed.iter().collect();
            other.allowed = other.allowed.iter().filter(|net| !taken.contains(net)).collect();
        }
        self.peers.insert(key, peer);
    }
}

impl WireguardPeer {
    /// Whether it has a network that it had not.
    fn gains_over(&self, before: &Self) -> bool {
        self.allowed.iter().any(|net| !before.allowed.contains_net(&net))
    }
}

impl fmt::Display for WireguardPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "endpoint {} allowed {}", self.endpoint, self.allowed)?;
        if self.preshared_key.is_some() {
            f.write_str(" preshared")?;
        }
        if self.keepalive != 0 {
            write!(f, " keepalive {}", self.keepalive)?;
        }
        Ok(())
    }
}
