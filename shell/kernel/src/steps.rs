//! Steps taken one by one.

use subm_plan::{LinkKind, Scope, Step, StepFailure};

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
    match step {
        Step::CreateLink(_, link) if missing => Some(match link.kind {
            LinkKind::Vxlan(_) => Capability::Vxlan.remedy(),
            LinkKind::Bridge => Capability::Bridge.remedy(),
        }),
        // KERNEL: without nfnetlink's handler the answer is EINVAL, without an expression's module ENOENT.
        Step::SetTable(_) if missing || source.is_invalid_argument() || source.is_not_found() => {
            Some(Capability::Nftables.remedy())
        }
        _ => None,
    }
}

impl Kernel {
    pub(crate) fn take(&mut self, scope: &Scope, step: &Step) -> Result<(), KernelError> {
        match step {
            Step::CreateLink(name, link) => {
                self.cache.links = None;
                links::create(&self.netlink, scope, name, link)
            }
            Step::SetLink(name, link) => links::set(&self.netlink, scope, name, link),
            Step::DeleteLink(name) => {
                self.cache.links = None;
                links::delete(&self.netlink, scope, name)
            }
            Step::SetSysctl(sysctl) => sysctls::write(&sysctl.key.path(), sysctl.value),
            Step::AddRule(rule) => rules::add(&self.netlink, scope.protocol, rule),
            Step::DeleteRule(rule) => rules::delete(&self.netlink, scope.protocol, rule),
            Step::SetRoute(key, route) => {
                self.ensure_links()?;
                routes::set(&self.netlink, scope.protocol, self.links(), (key, route))
            }
            Step::DeleteRoute(key, _) => routes::delete(&self.netlink, scope.protocol, key),
            Step::AddAddress(..)
            | Step::DeleteAddress(..)
            | Step::AddFdb(_)
            | Step::DeleteFdb(_)
            | Step::SetNeighbour(_)
            | Step::DeleteNeighbour(_) => self.take_on_link(step),
            Step::SetTable(_) | Step::ChangeElements(..) | Step::DeleteTable(_) | Step::ForgetFlow(_) => {
                self.take_in_filter(step)
            }
        }
    }

    fn ensure_links(&mut self) -> Result<(), KernelError> {
        if self.cache.links.is_none() {
            self.cache.links = Some(links::list(&self.netlink)?);
        }
        Ok(())
    }

    fn take_on_link(&mut self, step: &Step) -> Result<(), KernelError> {
        self.ensure_links()?;
        let netlink = &self.netlink;
        let index = |name| links::index(self.links(), name);
        // What was on a link that has gone is gone.
        let gone = |name| index(name).is_err();
        match step {
            Step::AddAddress(dev, net) => addresses::add(netlink, index(dev)?, net),
            Step::AddFdb(entry) => neighbours::add_fdb(netlink, index(&entry.dev)?, entry),
            Step::SetNeighbour(neighbour) => neighbours::set(netlink, index(&neighbour.dev)?, neighbour),
            Step::DeleteAddress(dev, net) if !gone(dev) => addresses::delete(netlink, dev, index(dev)?, net),
            Step::DeleteFdb(entry) if !gone(&entry.dev) => {
                neighbours::delete_fdb(netlink, index(&entry.dev)?, entry)
            }
            Step::DeleteNeighbour(neighbour) if !gone(&neighbour.dev) => {
                neighbours::delete(netlink, index(&neighbour.dev)?, neighbour)
            }
            _ => Ok(()),
        }
    }

    fn take_in_filter(&self, step: &Step) -> Result<(), KernelError> {
        let no_filter = || KernelError::netlink("open a netfilter socket")(nlink::Error::from_errno(95));
        let filter = || self.nft.as_ref().ok_or_else(no_filter);
        match step {
            Step::SetTable(table) => {
                let replaced = self.netlink.wait(nft::replace(filter()?, table));
                replaced.map_err(KernelError::netlink("replace the packet-filter table"))
            }
            Step::ChangeElements(table, changes) => {
                let changed = self.netlink.wait(nft::change_elements(filter()?, table, changes));
                changed.map_err(KernelError::netlink("change elements of the packet-filter table"))
            }
            Step::DeleteTable(table) => {
                let deleted = self.netlink.wait(nft::delete(filter()?, table));
                deleted.map_err(KernelError::netlink("delete the packet-filter table"))
            }
            Step::ForgetFlow(flow) => {
                let conntrack = self.conntrack.as_ref().ok_or_else(no_filter)?;
                let forgotten = self.netlink.wait(conntrack::forget(conntrack, flow));
                forgotten.map_err(KernelError::netlink("forget the tracked flow"))
            }
            _ => Ok(()),
        }
    }
}
