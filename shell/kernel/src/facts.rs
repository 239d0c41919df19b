//! What planners must know of the host.

use std::net::IpAddr;

use subm_plan::{HostFacts, LinkFacts};
use subm_types::{Family, IfName, PerFamily};

use crate::addresses::AddressRecord;
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
pub(crate) fn gather(cache: &Cache, wireguard: bool) -> HostFacts {
    let named = |link: &LinkRecord| Some((link.name.parse().ok()?, link_facts(link, cache)));
    let defaults = cache.defaults.clone().unwrap_or_default();
    HostFacts {
        links: cache.links.iter().flatten().filter_map(named).collect(),
        default_route: defaults.link,
        tun: cache.tun,
        wireguard,
        rp_filter_all: sysctls::read("net/ipv4/conf/all/rp_filter"),
        preferred_source: settled(defaults.source, cache),
        ipv6_forwarding: sysctls::read("net/ipv6/conf/all/forwarding"),
    }
}

/// The sources, but in place of an address that will not stay another one of its link: peers must find it again.
fn settled(mut sources: PerFamily<IpAddr>, cache: &Cache) -> PerFamily<IpAddr> {
    let all = || cache.addresses.iter().flatten();
    let passing =
        sources.v6.and_then(|source| all().find(|record| record.net.addr() == source && !record.settled));
    if let Some(passing) = passing {
        let stays = |record: &&AddressRecord| {
            let address = record.net.addr();
            let usable = matches!(address, IpAddr::V6(v6) if !v6.is_unicast_link_local());
            record.index == passing.index && record.settled && usable
        };
        let beside = all().filter(stays).max_by_key(|record| record.net.trunc() == passing.net.trunc());
        sources.v6 = beside.map(|record| record.net.addr());
    }
    sources
}

fn link_facts(link: &LinkRecord, cache: &Cache) -> LinkFacts {
    let here = cache.addresses.iter().flatten();
    let here = here.filter(|record| record.index == link.index && record.settled);
    LinkFacts {
        index: link.index,
        mtu: link.mtu,
        up: link.up,
        mac: link.mac,
        addresses: here.map(|record| record.net).collect(),
        kind: link.kind.clone(),
        alias: link.alias.clone(),
        rp_filter: link.rp_filter,
        accept_ra: link.accept_ra,
    }
}
