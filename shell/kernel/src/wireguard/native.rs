//! WireGuard devices that the kernel carries. They are read at each look: the kernel tells of no change.

mod roaming;

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use ipnet::IpNet;
use nlink::netlink::genl::wireguard::{AllowedIp, WgDevice, WgDeviceBuilder, WgPeer, WgPeerBuilder};
use nlink::netlink::{Connection, Wireguard};
use subm_plan::{Evidence, NodePlan, PeerEvidence, WireguardDevice, WireguardPeer};
use subm_types::{CidrSet, IfName, PresharedKey, PrivateKey, PublicKey};

use crate::KernelError;
use crate::netlink::Netlink;

use roaming::{Roaming, Sight};

/// A key that stands for none (`linux/wireguard.h`).
const NO_KEY: [u8; 32] = [0; 32];

/// The kernel's devices of one network namespace.
#[derive(Default)]
pub(crate) struct Native {
    connection: Option<Connection<Wireguard>>,
    roaming: BTreeMap<IfName, Roaming>,
    evidence: Evidence,
}

impl Native {
    /// Reads these devices.
    pub(crate) fn observe(
        &mut self,
        netlink: &Netlink,
        names: &[&IfName],
        plan: &NodePlan,
    ) -> Result<BTreeMap<IfName, WireguardDevice>, KernelError> {
        self.evidence.clear();
        let mut found = BTreeMap::new();
        for &name in names {
            let read = {
                let connection = self.connect(netlink)?;
                netlink.wait(connection.get_device_by_name(name.as_str()))
            };
            let device = match read {
                Ok(device) => device,
                // It went since its link was read.
                Err(error) if error.is_not_found() || error.is_no_device() => continue,
                Err(error) => return Err(KernelError::netlink("read the WireGuard device")(error)),
            };
            let now = SystemTime::now();
            self.evidence.extend(device.peers.iter().map(|peer| (key_of(peer), evidence(peer, now))));
            let planned = plan.wireguard.get(name);
            let roaming = self.roaming.entry(name.clone()).or_default();
            found.extend(decode(&device, planned, roaming).map(|device| (name.clone(), device)));
        }
        Ok(found)
    }

    /// What was last read of the peers.
    pub(crate) fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    pub(crate) fn forget(&mut self, name: &IfName) {
        self.roaming.remove(name);
    }

    /// COMPAT: no packet of the device is marked.
    pub(crate) fn set_device(
        &mut self,
        netlink: &Netlink,
        name: &IfName,
        (key, port): (&PrivateKey, u16),
    ) -> Result<(), KernelError> {
        self.set(netlink, name, "set the WireGuard device", |device| {
            device.private_key(*key.as_bytes()).listen_port(port).fwmark(0)
        })
    }

    /// Leaves a device without key and peers.
    pub(crate) fn empty(&mut self, netlink: &Netlink, name: &IfName) -> Result<(), KernelError> {
        self.forget(name);
        let emptied = self.set(netlink, name, "empty the WireGuard device", |device| {
            device.private_key(NO_KEY).replace_peers()
        });
        or_gone(emptied)
    }

    /// The address of a peer that was heard from elsewhere is left as it is: that is where it is.
    pub(crate) fn set_peer(
        &mut self,
        netlink: &Netlink,
        name: &IfName,
        (key, peer): (PublicKey, &WireguardPeer),
    ) -> Result<(), KernelError> {
        let moved = self.roaming.get(name).is_some_and(|roaming| roaming.has_moved(key, peer.endpoint));
        let preshared = peer.preshared_key.as_ref().map_or(NO_KEY, |key| *key.as_bytes());
        let mut wanted = WgPeerBuilder::new(*key.as_bytes())
            .preshared_key(preshared)
            .persistent_keepalive(peer.keepalive)
            .replace_allowed_ips()
            .allowed_ips(peer.allowed.iter().map(allowed));
        if !moved {
            wanted = wanted.endpoint(peer.endpoint);
        }
        self.set(netlink, name, "set the WireGuard peer", |device| device.peer(wanted))?;
        self.roaming.entry(name.clone()).or_default().told(key, peer.endpoint);
        Ok(())
    }

    pub(crate) fn remove_peer(
        &mut self,
        netlink: &Netlink,
        name: &IfName,
        key: PublicKey,
    ) -> Result<(), KernelError> {
        let unwanted = WgPeerBuilder::new(*key.as_bytes()).remove();
        or_gone(self.set(netlink, name, "remove the WireGuard peer", |device| device.peer(unwanted)))
    }

    fn set(
        &mut self,
        netlink: &Netlink,
        name: &IfName,
        operation: &'static str,
        configure: impl FnOnce(WgDeviceBuilder) -> WgDeviceBuilder,
    ) -> Result<(), KernelError> {
        let connection = self.connect(netlink)?;
        let set = netlink.wait(connection.set_device_by_name(name.as_str(), configure));
        set.map_err(KernelError::netlink(operation))
    }

    fn connect(&mut self, netlink: &Netlink) -> Result<&Connection<Wireguard>, KernelError> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            absent @ None => {
                let made = netlink.wait(Connection::<Wireguard>::new_async());
                Ok(absent.insert(made.map_err(KernelError::netlink("ask the kernel for WireGuard"))?))
            }
        }
    }
}

/// What was on a device that has gone is gone.
fn or_gone(outcome: Result<(), KernelError>) -> Result<(), KernelError> {
    match outcome {
        Err(KernelError::Netlink { source, .. }) if source.is_not_found() || source.is_no_device() => Ok(()),
        other => other,
    }
}

fn key_of(peer: &WgPeer) -> PublicKey {
    PublicKey(peer.public_key)
}

fn allowed(net: IpNet) -> AllowedIp {
    AllowedIp { addr: net.addr(), cidr: net.prefix_len() }
}

fn evidence(peer: &WgPeer, now: SystemTime) -> PeerEvidence {
    PeerEvidence {
        handshake: peer.last_handshake.map(|at| now.duration_since(at).unwrap_or_default()),
        received: peer.rx_bytes,
        sent: peer.tx_bytes,
        endpoint: peer.endpoint,
    }
}

/// The device in the plan's words, or nothing where it has no key yet.
fn decode(
    device: &WgDevice,
    planned: Option<&WireguardDevice>,
    roaming: &mut Roaming,
) -> Option<WireguardDevice> {
    let wanted = |key: &PublicKey| planned.and_then(|planned| planned.peers.get(key));
    let mut peers = BTreeMap::new();
    for peer in &device.peers {
        let key = key_of(peer);
        let wanted = wanted(&key).map(|wanted| wanted.endpoint);
        peers.insert(key, decode_peer(peer, roaming.place(key, sight(peer), wanted)));
    }
    roaming.retain(|key| peers.contains_key(key));
    // A mark that somebody gave the device is taken away with its port.
    let marked = device.fwmark.is_some_and(|mark| mark != 0);
    Some(WireguardDevice {
        private_key: PrivateKey::new(device.private_key?),
        listen_port: device.listen_port.filter(|_| !marked).unwrap_or(0),
        peers,
    })
}

fn sight(peer: &WgPeer) -> Sight {
    let handshake = peer.last_handshake.and_then(|at| SystemTime::now().duration_since(at).ok());
    Sight { endpoint: peer.endpoint, received: peer.rx_bytes, handshake, at: Instant::now() }
}

fn decode_peer(peer: &WgPeer, endpoint: std::net::SocketAddr) -> WireguardPeer {
    let net = |allowed: &AllowedIp| IpNet::new(allowed.addr, allowed.cidr).ok();
    WireguardPeer {
        preshared_key: peer.preshared_key.filter(|key| *key != NO_KEY).map(PresharedKey::new),
        endpoint,
        allowed: peer.allowed_ips.iter().filter_map(net).collect::<CidrSet>(),
        keepalive: peer.persistent_keepalive.unwrap_or(0),
    }
}
