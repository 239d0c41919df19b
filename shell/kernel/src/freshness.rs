//! Which of the things that were read are still true: the kernel's notifications, read without waiting.
//!
//! INVARIANT: a notification stands in the socket before the change that it is about can be seen to be done, so
//! what was read after the socket was last emptied, and has had no notification since, is what is there. What the
//! kernel keeps silent about is taken to be stale with what it tells of.

use std::collections::BTreeSet;

use nlink::netlink::messages::LinkMessage;
use nlink::netlink::types::neigh::NdMsg;
use nlink::netlink::types::route::RtMsg;
use nlink::netlink::{FromNetlink, MessageIter, NetlinkSocket, NlMsgHdr, Protocol};
use subm_plan::{RouteProtocol, Scope};
use subm_types::IfName;

use crate::links::LinkRecord;

/// A kind of thing that is read as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Links,
    Addresses,
    Neighbours,
    Rules,
    Routes,
    Defaults,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Links, Self::Addresses, Self::Neighbours, Self::Rules, Self::Routes, Self::Defaults];
}

/// `RTNLGRP_*` (`linux/rtnetlink.h`): links, neighbours, IPv4 addresses, routes and rules, IPv6 addresses, routes
/// and rules, and the parameters of either family.
const GROUPS: [u32; 10] = [1, 3, 5, 7, 8, 9, 11, 19, 24, 25];

/// `NLM_F_REPLACE` on a notification: the new route took the place of another.
const REPLACE: u16 = 0x100;

mod message {
    pub(super) const NEW_LINK: u16 = 16;
    pub(super) const DEL_LINK: u16 = 17;
    pub(super) const NEW_ADDRESS: u16 = 20;
    pub(super) const DEL_ADDRESS: u16 = 21;
    pub(super) const NEW_ROUTE: u16 = 24;
    pub(super) const DEL_ROUTE: u16 = 25;
    pub(super) const NEW_NEIGHBOUR: u16 = 28;
    pub(super) const DEL_NEIGHBOUR: u16 = 29;
    pub(super) const NEW_RULE: u16 = 32;
    pub(super) const DEL_RULE: u16 = 33;
    pub(super) const NEW_PARAMETERS: u16 = 80;
    pub(super) const DEL_PARAMETERS: u16 = 81;
}

/// What concerns an owner.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interest {
    protocol: Option<RouteProtocol>,
    names: BTreeSet<IfName>,
    indices: BTreeSet<u32>,
}

impl Interest {
    pub(crate) fn of(scope: &Scope) -> Self {
        Self { protocol: Some(scope.protocol), names: scope.links.clone(), indices: BTreeSet::new() }
    }

    /// Learns which indices the owner's names have.
    pub(crate) fn learn(&mut self, links: &[LinkRecord]) {
        let named = |link: &&LinkRecord| self.names.iter().any(|name| name.as_str() == link.name);
        self.indices = links.iter().filter(named).map(|link| link.index).collect();
    }

    fn follow(&mut self, kind: u16, payload: &[u8]) {
        let Ok(link) = LinkMessage::from_bytes(payload) else { return };
        let named = link.name().is_some_and(|found| self.names.iter().any(|name| name.as_str() == found));
        if kind == message::NEW_LINK && named {
            self.indices.insert(link.ifindex());
        } else {
            self.indices.remove(&link.ifindex());
        }
    }

    /// What a notification makes stale.
    fn stale(&mut self, header: &NlMsgHdr, payload: &[u8]) -> Vec<Kind> {
        match header.nlmsg_type {
            kind @ (message::NEW_LINK | message::DEL_LINK) => {
                self.follow(kind, payload);
                // KERNEL: IPv4 routes go silently with their link, its state or their source address.
                vec![Kind::Links, Kind::Addresses, Kind::Neighbours, Kind::Routes, Kind::Defaults]
            }
            message::NEW_ADDRESS | message::DEL_ADDRESS => {
                vec![Kind::Addresses, Kind::Routes, Kind::Defaults]
            }
            message::NEW_ROUTE | message::DEL_ROUTE => self.stale_routes(header, payload),
            message::NEW_NEIGHBOUR | message::DEL_NEIGHBOUR => {
                let index = NdMsg::from_bytes(payload).map_or(0, |header| header.ndm_ifindex.cast_unsigned());
                if self.indices.contains(&index) { vec![Kind::Neighbours] } else { Vec::new() }
            }
            message::NEW_RULE | message::DEL_RULE => vec![Kind::Rules, Kind::Defaults],
            message::NEW_PARAMETERS | message::DEL_PARAMETERS => vec![Kind::Links],
            _ => Vec::new(),
        }
    }

    fn stale_routes(&self, header: &NlMsgHdr, payload: &[u8]) -> Vec<Kind> {
        let Ok(route) = RtMsg::from_bytes(payload) else { return vec![Kind::Routes, Kind::Defaults] };
        let ours = self.protocol.is_none_or(|protocol| protocol.0 == route.rtm_protocol);
        // A replaced route is not named; it may have been ours.
        let replaced = header.nlmsg_flags & REPLACE != 0;
        let mut stale = Vec::new();
        if ours || replaced {
            stale.push(Kind::Routes);
        }
        if route.rtm_dst_len == 0 {
            stale.push(Kind::Defaults);
        }
        stale
    }

    /// What the notifications of one datagram make stale.
    pub(crate) fn stale_by(&mut self, data: &[u8]) -> BTreeSet<Kind> {
        let mut stale = BTreeSet::new();
        for message in MessageIter::new(data) {
            match message {
                Ok((header, payload)) => stale.extend(self.stale(header, payload)),
                Err(_) => stale.extend(Kind::ALL),
            }
        }
        stale
    }
}

/// A socket that hears of every change. To be made inside a runtime.
pub(crate) fn listen() -> nlink::Result<NetlinkSocket> {
    let socket = NetlinkSocket::new(Protocol::Route)?;
    for group in GROUPS {
        socket.add_membership(group)?;
    }
    Ok(socket)
}

/// Empties the socket and says what is stale; that notifications were lost makes everything so.
pub(crate) fn drain(socket: &NetlinkSocket, interest: &mut Interest) -> BTreeSet<Kind> {
    let mut stale = BTreeSet::new();
    loop {
        match socket.try_recv_msg() {
            Ok(Some(data)) => stale.append(&mut interest.stale_by(&data)),
            Ok(None) => return stale,
            Err(error) => {
                stale.extend(Kind::ALL);
                if !error.is_no_buffer_space() {
                    return stale;
                }
            }
        }
    }
}
