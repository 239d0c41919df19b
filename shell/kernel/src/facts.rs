//! What planners must know of the host.

use std::net::IpAddr;

use subm_plan::{HostFacts, LinkFacts};
use subm_types::{Family, IfName, PerFamily};

use crate::kernel::Cache;
use crate::links::LinkRecord;
use crate::netlink::Netlink;
use crate::{KernelError, routes, sysctls};

/// Where the default routes lead.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults {
    link: PerFamily<IfName>,
    source: PerFamily<IpAddr>,
}

impl Defaults {
    pub(crate) fn read(netlink: &Netlink, links: &[LinkRecord]) -> Result<Self, KernelError> {
        let mut defaults = Self::default();
        for family in Family::ALL {
            let index = routes::default_link(netlink, family)?;
            let link = index.and_then(|index| links.iter().find(|link| link.index == index));
            if let Some(name) = link.and_then(|link| link.name.parse().ok()) {
                defaults.link.set(family, name);
            }
            if let Some(source) = routes::preferred_source(netlink, family) {
                defaults.source.set(family, source);
            }
        }
        Ok(defaults)
    }
}

/// The facts out of what was read.
pub(crate) fn gather(cache: &Cache) -> HostFacts {
    let named = |link: &LinkRecord| Some((link.name.parse().ok()?, link_facts(link, cache)));
    let defaults = cache.defaults.clone().unwrap_or_default();
    HostFacts {
        links: cache.links.iter().flatten().filter_map(named).collect(),
        default_route: defaults.link,
        tun: cache.tun,
        rp_filter_all: sysctls::read("net/ipv4/conf/all/rp_filter"),
        preferred_source: defaults.source,
    }
}

fn link_facts(link: &LinkRecord, cache: &Cache) -> LinkFacts {
    let here = cache.addresses.iter().flatten().filter(|record| record.index == link.index);
    LinkFacts {
        index: link.index,
        mtu: link.mtu,
        up: link.up,
        mac: link.mac,
        addresses: here.map(|record| record.net).collect(),
        kind: link.kind.clone(),
        alias: link.alias.clone(),
        rp_filter: link.rp_filter,
    }
}
