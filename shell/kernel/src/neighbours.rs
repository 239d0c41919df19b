//! Forwarding entries and permanent neighbours of our own links.

use std::net::IpAddr;

use nlink::netlink::messages::NeighborMessage;
use nlink::netlink::types::neigh::NdMsg;
use nlink::netlink::{Error, FromNetlink, MessageBuilder, NlMsgType};
use subm_plan::{FdbEntry, Neighbour};
use subm_types::{IfName, MacAddress};

use crate::KernelError;
use crate::addresses::{family, octets};
use crate::netlink::{self, APPEND, CREATE, Netlink, REPLACE};

/// `AF_BRIDGE`.
const BRIDGE: u8 = 7;
/// `NUD_PERMANENT` and `NTF_SELF` (`linux/neighbour.h`).
const PERMANENT: u16 = 0x80;
const OF_THE_DEVICE: u8 = 2;
/// `NDA_*`.
const DST: u16 = 1;
const LLADDR: u16 = 2;
const PORT: u16 = 6;
const IFINDEX: u16 = 8;

/// A forwarding entry, and whether it stays for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FdbRecord {
    pub(crate) entry: FdbEntry,
    pub(crate) permanent: bool,
}

fn mac(message: &NeighborMessage) -> Option<MacAddress> {
    <[u8; 6]>::try_from(message.lladdr()?).ok().map(MacAddress)
}

/// The forwarding entries of a VXLAN device's own table.
pub(crate) fn list_fdb(netlink: &Netlink, dev: &IfName, index: u32) -> Result<Vec<FdbRecord>, KernelError> {
    let mut request = netlink::list(NlMsgType::RTM_GETNEIGH);
    request.append(&NdMsg::new().with_family(BRIDGE).with_ifindex(index.cast_signed()));
    let answers = netlink.ask(&request).map_err(KernelError::netlink("list forwarding entries"))?;
    let read = |payload: &Vec<u8>| {
        let message = NeighborMessage::from_bytes(payload).ok()?;
        if message.ifindex() != index || message.flags() & OF_THE_DEVICE == 0 {
            return None;
        }
        let (mac, dst, port) = (mac(&message)?, *message.destination()?, message.port());
        let permanent = message.is_permanent();
        Some(FdbRecord { entry: FdbEntry { dev: dev.clone(), mac, dst, port }, permanent })
    };
    Ok(answers.iter().filter_map(read).collect())
}

/// The permanent neighbours of a link.
pub(crate) fn list(netlink: &Netlink, dev: &IfName, index: u32) -> Result<Vec<Neighbour>, KernelError> {
    let mut request = netlink::list(NlMsgType::RTM_GETNEIGH);
    request.append(&NdMsg::new());
    request.append_attr_u32(IFINDEX, index);
    let answers = netlink.ask(&request).map_err(KernelError::netlink("list neighbours"))?;
    let read = |payload: &Vec<u8>| {
        let message = NeighborMessage::from_bytes(payload).ok()?;
        if message.ifindex() != index || !message.is_permanent() {
            return None;
        }
        Some(Neighbour { dev: dev.clone(), address: *message.destination()?, mac: mac(&message)? })
    };
    Ok(answers.iter().filter_map(read).collect())
}

fn fdb_message(request: &mut MessageBuilder, index: u32, entry: &FdbEntry) {
    let header = NdMsg::new().with_family(BRIDGE).with_ifindex(index.cast_signed());
    request.append(&header.with_state(PERMANENT).with_flags(OF_THE_DEVICE));
    request.append_attr(LLADDR, &entry.mac.0);
    request.append_attr(DST, &octets(entry.dst));
    if let Some(port) = entry.port {
        request.append_attr_u16_be(PORT, port);
    }
}

pub(crate) fn add_fdb(netlink: &Netlink, index: u32, entry: &FdbEntry) -> Result<(), KernelError> {
    // KERNEL: several remotes may be behind the all-zero address only, and only appended.
    let more = if entry.mac == MacAddress::ZERO { APPEND } else { REPLACE };
    let mut request = netlink::change(NlMsgType::RTM_NEWNEIGH, CREATE | more);
    fdb_message(&mut request, index, entry);
    match netlink.send(&request) {
        Err(error) if error.is_already_exists() => Ok(()),
        other => other.map_err(KernelError::netlink("add the forwarding entry")),
    }
}

pub(crate) fn delete_fdb(netlink: &Netlink, index: u32, entry: &FdbEntry) -> Result<(), KernelError> {
    let mut request = netlink::change(NlMsgType::RTM_DELNEIGH, 0);
    fdb_message(&mut request, index, entry);
    gone(netlink.send(&request), "delete the forwarding entry")
}

fn message(request: &mut MessageBuilder, index: u32, address: IpAddr) {
    let header = NdMsg::new().with_family(family(address)).with_ifindex(index.cast_signed());
    request.append(&header.with_state(PERMANENT));
    request.append_attr(DST, &octets(address));
}

pub(crate) fn set(netlink: &Netlink, index: u32, neighbour: &Neighbour) -> Result<(), KernelError> {
    let mut request = netlink::change(NlMsgType::RTM_NEWNEIGH, CREATE | REPLACE);
    message(&mut request, index, neighbour.address);
    request.append_attr(LLADDR, &neighbour.mac.0);
    netlink.send(&request).map_err(KernelError::netlink("set the neighbour"))
}

pub(crate) fn delete(netlink: &Netlink, index: u32, neighbour: &Neighbour) -> Result<(), KernelError> {
    let mut request = netlink::change(NlMsgType::RTM_DELNEIGH, 0);
    message(&mut request, index, neighbour.address);
    gone(netlink.send(&request), "delete the neighbour")
}

fn gone(result: Result<(), Error>, operation: &'static str) -> Result<(), KernelError> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map_err(KernelError::netlink(operation)),
    }
}
