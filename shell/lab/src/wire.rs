//! Links between hosts, and addresses and routes on them.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use nlink::netlink::addr::{Ipv4Address, Ipv6Address};
use nlink::netlink::link::{BridgeLink, BridgePortConfig, VethLink};
use nlink::netlink::route::{Ipv4Route, Ipv6Route};

use crate::{Host, LabError};

/// A wire between two hosts: one end on each.
#[derive(Debug, Clone)]
pub struct Veth<'a> {
    /// One host and the name of its end.
    pub here: (&'a Host, &'a str),
    /// The other host and the name of its end.
    pub there: (&'a Host, &'a str),
    /// The MTU of both ends.
    pub mtu: u32,
}

impl Veth<'_> {
    /// Lays the wire and takes both ends up.
    pub async fn lay(&self) -> Result<(), LabError> {
        let ((here, near), (there, far)) = (self.here, self.there);
        let what = format!("ip link add {near} type veth peer name {far} netns {}", there.name());
        let link = VethLink::new(near, far).mtu(self.mtu).peer_netns_fd(there.netns());
        here.netlink()?.add_link(link).await.map_err(LabError::kernel(here.name(), what))?;
        for (host, link) in [self.here, self.there] {
            host.use_addresses_at_once(link)?;
            host.up(link).await?;
        }
        Ok(())
    }
}

impl Host {
    /// Makes a bridge.
    pub async fn add_bridge(&self, name: &str, mtu: u32) -> Result<(), LabError> {
        let bridge = BridgeLink::new(name).mtu(mtu).forward_delay_ms(0);
        self.netlink()?
            .add_link(bridge)
            .await
            .map_err(LabError::kernel(self.name(), format!("ip link add {name} type bridge")))?;
        self.use_addresses_at_once(name)?;
        self.up(name).await
    }

    /// Does without the search for others that have an IPv6 address of the link.
    ///
    /// KERNEL: while the link-local address is searched for, which takes a second or two, a router does not ask for
    /// its neighbours.
    pub fn use_addresses_at_once(&self, link: &str) -> Result<(), LabError> {
        let path = format!("net/ipv6/conf/{link}/accept_dad");
        let file = format!("/proc/sys/{path}");
        if self.enter(|| Path::new(&file).exists())? { self.sysctl(&path, "0") } else { Ok(()) }
    }

    /// Makes a link a port of a bridge.
    pub async fn attach(&self, port: &str, bridge: &str) -> Result<(), LabError> {
        self.netlink()?
            .set_link_master(port, bridge)
            .await
            .map_err(LabError::kernel(self.name(), format!("ip link set {port} master {bridge}")))
    }

    /// Makes a link a port of a bridge that may send a frame back where it came from, as a pod needs that calls a
    /// service and is drawn itself.
    pub async fn attach_hairpin(&self, port: &str, bridge: &str) -> Result<(), LabError> {
        self.attach(port, bridge).await?;
        self.netlink()?
            .set_bridge_port(port, BridgePortConfig::new().hairpin(true))
            .await
            .map_err(LabError::kernel(self.name(), format!("bridge link set dev {port} hairpin on")))
    }

    /// Takes a link up.
    pub async fn up(&self, link: &str) -> Result<(), LabError> {
        self.netlink()?
            .set_link_up(link)
            .await
            .map_err(LabError::kernel(self.name(), format!("ip link set {link} up")))
    }

    /// Gives a link an MTU.
    pub async fn set_mtu(&self, link: &str, mtu: u32) -> Result<(), LabError> {
        self.netlink()?
            .set_link_mtu(link, mtu)
            .await
            .map_err(LabError::kernel(self.name(), format!("ip link set {link} mtu {mtu}")))
    }

    /// Gives a link an address, which can be used at once: nobody else in the lab has it.
    pub async fn add_address(&self, link: &str, address: IpNet) -> Result<(), LabError> {
        let netlink = self.netlink()?;
        let added = match address {
            IpNet::V4(net) => netlink.add_address(Ipv4Address::new(link, net.addr(), net.prefix_len())).await,
            IpNet::V6(net) => {
                netlink.add_address(Ipv6Address::new(link, net.addr(), net.prefix_len()).nodad()).await
            }
        };
        added.map_err(LabError::kernel(self.name(), format!("ip address add {address} dev {link}")))
    }

    /// Adds a route by a neighbour.
    pub async fn add_route(&self, to: IpNet, via: impl Into<IpAddr>) -> Result<(), LabError> {
        let via = via.into();
        let netlink = self.netlink()?;
        let failed = LabError::kernel(self.name(), format!("ip route add {to} via {via}"));
        let added = match (to, via) {
            (IpNet::V4(to), IpAddr::V4(via)) => {
                netlink.add_route(Ipv4Route::new(to.network(), to.prefix_len()).gateway(via)).await
            }
            (IpNet::V6(to), IpAddr::V6(via)) => {
                netlink.add_route(Ipv6Route::new(to.network(), to.prefix_len()).gateway(via)).await
            }
            (IpNet::V4(_), IpAddr::V6(_)) | (IpNet::V6(_), IpAddr::V4(_)) => {
                Err(nlink::Error::invalid_message("a route and its neighbour are of one family"))
            }
        };
        added.map_err(failed)
    }

    /// Lets packets of both families pass through the host.
    pub fn forward_packets(&self) -> Result<(), LabError> {
        self.sysctl("net/ipv4/ip_forward", "1")?;
        if self.enter(|| Path::new("/proc/sys/net/ipv6").exists())? {
            self.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        }
        Ok(())
    }

    /// The kernel's index of a link.
    pub(crate) async fn index_of(&self, link: &str) -> Result<u32, LabError> {
        let what = format!("ip link show {link}");
        let found = self.netlink()?.get_link_by_name(link).await;
        let found = found.map_err(LabError::kernel(self.name(), &*what))?;
        let missing = || LabError::io(self.name(), &*what)(std::io::ErrorKind::NotFound.into());
        Ok(found.ok_or_else(missing)?.ifindex())
    }

    /// The addresses of a link.
    pub async fn addresses(&self, link: &str) -> Result<Vec<IpAddr>, LabError> {
        let addresses = self
            .netlink()?
            .get_addresses_by_name(link)
            .await
            .map_err(LabError::kernel(self.name(), format!("ip address show dev {link}")))?;
        Ok(addresses.iter().filter_map(|message| message.address().copied()).collect())
    }
}
