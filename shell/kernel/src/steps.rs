//! Steps taken one by one.

use nlink::netlink::{Connection, Nftables};
use subm_plan::{Flow, LinkKind, Scope, Step, StepFailure};
use subm_types::{IfName, PrivateKey};

use crate::netlink::Netlink;
use crate::{
    Capability, Kernel, KernelError, addresses, conntrack, links, neighbours, nft, routes, rules, sysctls,
};

/// A failure with what can be done about it.
pub(crate) fn failure(step: &Step, error: &KernelError) -> StepFailure {
    let reason = match remedy(step, error) {
        Some(remedy) => format!("{error}: {remedy}"),
        None => error.to_string(),
    };
    StepFailure { step: step.to_string(), reason }
}

fn remedy(step: &Step, error: &KernelError) -> Option<String> {
    let KernelError::Netlink { source, .. } = error else { return None };
    if source.is_permission_denied() {
        return Some("needs CAP_NET_ADMIN in this network namespace".to_owned());
    }
    let missing = source.is_not_supported();
    if let Step::CreateLink(_, link) = step
        && missing
    {
        let capability = match link.kind {
            LinkKind::Vxlan(_) => Capability::Vxlan,
            LinkKind::Bridge => Capability::Bridge,
            LinkKind::Tun => Capability::Tun,
            LinkKind::Veth(_) => Capability::Veth,
            LinkKind::Xfrm(_) => Capability::Xfrm,
            LinkKind::Wireguard => Capability::Wireguard,
        };
        return Some(capability.remedy());
    }
    // KERNEL: without nfnetlink's handler the answer is EINVAL, without an expression's module ENOENT.
    let missing = missing || source.is_invalid_argument() || source.is_not_found();
    (missing && matches!(step, Step::SetTable(_))).then(|| Capability::Nftables.remedy())
}

impl Kernel {
    pub(crate) fn take(&mut self, scope: &Scope, step: &Step) -> Result<(), KernelError> {
        match step {
            Step::CreateLink(name, link) => {
                self.forget_link(name);
                links::create(&self.netlink, scope, name, link)
            }
            Step::SetLink(name, link) => {
                self.cache.links = None;
                links::set(&self.netlink, scope, name, link)
            }
            Step::DeleteLink(name) => {
                self.forget_link(name);
                links::delete(&self.netlink, scope, name)
            }
            Step::AddAddress(dev, net) => {
                self.on(dev, |netlink, index| addresses::add(netlink, dev, index, net))
            }
            Step::DeleteAddress(dev, net) => {
                self.off(dev, |netlink, index| addresses::delete(netlink, dev, index, net))
            }
            Step::SetSysctl(sysctl) => sysctls::write(&sysctl.key.path(), sysctl.value),
            Step::SetWireguard(dev, key, port) => self.set_wireguard(dev, key, *port),
            Step::RemoveWireguard(dev) => self.wireguard.remove(&self.netlink, dev),
            Step::SetPeer(dev, key, peer) => self.wireguard.set_peer(&self.netlink, dev, (*key, peer)),
            Step::RemovePeer(dev, key) => self.wireguard.remove_peer(&self.netlink, dev, *key),
            Step::AddFdb(entry) => {
                self.on(&entry.dev, |netlink, index| neighbours::add_fdb(netlink, index, entry))
            }
            Step::DeleteFdb(entry) => {
                self.off(&entry.dev, |netlink, index| neighbours::delete_fdb(netlink, index, entry))
            }
            Step::SetNeighbour(neighbour) => {
                self.on(&neighbour.dev, |netlink, index| neighbours::set(netlink, index, neighbour))
            }
            Step::DeleteNeighbour(neighbour) => {
                self.off(&neighbour.dev, |netlink, index| neighbours::delete(netlink, index, neighbour))
            }
            Step::AddRule(rule) => rules::add(&self.netlink, scope.protocol, rule),
            Step::DeleteRule(rule) => rules::delete(&self.netlink, scope.protocol, rule),
            Step::SetRoute(key, route) => {
                self.ensure_links()?;
                routes::set(&self.netlink, scope.protocol, self.links(), (key, route))
            }
            Step::DeleteRoute(key, _) => routes::delete(&self.netlink, scope.protocol, key),
            Step::SetTable(table) => {
                self.filter("replace the table", async |nft| nft::replace(nft, table).await)
            }
            Step::ChangeElements(table, changes) => {
                self.filter("change elements", async |nft| nft::change_elements(nft, table, changes).await)
            }
            Step::DeleteTable(table) => {
                self.filter("delete the table", async |nft| nft::delete(nft, table).await)
            }
            Step::ForgetFlow(flow) => self.forget(flow),
        }
    }

    /// What is done to a link ends what we have on it.
    fn forget_link(&mut self, name: &IfName) {
        self.cache.links = None;
        self.wireguard.forget(name);
    }

    fn set_wireguard(&mut self, dev: &IfName, key: &PrivateKey, port: u16) -> Result<(), KernelError> {
        self.ensure_links()?;
        let links = self.cache.links.as_deref().unwrap_or_default();
        self.wireguard.set_device(&self.netlink, (dev, links), (key, port))
    }

    fn ensure_links(&mut self) -> Result<(), KernelError> {
        if self.cache.links.is_none() {
            self.cache.links = Some(links::list(&self.netlink)?);
        }
        Ok(())
    }

    /// Puts something on a link.
    fn on(
        &mut self,
        dev: &IfName,
        take: impl FnOnce(&Netlink, u32) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        self.ensure_links()?;
        take(&self.netlink, links::index(self.links(), dev)?)
    }

    /// Takes something from a link; what was on one that has gone is gone.
    fn off(
        &mut self,
        dev: &IfName,
        take: impl FnOnce(&Netlink, u32) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        self.ensure_links()?;
        links::index(self.links(), dev).map_or(Ok(()), |index| take(&self.netlink, index))
    }

    fn filter(
        &self,
        operation: &'static str,
        take: impl AsyncFnOnce(&Connection<Nftables>) -> nlink::Result<()>,
    ) -> Result<(), KernelError> {
        let nft = self.nft.as_ref().ok_or_else(no_netfilter)?;
        self.netlink.wait(take(nft)).map_err(KernelError::netlink(operation))
    }

    fn forget(&self, flow: &Flow) -> Result<(), KernelError> {
        let conntrack = self.conntrack.as_ref().ok_or_else(no_netfilter)?;
        let forgotten = self.netlink.wait(conntrack::forget(conntrack, flow));
        forgotten.map_err(KernelError::netlink("forget the tracked flow"))
    }
}

fn no_netfilter() -> KernelError {
    const NOT_SUPPORTED: i32 = 95;
    KernelError::netlink("open a netfilter socket")(nlink::Error::from_errno(NOT_SUPPORTED))
}
