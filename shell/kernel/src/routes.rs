//! Routes of our protocol, and where the default routes lead.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nlink::netlink::messages::RouteMessage;
use nlink::netlink::route::RouteMetrics;
use nlink::netlink::types::route::{RouteType, RtMsg};
use nlink::netlink::{FromNetlink, MessageBuilder, NlMsgType};
use subm_plan::{Route, RouteKey, RouteProtocol, RouteTarget, TableId};
use subm_types::{Family, Mtu};

use crate::KernelError;
use crate::addresses::{V4, V6, family, octets};
use crate::links::{self, LinkRecord};
use crate::netlink::{self, CREATE, EXCLUSIVE, Netlink, REPLACE};

/// `RTA_*` (`linux/rtnetlink.h`).
mod attribute {
    pub(super) const DST: u16 = 1;
    pub(super) const OIF: u16 = 4;
    pub(super) const GATEWAY: u16 = 5;
    pub(super) const PRIORITY: u16 = 6;
    pub(super) const PREFSRC: u16 = 7;
    pub(super) const METRICS: u16 = 8;
    pub(super) const TABLE: u16 = 15;
    /// `RTAX_MTU`.
    pub(super) const MTU: u16 = 2;
}
/// `RTN_UNICAST` and `RTN_UNREACHABLE`.
const UNICAST: u8 = 1;
const UNREACHABLE: u8 = 7;
/// `RT_SCOPE_LINK` and `RT_SCOPE_NOWHERE`.
const ON_LINK: u8 = 253;
const ANY_SCOPE: u8 = 255;
/// `RTNH_F_ONLINK`.
const ONLINK: u32 = 4;

/// A route of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouteRecord {
    pub(crate) key: RouteKey,
    pub(crate) route: Route,
    /// It has attributes that no plan gives.
    pub(crate) altered: bool,
}

/// All routes of a protocol, in all tables. KERNEL: the kernel filters; foreign routes are not even copied.
pub(crate) fn list(
    netlink: &Netlink,
    protocol: RouteProtocol,
    links: &[LinkRecord],
) -> Result<Vec<RouteRecord>, KernelError> {
    let mut routes = Vec::new();
    for family in [V4, V6] {
        let filter = RtMsg::new().with_family(family).with_protocol(protocol.0);
        for message in ask(netlink, filter, "list routes")? {
            if message.protocol().number() == protocol.0 {
                routes.extend(decode(&message, links));
            }
        }
    }
    Ok(routes)
}

fn ask(netlink: &Netlink, filter: RtMsg, operation: &'static str) -> Result<Vec<RouteMessage>, KernelError> {
    let mut request = netlink::list(NlMsgType::RTM_GETROUTE);
    request.append(&filter);
    match netlink.ask(&request) {
        // The family is switched off.
        Err(error) if error.is_not_supported() => Ok(Vec::new()),
        answers => {
            let answers = answers.map_err(KernelError::netlink(operation))?;
            Ok(answers.iter().filter_map(|payload| RouteMessage::from_bytes(payload).ok()).collect())
        }
    }
}

fn destination(message: &RouteMessage) -> Option<IpNet> {
    let any: IpAddr =
        if message.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    IpNet::new(message.destination().copied().unwrap_or(any), message.dst_len()).ok()
}

fn decode(message: &RouteMessage, links: &[LinkRecord]) -> Option<RouteRecord> {
    let table = TableId(message.table_id());
    let key = RouteKey { table, dst: destination(message)?, metric: message.priority().unwrap_or(0) };
    let via = message.gateway().copied();
    let dev = message.oif().and_then(|index| links.iter().find(|link| link.index == index));
    let target = match (message.route_type(), dev.and_then(|dev| dev.name.parse().ok())) {
        (RouteType::Unicast, Some(dev)) => RouteTarget::Link { dev, via },
        _ => RouteTarget::Unreachable,
    };
    let said = match &target {
        RouteTarget::Link { .. } => message.is_onlink() == via.is_some(),
        RouteTarget::Unreachable => message.route_type() == RouteType::Unreachable,
    };
    let metrics = message.metrics().cloned().unwrap_or_default();
    let only_mtu = metrics == RouteMetrics { mtu: metrics.mtu, ..RouteMetrics::default() };
    let plain = message.multipath().is_none()
        && message.nh_id().is_none()
        && message.encap_type().is_none()
        && message.metrics_lock().is_none()
        && message.src_len() == 0
        && message.via().is_none();
    let route = Route { target, src: message.prefsrc().copied(), mtu: metrics.mtu.map(Mtu) };
    Some(RouteRecord { key, route, altered: !(said && only_mtu && plain) })
}

fn message(request: &mut MessageBuilder, key: &RouteKey, header: RtMsg) {
    let header = header.with_family(family(key.dst.addr())).with_dst_len(key.dst.prefix_len());
    let table = u8::try_from(key.table.0).unwrap_or(0);
    request.append(&header.with_table(table));
    request.append_attr(attribute::DST, &octets(key.dst.network()));
    request.append_attr_u32(attribute::TABLE, key.table.0);
    if key.metric != 0 {
        request.append_attr_u32(attribute::PRIORITY, key.metric);
    }
}

/// Adds or replaces a route. In the main table, which others write too, only a route of ours is replaced.
pub(crate) fn set(
    netlink: &Netlink,
    protocol: RouteProtocol,
    links: &[LinkRecord],
    (key, route): (&RouteKey, &Route),
) -> Result<(), KernelError> {
    let request = |flags| build(protocol, links, (key, route), flags);
    if key.table == TableId::MAIN {
        match netlink.send(&request(CREATE | EXCLUSIVE)?) {
            Err(error) if error.is_already_exists() => {}
            other => return other.map_err(KernelError::netlink("add the route")),
        }
        if let Some(holder) = holder(netlink, key)?.filter(|holder| *holder != protocol.0) {
            return Err(KernelError::ForeignRoute(holder));
        }
    }
    netlink.send(&request(CREATE | REPLACE)?).map_err(KernelError::netlink("set the route"))
}

/// The protocol of the route that stands at a place.
fn holder(netlink: &Netlink, key: &RouteKey) -> Result<Option<u8>, KernelError> {
    let table = u8::try_from(key.table.0).unwrap_or(0);
    let filter = RtMsg::new().with_family(family(key.dst.addr())).with_table(table);
    let routes = ask(netlink, filter, "list the routes of a table")?;
    let here = |route: &&RouteMessage| {
        destination(route) == Some(key.dst) && route.priority().unwrap_or(0) == key.metric
    };
    Ok(routes.iter().find(here).map(|route| route.protocol().number()))
}

fn build(
    protocol: RouteProtocol,
    links: &[LinkRecord],
    (key, route): (&RouteKey, &Route),
    flags: u16,
) -> Result<MessageBuilder, KernelError> {
    let mut request = netlink::change(NlMsgType::RTM_NEWROUTE, flags);
    let header = RtMsg::new().with_protocol(protocol.0);
    match &route.target {
        RouteTarget::Unreachable => message(&mut request, key, header.with_type(UNREACHABLE)),
        RouteTarget::Link { dev, via } => {
            let header = header.with_type(UNICAST);
            let header = match via {
                Some(_) => header.with_flags(ONLINK),
                None if key.dst.addr().is_ipv4() => header.with_scope(ON_LINK),
                None => header,
            };
            message(&mut request, key, header);
            request.append_attr_u32(attribute::OIF, links::index(links, dev)?);
            if let Some(via) = via {
                request.append_attr(attribute::GATEWAY, &octets(*via));
            }
        }
    }
    if let Some(src) = route.src {
        request.append_attr(attribute::PREFSRC, &octets(src));
    }
    if let Some(Mtu(mtu)) = route.mtu {
        let metrics = request.nest_start(attribute::METRICS);
        request.append_attr_u32(attribute::MTU, mtu);
        request.nest_end(metrics);
    }
    Ok(request)
}

/// Removes all routes of ours at a place; that there are none is fine.
pub(crate) fn delete(netlink: &Netlink, protocol: RouteProtocol, key: &RouteKey) -> Result<(), KernelError> {
    // KERNEL: one request takes one route, and `append` can put many at one place
    // (`every_edit_is_seen_and_undone`).
    const MOST: usize = 64;
    for _ in 0..MOST {
        let mut request = netlink::change(NlMsgType::RTM_DELROUTE, 0);
        message(&mut request, key, RtMsg::new().with_protocol(protocol.0).with_scope(ANY_SCOPE));
        match netlink.send(&request) {
            Ok(()) => {}
            // ESRCH, or its table has gone with its last route.
            Err(error) if error.is_not_found() || error.errno() == Some(3) => return Ok(()),
            Err(error) => return Err(KernelError::netlink("delete the route")(error)),
        }
    }
    Ok(())
}

/// The index of the link of the default route with the lowest metric in the main table.
pub(crate) fn default_link(netlink: &Netlink, family: Family) -> Result<Option<u32>, KernelError> {
    let number = match family {
        Family::V4 => V4,
        Family::V6 => V6,
    };
    let main = RtMsg::new().with_family(number).with_table(254).with_type(UNICAST);
    let routes = ask(netlink, main, "list the main table")?;
    let defaults = routes.iter().filter(|route| route.dst_len() == 0);
    let link = |route: &RouteMessage| {
        let first = route.multipath().and_then(|hops| hops.first()).map(|hop| hop.ifindex);
        route.oif().or(first)
    };
    let defaults = defaults.filter_map(|route| Some((route.priority().unwrap_or(0), link(route)?)));
    Ok(defaults.min_by_key(|(metric, _)| *metric).map(|(_, index)| index))
}

/// The address that the host would send from to the far side of its default route.
pub(crate) fn preferred_source(netlink: &Netlink, family: Family) -> Option<IpAddr> {
    // The anycast prefix of 6to4 relays, which nobody announces any more (RFC 7526): outside of any private network.
    let far: IpAddr = match family {
        Family::V4 => Ipv4Addr::new(192, 88, 99, 1).into(),
        Family::V6 => Ipv6Addr::new(0x2002, 0xc058, 0x6301, 0, 0, 0, 0, 1).into(),
    };
    let mut request = netlink::change(NlMsgType::RTM_GETROUTE, 0);
    let length = if far.is_ipv4() { 32 } else { 128 };
    request.append(&RtMsg::new().with_family(crate::addresses::family(far)).with_dst_len(length));
    request.append_attr(attribute::DST, &octets(far));
    let answers = netlink.ask(&request).ok()?;
    let route = RouteMessage::from_bytes(answers.first()?).ok()?;
    route.prefsrc().copied().filter(|source| !source.is_loopback())
}
