//! WireGuard devices that this process carries itself.
//!
//! The link outlives the process, the engine on it does not: what is found is what runs here, so that a device whose
//! engine ended, or whose link was made anew, is found missing and set up again.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use subm_plan::{Evidence, LinkKind, PeerEvidence, WireguardDevice, WireguardPeer};
use subm_types::{IfName, PrivateKey, PublicKey};
use subm_wireguard::{Config, Device, Engine, PacketSocket, PeerConfig, PeerProblem, PeerStatus, Tun};

use crate::KernelError;
use crate::links::LinkRecord;

/// The engines of this process by their links.
#[derive(Default)]
pub(crate) struct Engines(BTreeMap<IfName, Running>);

struct Running {
    engine: Engine,
    /// What it was told to be.
    device: WireguardDevice,
    /// The link that it is on; another one of that name is another link.
    index: u32,
}

impl Engines {
    /// Whether there is an engine on a link.
    pub(crate) fn carry(&self, name: &IfName) -> bool {
        self.0.contains_key(name)
    }

    /// Lets go of engines whose link is gone or that ended, and tells what the others are.
    pub(crate) fn observe(&mut self, links: &[LinkRecord]) -> BTreeMap<IfName, WireguardDevice> {
        self.0.retain(|name, running| {
            let stands = links.iter().any(|link| link.index == running.index && link.name == name.as_str());
            let ended = running.engine.observe().err();
            if let Some(error) = &ended {
                tracing::warn!(link = %name, %error, "the WireGuard engine ended, it is started anew");
            }
            stands && ended.is_none()
        });
        self.0.iter().map(|(name, running)| (name.clone(), running.device.clone())).collect()
    }

    /// What all devices tell of their peers; keys are unique in one process.
    pub(crate) fn evidence(&self) -> Evidence {
        let now = SystemTime::now();
        let states = self.0.values().filter_map(|running| running.engine.observe().ok());
        let peers = states.flat_map(|state| state.peers);
        peers.map(|(key, status)| (key, evidence(status, now))).collect()
    }

    /// Ends the engine of a link, if there is one.
    pub(crate) fn end(&mut self, name: &IfName) {
        self.0.remove(name);
    }

    /// Gives the engine on a link this key and port; starts one where there is none.
    pub(crate) fn set_device(
        &mut self,
        (name, links): (&IfName, &[LinkRecord]),
        private_key: &PrivateKey,
        listen_port: u16,
    ) -> Result<(), KernelError> {
        let failed = |source| KernelError::Engine { name: name.clone(), source };
        let private_key = private_key.clone();
        if let Some(running) = self.0.get_mut(name) {
            let peers = running.device.peers.clone();
            return running
                .set(WireguardDevice { private_key, listen_port, peers })
                .map_err(failed)
                .map(drop);
        }
        let device = WireguardDevice { private_key, listen_port, peers: BTreeMap::new() };
        let link = links.iter().find(|link| link.name == name.as_str());
        let link = link.ok_or_else(|| KernelError::NoLink(name.clone()))?;
        let attached: Box<dyn Device> = match link.decode(links).kind {
            LinkKind::Tun => Box::new(Tun::attach(name).map_err(KernelError::Device)?),
            LinkKind::Veth(veth) => {
                Box::new(PacketSocket::attach(name, &veth.peer).map_err(KernelError::Device)?)
            }
            LinkKind::Vxlan(_) | LinkKind::Bridge | LinkKind::Xfrm(_) | LinkKind::Wireguard => {
                return Err(KernelError::NotWireguard(name.clone()));
            }
        };
        let (engine, _) = Engine::start(attached, &config(&device)).map_err(failed)?;
        self.0.insert(name.clone(), Running { engine, device, index: link.index });
        Ok(())
    }

    /// Gives a device a peer, or changes one.
    pub(crate) fn set_peer(
        &mut self,
        name: &IfName,
        key: PublicKey,
        peer: &WireguardPeer,
    ) -> Result<(), KernelError> {
        let running = self.0.get_mut(name).ok_or_else(|| KernelError::NotWireguard(name.clone()))?;
        let mut device = running.device.clone();
        device.set_peer(key, peer.clone());
        let problems =
            running.set(device).map_err(|source| KernelError::Engine { name: name.clone(), source })?;
        match problems.into_iter().find(|problem| concerns(problem, key)) {
            Some(problem) => {
                running.device.peers.remove(&key);
                Err(KernelError::Peer(problem))
            }
            None => Ok(()),
        }
    }

    /// Takes a peer from a device; one that has gone is gone.
    pub(crate) fn remove_peer(&mut self, name: &IfName, key: PublicKey) -> Result<(), KernelError> {
        let Some(running) = self.0.get_mut(name) else { return Ok(()) };
        let mut device = running.device.clone();
        device.peers.remove(&key);
        running.set(device).map(drop).map_err(|source| KernelError::Engine { name: name.clone(), source })
    }
}

impl Running {
    fn set(&mut self, device: WireguardDevice) -> Result<Vec<PeerProblem>, subm_wireguard::EngineError> {
        let problems = self.engine.set(&config(&device))?;
        self.device = device;
        Ok(problems)
    }
}

/// Whether a peer is left out for this. A network that two peers have goes to one of them, as it is meant to.
fn concerns(problem: &PeerProblem, key: PublicKey) -> bool {
    match problem {
        PeerProblem::OwnKey(peer) | PeerProblem::WeakKey(peer) => *peer == key,
        PeerProblem::Contested { .. } => false,
    }
}

fn config(device: &WireguardDevice) -> Config {
    let peer = |(key, peer): (&PublicKey, &WireguardPeer)| {
        let config = PeerConfig {
            preshared: peer.preshared_key.clone(),
            endpoint: Some(peer.endpoint),
            allowed: peer.allowed.clone(),
            keepalive: Some(peer.keepalive).filter(|seconds| *seconds > 0).map(seconds),
        };
        (*key, config)
    };
    Config {
        private_key: device.private_key.clone(),
        listen_port: device.listen_port,
        peers: device.peers.iter().map(peer).collect(),
    }
}

fn seconds(count: u16) -> Duration {
    Duration::from_secs(u64::from(count))
}

fn evidence(status: PeerStatus, now: SystemTime) -> PeerEvidence {
    let age = |at: SystemTime| now.duration_since(at).unwrap_or_default();
    PeerEvidence {
        handshake: status.last_handshake.map(age),
        received: status.received,
        sent: status.sent,
        endpoint: status.endpoint,
    }
}
