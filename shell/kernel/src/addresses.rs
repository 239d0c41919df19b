//! Addresses of links.

use std::net::IpAddr;

use ipnet::IpNet;
use nlink::netlink::messages::AddressMessage;
use nlink::netlink::types::addr::IfAddrMsg;
use nlink::netlink::{FromNetlink, MessageBuilder, NlMsgType};
use subm_types::IfName;

use crate::KernelError;
use crate::netlink::{self, CREATE, Netlink, REPLACE};

/// `AF_INET` and `AF_INET6`.
pub(crate) const V4: u8 = 2;
pub(crate) const V6: u8 = 10;
/// `IFA_*` (`linux/if_addr.h`).
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const FLAGS: u16 = 8;
/// `IFA_F_NODAD`: usable at once; nobody else is on the link.
const NO_DUPLICATE_DETECTION: u32 = 2;

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddressRecord {
    pub(crate) index: u32,
    pub(crate) net: IpNet,
    /// Whether it is in use and stays: neither is it still being tried out, nor will the kernel replace it by itself.
    pub(crate) settled: bool,
}

pub(crate) const fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => V4,
        IpAddr::V6(_) => V6,
    }
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

pub(crate) fn list(netlink: &Netlink) -> Result<Vec<AddressRecord>, KernelError> {
    let mut request = netlink::list(NlMsgType::RTM_GETADDR);
    request.append(&IfAddrMsg::new());
    let answers = netlink.ask(&request).map_err(KernelError::netlink("list addresses"))?;
    let read = |payload: &Vec<u8>| {
        let message = AddressMessage::from_bytes(payload).ok()?;
        let address = message.primary_address()?;
        let net = IpNet::new(*address, message.prefix_len()).ok()?;
        // The flag of temporary IPv6 addresses is that of secondary IPv4 ones.
        let temporary = address.is_ipv6() && message.is_secondary();
        let settled = !(temporary || message.is_tentative() || message.is_dad_failed());
        Some(AddressRecord { index: message.ifindex(), net, settled })
    };
    Ok(answers.iter().filter_map(read).collect())
}

fn append(request: &mut MessageBuilder, index: u32, net: &IpNet) {
    let address = net.addr();
    let header = IfAddrMsg::new().with_family(family(address)).with_prefixlen(net.prefix_len());
    request.append(&header.with_index(index));
    request.append_attr(LOCAL, &octets(address));
}

pub(crate) fn add(netlink: &Netlink, dev: &IfName, index: u32, net: &IpNet) -> Result<(), KernelError> {
    if net.addr().is_ipv6() {
        // Where new links have no IPv6, ours have it all the same.
        crate::sysctls::write(&format!("net/ipv6/conf/{dev}/disable_ipv6"), 0)?;
    }
    let mut request = netlink::change(NlMsgType::RTM_NEWADDR, CREATE | REPLACE);
    append(&mut request, index, net);
    request.append_attr(ADDRESS, &octets(net.addr()));
    if net.addr().is_ipv6() {
        request.append_attr_u32(FLAGS, NO_DUPLICATE_DETECTION);
    }
    netlink.send(&request).map_err(KernelError::netlink("add the address"))
}

pub(crate) fn delete(netlink: &Netlink, dev: &IfName, index: u32, net: &IpNet) -> Result<(), KernelError> {
    if net.addr().is_ipv4() {
        // KERNEL: with the first address of a network go its others, unless they are promoted
        // (`addresses_of_one_network_do_not_take_each_other_along`).
        crate::sysctls::write(&format!("net/ipv4/conf/{dev}/promote_secondaries"), 1)?;
    }
    let mut request = netlink::change(NlMsgType::RTM_DELADDR, 0);
    append(&mut request, index, net);
    match netlink.send(&request) {
        // EADDRNOTAVAIL: it is gone already.
        Err(error) if error.errno() == Some(99) => Ok(()),
        other => other.map_err(KernelError::netlink("delete the address")),
    }
}
