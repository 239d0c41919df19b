//! What planners must know of the host, observed before they are asked; never by them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use subm_types::{CidrSet, Family, IfName, MacAddress, Mtu, PerFamily};

/// One interface of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkFacts {
    /// The kernel's index.
    pub index: u32,
    /// The MTU.
    pub mtu: Option<Mtu>,
    /// Whether it is administratively up.
    pub up: bool,
    /// The hardware address, if it is an Ethernet one.
    pub mac: Option<MacAddress>,
    /// Its addresses with their prefixes, less those that are not in use yet or that the kernel will replace by itself.
    pub addresses: Vec<IpNet>,
    /// The kernel's name for the kind (`vxlan`, `bridge`, `veth`), empty for hardware.
    pub kind: String,
    /// The alias, where somebody gave one.
    pub alias: Option<String>,
    /// `rp_filter` as it stands on the link itself.
    pub rp_filter: Option<u32>,
    /// `net.ipv6.conf.LINK.accept_ra`: 1 follows router advertisements unless the link forwards, 2 even then.
    pub accept_ra: Option<u32>,
}

/// The host's network as it is. Absent is a state, never an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Interfaces by name.
    pub links: BTreeMap<IfName, LinkFacts>,
    /// The interface of the default route with the lowest metric in the main table, per family.
    pub default_route: PerFamily<IfName>,
    /// Whether TUN devices can be opened here.
    pub tun: bool,
    /// Whether the kernel carries WireGuard.
    pub wireguard: bool,
    /// `net.ipv4.conf.all.rp_filter`.
    pub rp_filter_all: Option<u32>,
    /// The address that the host sends from by its default route, per family: what Endpoints publish as private.
    pub preferred_source: PerFamily<IpAddr>,
    /// `net.ipv6.conf.all.forwarding`; absent where the kernel has no IPv6.
    pub ipv6_forwarding: Option<u32>,
}

impl HostFacts {
    /// The interface that carries an address of these networks, and the address: the CNI's, given pod CIDRs.
    /// Links are taken in order of their index, addresses as the kernel lists them.
    pub fn link_within(&self, networks: &CidrSet, family: Family) -> Option<(&IfName, IpAddr)> {
        let mut links: Vec<_> = self.links.iter().collect();
        links.sort_by_key(|(_, link)| link.index);
        links.into_iter().find_map(|(name, link)| {
            let inside = |net: &&IpNet| Family::of_net(net) == family && networks.contains(net.addr());
            link.addresses.iter().find(inside).map(|net| (name, net.addr()))
        })
    }

    /// The interface that carries this very address.
    pub fn link_with(&self, address: IpAddr) -> Option<(&IfName, &LinkFacts)> {
        self.links.iter().find(|(_, link)| link.addresses.iter().any(|net| net.addr() == address))
    }

    /// The networks that links with one of these addresses are in: what lies there is met without a router.
    pub fn networks_beside(&self, addresses: impl IntoIterator<Item = IpAddr>) -> CidrSet {
        let links = addresses.into_iter().filter_map(|address| self.link_with(address));
        links.flat_map(|(_, link)| link.addresses.iter().map(IpNet::trunc)).collect()
    }

    /// `rp_filter` in force on a link: the larger of its own and that of `all`.
    pub fn effective_rp_filter(&self, link: &IfName) -> u32 {
        let own = self.links.get(link).and_then(|link| link.rp_filter).unwrap_or(0);
        own.max(self.rp_filter_all.unwrap_or(0))
    }
}
