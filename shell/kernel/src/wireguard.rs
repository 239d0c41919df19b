//! WireGuard devices, whoever carries their packets: the kernel on links of its own kind, this process on others.

mod engines;
mod native;

use std::collections::BTreeMap;

use subm_plan::{Evidence, LinkKind, NodePlan, WireguardDevice, WireguardPeer};
use subm_types::{IfName, PrivateKey, PublicKey};

use crate::KernelError;
use crate::links::LinkRecord;
use crate::netlink::Netlink;

use engines::Engines;
use native::Native;

/// The devices of one network namespace.
#[derive(Default)]
pub(crate) struct Devices {
    engines: Engines,
    native: Native,
}

impl Devices {
    /// What stands, of the owner's links and of what this process carries.
    pub(crate) fn observe(
        &mut self,
        netlink: &Netlink,
        (own, links): (&[(IfName, LinkRecord)], &[LinkRecord]),
        plan: &NodePlan,
    ) -> Result<BTreeMap<IfName, WireguardDevice>, KernelError> {
        let mut found = self.engines.observe(links);
        let native = own.iter().filter(|(_, link)| link.decode(links).kind == LinkKind::Wireguard);
        let names: Vec<&IfName> = native.map(|(name, _)| name).collect();
        found.extend(self.native.observe(netlink, &names, plan)?);
        Ok(found)
    }

    /// What all devices tell of their peers; keys are unique in one namespace.
    pub(crate) fn evidence(&self) -> Evidence {
        let mut all = self.engines.evidence();
        all.extend(self.native.evidence().clone());
        all
    }

    /// Lets go of a link that is about to go or to become another one.
    pub(crate) fn forget(&mut self, name: &IfName) {
        self.engines.end(name);
        self.native.forget(name);
    }

    /// Gives the device on a link this key and port.
    pub(crate) fn set_device(
        &mut self,
        netlink: &Netlink,
        (name, links): (&IfName, &[LinkRecord]),
        (key, port): (&PrivateKey, u16),
    ) -> Result<(), KernelError> {
        let link = links.iter().find(|link| link.name == name.as_str());
        if link.is_some_and(|link| link.decode(links).kind == LinkKind::Wireguard) {
            return self.native.set_device(netlink, name, (key, port));
        }
        self.engines.set_device((name, links), key, port)
    }

    /// Takes peers and engine from a link.
    pub(crate) fn remove(&mut self, netlink: &Netlink, name: &IfName) -> Result<(), KernelError> {
        if self.engines.carry(name) {
            self.engines.end(name);
            return Ok(());
        }
        self.native.empty(netlink, name)
    }

    /// Gives a device a peer, or changes one.
    pub(crate) fn set_peer(
        &mut self,
        netlink: &Netlink,
        name: &IfName,
        (key, peer): (PublicKey, &WireguardPeer),
    ) -> Result<(), KernelError> {
        if self.engines.carry(name) {
            return self.engines.set_peer(name, key, peer);
        }
        self.native.set_peer(netlink, name, (key, peer))
    }

    /// Takes a peer from a device; one that has gone is gone.
    pub(crate) fn remove_peer(
        &mut self,
        netlink: &Netlink,
        name: &IfName,
        key: PublicKey,
    ) -> Result<(), KernelError> {
        if self.engines.carry(name) {
            return self.engines.remove_peer(name, key);
        }
        self.native.remove_peer(netlink, name, key)
    }
}
