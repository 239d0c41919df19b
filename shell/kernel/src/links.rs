//! Links: read all, make, change and remove our own.

use nlink::netlink::attr::get;
use nlink::netlink::devconf::{Ipv4Devconf, Ipv6Devconf};
use nlink::netlink::messages::LinkMessage;
use nlink::netlink::types::link::IfInfoMsg;
use nlink::netlink::{AttrIter, FromNetlink, MessageBuilder, NlMsgType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use subm_plan::{Link, LinkKind, Scope, Veth, Vxlan};
use subm_types::{IfName, MacAddress, Mtu};

use crate::KernelError;
use crate::error::Holder;
use crate::netlink::{self, CREATE, EXCLUSIVE, Netlink};
use crate::tun::Tun;

/// `IFLA_*` (`linux/if_link.h`).
mod attribute {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const IFNAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    /// `VETH_INFO_PEER`.
    pub(super) const VETH_PEER: u16 = 1;
    pub(super) const LINKINFO: u16 = 18;
    pub(super) const IFALIAS: u16 = 20;
    pub(super) const GROUP: u16 = 27;
    pub(super) const EXT_MASK: u16 = 29;
    pub(super) const INFO_KIND: u16 = 1;
    pub(super) const INFO_DATA: u16 = 2;
}

/// `IFLA_VXLAN_*`.
mod vxlan {
    pub(super) const ID: u16 = 1;
    pub(super) const GROUP: u16 = 2;
    pub(super) const LINK: u16 = 3;
    pub(super) const LOCAL: u16 = 4;
    pub(super) const LEARNING: u16 = 7;
    pub(super) const PORT: u16 = 15;
    pub(super) const GROUP6: u16 = 16;
    pub(super) const LOCAL6: u16 = 17;
    pub(super) const UDP_ZERO_CSUM6_TX: u16 = 19;
    pub(super) const UDP_ZERO_CSUM6_RX: u16 = 20;
    pub(super) const COLLECT_METADATA: u16 = 25;
}

/// `IFLA_TUN_*`.
mod tun {
    pub(super) const TYPE: u16 = 3;
    pub(super) const PERSIST: u16 = 6;
    pub(super) const MULTI_QUEUE: u16 = 7;
    /// `IFF_TUN` (`linux/if_tun.h`).
    pub(super) const TUN: u8 = 1;
}

/// `IFLA_XFRM_*`.
mod xfrm {
    pub(super) const LINK: u16 = 1;
    pub(super) const IF_ID: u16 = 2;
    pub(super) const COLLECT_METADATA: u16 = 3;
}

/// `RTEXT_FILTER_SKIP_STATS`: counters cost more than everything else of a link.
const SKIP_STATS: u32 = 8;
/// `IFF_UP`.
const UP: u32 = 1;
/// `IFF_NOARP`.
const NO_ARP: u32 = 0x80;

/// A link as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkRecord {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) up: bool,
    /// Whether it resolves no addresses.
    no_arp: bool,
    /// The index of the link below it, or of its other end.
    beside: Option<u32>,
    pub(crate) mtu: Option<Mtu>,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) alias: Option<String>,
    pub(crate) group: Option<u32>,
    pub(crate) kind: String,
    pub(crate) data: Vec<u8>,
    pub(crate) rp_filter: Option<u32>,
    pub(crate) accept_ra: Option<u32>,
}

/// What a link of ours is, as far as a plan can say it.
pub(crate) struct Decoded {
    pub(crate) kind: LinkKind,
    /// It has attributes that no plan gives.
    pub(crate) altered: bool,
    /// Its state, or that of its other end, is not what every link of ours has.
    pub(crate) down: bool,
}

impl Decoded {
    const fn of(kind: LinkKind) -> Self {
        Self { kind, altered: false, down: false }
    }
}

impl LinkRecord {
    fn read(payload: &[u8]) -> Option<Self> {
        let message = LinkMessage::from_bytes(payload).ok()?;
        let mac = message.address().and_then(|bytes| <[u8; 6]>::try_from(bytes).ok()).map(MacAddress);
        let info = message.link_info();
        Some(Self {
            index: message.ifindex(),
            name: message.name()?.to_owned(),
            up: message.is_up(),
            no_arp: message.flags() & NO_ARP != 0,
            beside: message.link(),
            mtu: message.mtu().map(Mtu),
            mac,
            alias: message.alias().filter(|alias| !alias.is_empty()).map(str::to_owned),
            group: message.group(),
            kind: info.and_then(|info| info.kind()).unwrap_or_default().to_owned(),
            data: info.and_then(|info| info.data()).unwrap_or_default().to_vec(),
            rp_filter: message.ipv4_devconf(Ipv4Devconf::RpFilter),
            accept_ra: message
                .ipv6_devconf(Ipv6Devconf::AcceptRa)
                .and_then(|value| u32::try_from(value).ok()),
        })
    }

    /// Whether the link is the owner's: by its alias, or by its group where it died between making and naming it.
    pub(crate) fn belongs_to(&self, scope: &Scope) -> bool {
        match &self.alias {
            Some(alias) => *alias == scope.owner.alias(),
            None => self.group == Some(group(scope)),
        }
    }

    /// What it is; a kind that no plan can say is a bridge that was altered, so that it is made anew.
    pub(crate) fn decode(&self, links: &[Self]) -> Decoded {
        let decoded = match self.kind.as_str() {
            "vxlan" => decode_vxlan(&self.data, links),
            "bridge" => Decoded::of(LinkKind::Bridge),
            "tun" => decode_tun(&self.data),
            "veth" => self.decode_veth(links),
            "xfrm" => decode_xfrm(&self.data),
            "wireguard" => Decoded::of(LinkKind::Wireguard),
            _ => Decoded { altered: true, ..Decoded::of(LinkKind::Bridge) },
        };
        Decoded { down: decoded.down || !self.up, ..decoded }
    }

    /// Whatever is not one of a pair in this namespace is a bridge that was altered.
    fn decode_veth(&self, links: &[Self]) -> Decoded {
        let other = self.other_end(links).and_then(|other| Some((other.name.parse().ok()?, other)));
        let Some((peer, other)) = other else {
            return Decoded { altered: true, ..Decoded::of(LinkKind::Bridge) };
        };
        let down = !(other.up && self.no_arp && other.no_arp) || self.mtu != other.mtu;
        Decoded { down, ..Decoded::of(LinkKind::Veth(Veth { peer })) }
    }

    fn other_end<'a>(&self, links: &'a [Self]) -> Option<&'a Self> {
        links.iter().find(|link| {
            link.kind == self.kind && self.beside == Some(link.index) && link.beside == Some(self.index)
        })
    }
}

/// The group of an owner's links. KERNEL: unlike the alias it is given in the very request that makes the link.
fn group(scope: &Scope) -> u32 {
    0x7375_6200 | u32::from(scope.protocol.0)
}

/// KERNEL: whether there are offload headers is up to whoever opens the device; how many queues it may have is not.
fn decode_tun(data: &[u8]) -> Decoded {
    let (mut tun, mut persistent, mut queues) = (false, false, false);
    for (kind, bytes) in AttrIter::new(data) {
        let value = bytes.first().copied().unwrap_or(0);
        match kind {
            tun::TYPE => tun = value == tun::TUN,
            tun::PERSIST => persistent = value != 0,
            tun::MULTI_QUEUE => queues = value != 0,
            _ => {}
        }
    }
    Decoded { altered: !(tun && persistent) || queues, ..Decoded::of(LinkKind::Tun) }
}

fn decode_xfrm(data: &[u8]) -> Decoded {
    let (mut identifier, mut altered) = (0, false);
    for (kind, bytes) in AttrIter::new(data) {
        match kind {
            xfrm::IF_ID => identifier = get::u32_ne(bytes).unwrap_or(0),
            xfrm::LINK => altered |= get::u32_ne(bytes).unwrap_or(0) != 0,
            xfrm::COLLECT_METADATA => altered = true,
            _ => {}
        }
    }
    Decoded { altered, ..Decoded::of(LinkKind::Xfrm(identifier)) }
}

fn decode_vxlan(data: &[u8], links: &[LinkRecord]) -> Decoded {
    let mut found = Vxlan { vni: 0, port: 0, local: None, dev: None };
    let mut altered = false;
    let (mut zero_tx, mut zero_rx) = (false, false);
    for (kind, bytes) in AttrIter::new(data) {
        let flag = bytes.first().is_some_and(|byte| *byte != 0);
        match kind {
            vxlan::ID => found.vni = get::u32_ne(bytes).unwrap_or(0),
            vxlan::PORT => found.port = get::u16_be(bytes).unwrap_or(0),
            vxlan::LOCAL => {
                found.local = <[u8; 4]>::try_from(bytes).ok().map(|raw| Ipv4Addr::from(raw).into());
            }
            vxlan::LOCAL6 => {
                found.local = <[u8; 16]>::try_from(bytes).ok().map(|raw| Ipv6Addr::from(raw).into());
            }
            vxlan::LINK => {
                let index = get::u32_ne(bytes).unwrap_or(0);
                found.dev =
                    links.iter().find(|link| link.index == index).and_then(|link| link.name.parse().ok());
                altered |= found.dev.is_none() && index != 0;
            }
            vxlan::GROUP | vxlan::GROUP6 => altered = true,
            vxlan::LEARNING | vxlan::COLLECT_METADATA => altered |= flag,
            vxlan::UDP_ZERO_CSUM6_TX => zero_tx = flag,
            vxlan::UDP_ZERO_CSUM6_RX => zero_rx = flag,
            _ => {}
        }
    }
    found.local = found.local.filter(|local| !local.is_unspecified());
    let over_ipv6 = matches!(found.local, Some(IpAddr::V6(_)));
    altered |= zero_tx || zero_rx != over_ipv6;
    Decoded { altered, ..Decoded::of(LinkKind::Vxlan(found)) }
}

pub(crate) fn list(netlink: &Netlink) -> Result<Vec<LinkRecord>, KernelError> {
    let mut request = netlink::list(NlMsgType::RTM_GETLINK);
    request.append(&IfInfoMsg::new());
    request.append_attr_u32(attribute::EXT_MASK, SKIP_STATS);
    let answers = netlink.ask(&request).map_err(KernelError::netlink("list links"))?;
    Ok(answers.iter().filter_map(|payload| LinkRecord::read(payload)).collect())
}

fn by_name<'a>(links: &'a [LinkRecord], name: &IfName) -> Option<&'a LinkRecord> {
    links.iter().find(|link| link.name == name.as_str())
}

/// The index of a link, whosever it is.
pub(crate) fn index(links: &[LinkRecord], name: &IfName) -> Result<u32, KernelError> {
    by_name(links, name).map(|link| link.index).ok_or_else(|| KernelError::NoLink(name.clone()))
}

/// The owner's link of this name, if any stands there; a foreign one is an error.
fn own<'a>(
    links: &'a [LinkRecord],
    scope: &Scope,
    name: &IfName,
) -> Result<Option<&'a LinkRecord>, KernelError> {
    match by_name(links, name) {
        Some(link) if !link.belongs_to(scope) => Err(KernelError::ForeignLink {
            name: name.clone(),
            holder: Holder(link.alias.clone()),
            owner: scope.owner,
        }),
        found => Ok(found),
    }
}

/// Makes a link and takes it up; one of ours with other attributes goes first.
pub(crate) fn create(
    netlink: &Netlink,
    scope: &Scope,
    name: &IfName,
    link: &Link,
) -> Result<(), KernelError> {
    let links = list(netlink)?;
    if let Some(standing) = own(&links, scope, name)? {
        let decoded = standing.decode(&links);
        if decoded.kind == link.kind && !decoded.altered {
            return change(netlink, scope, standing, link);
        }
        remove(netlink, standing.index)?;
    }
    if link.kind == LinkKind::Tun {
        let tun = Tun::make(name)?;
        let links = list(netlink)?;
        let made = by_name(&links, name).ok_or_else(|| KernelError::NoLink(name.clone()))?;
        change(netlink, scope, made, link)?;
        return tun.persist();
    }
    send_new(netlink, scope, (name, link), &links)?;
    let links = list(netlink)?;
    let made = by_name(&links, name).ok_or_else(|| KernelError::NoLink(name.clone()))?;
    // KERNEL: addresses are tried out before they are used, unless this is off before the link is up; nobody else is
    // on our links.
    crate::sysctls::write(&format!("net/ipv6/conf/{name}/accept_dad"), 0)?;
    change(netlink, scope, made, link)
}

fn send_new(
    netlink: &Netlink,
    scope: &Scope,
    (name, link): (&IfName, &Link),
    links: &[LinkRecord],
) -> Result<(), KernelError> {
    let mut request = netlink::change(NlMsgType::RTM_NEWLINK, CREATE | EXCLUSIVE);
    request.append(&IfInfoMsg::new());
    request.append_attr_str(attribute::IFNAME, name.as_str());
    request.append_attr_u32(attribute::GROUP, group(scope));
    append_changeable(&mut request, link.mtu, link.mac);
    let info = request.nest_start(attribute::LINKINFO);
    match &link.kind {
        LinkKind::Bridge => request.append_attr_str(attribute::INFO_KIND, "bridge"),
        LinkKind::Wireguard => request.append_attr_str(attribute::INFO_KIND, "wireguard"),
        LinkKind::Vxlan(vxlan) => {
            let dev = vxlan.dev.as_ref().map(|dev| index(links, dev)).transpose()?;
            append_vxlan(&mut request, vxlan, dev);
        }
        LinkKind::Veth(veth) => append_veth(&mut request, scope, veth, link.mtu),
        LinkKind::Xfrm(identifier) => append_xfrm(&mut request, *identifier),
        // KERNEL: rtnetlink makes no TUN devices.
        LinkKind::Tun => return Err(KernelError::NoLink(name.clone())),
    }
    request.nest_end(info);
    netlink.send(&request).map_err(KernelError::netlink("make the link"))
}

fn append_veth(request: &mut MessageBuilder, scope: &Scope, veth: &Veth, mtu: Option<Mtu>) {
    request.append_attr_str(attribute::INFO_KIND, "veth");
    let data = request.nest_start(attribute::INFO_DATA);
    let peer = request.nest_start(attribute::VETH_PEER);
    request.append(&IfInfoMsg::new());
    request.append_attr_str(attribute::IFNAME, veth.peer.as_str());
    request.append_attr_u32(attribute::GROUP, group(scope));
    append_changeable(request, mtu, None);
    request.nest_end(peer);
    request.nest_end(data);
}

fn append_xfrm(request: &mut MessageBuilder, identifier: u32) {
    request.append_attr_str(attribute::INFO_KIND, "xfrm");
    let data = request.nest_start(attribute::INFO_DATA);
    request.append_attr_u32(xfrm::IF_ID, identifier);
    request.nest_end(data);
}

fn append_vxlan(request: &mut MessageBuilder, wanted: &Vxlan, dev: Option<u32>) {
    request.append_attr_str(attribute::INFO_KIND, "vxlan");
    let data = request.nest_start(attribute::INFO_DATA);
    request.append_attr_u32(vxlan::ID, wanted.vni);
    request.append_attr_u16_be(vxlan::PORT, wanted.port);
    request.append_attr_u8(vxlan::LEARNING, 0);
    if let Some(index) = dev {
        request.append_attr_u32(vxlan::LINK, index);
    }
    match wanted.local {
        Some(IpAddr::V4(local)) => request.append_attr(vxlan::LOCAL, &local.octets()),
        Some(IpAddr::V6(local)) => {
            request.append_attr(vxlan::LOCAL6, &local.octets());
            // COMPAT: a peer may send UDP checksum zero, or drop what has it (RFC 6935): we take it and never send it.
            request.append_attr_u8(vxlan::UDP_ZERO_CSUM6_TX, 0);
            request.append_attr_u8(vxlan::UDP_ZERO_CSUM6_RX, 1);
        }
        None => {}
    }
    request.nest_end(data);
}

fn append_changeable(request: &mut MessageBuilder, mtu: Option<Mtu>, mac: Option<MacAddress>) {
    if let Some(Mtu(mtu)) = mtu {
        request.append_attr_u32(attribute::MTU, mtu);
    }
    if let Some(MacAddress(mac)) = mac {
        request.append_attr(attribute::ADDRESS, &mac);
    }
}

/// Gives a link what it lacks. KERNEL: an address that is set, be it the same, costs the link its neighbours
/// (`every_edit_is_seen_and_undone`).
fn change(netlink: &Netlink, scope: &Scope, standing: &LinkRecord, link: &Link) -> Result<(), KernelError> {
    let flags = match &link.kind {
        LinkKind::Veth(veth) => {
            change_other_end(netlink, scope, veth, link.mtu)?;
            UP | NO_ARP
        }
        LinkKind::Vxlan(_) | LinkKind::Bridge | LinkKind::Tun | LinkKind::Xfrm(_) | LinkKind::Wireguard => UP,
    };
    let mut request = netlink::change(NlMsgType::RTM_NEWLINK, 0);
    request.append(&header(standing.index, flags));
    let mtu = link.mtu.filter(|_| link.mtu != standing.mtu);
    let mac = link.mac.filter(|_| link.mac != standing.mac);
    append_changeable(&mut request, mtu, mac);
    request.append_attr_str(attribute::IFALIAS, &scope.owner.alias());
    netlink.send(&request).map_err(KernelError::netlink("set the link"))
}

/// KERNEL: neither end asks for hardware addresses: with `IFF_NOARP` frames carry the sender's own, which the other
/// end's network stack takes for somebody else's, so that only who reads the raw frames gets them.
fn change_other_end(
    netlink: &Netlink,
    scope: &Scope,
    veth: &Veth,
    mtu: Option<Mtu>,
) -> Result<(), KernelError> {
    let other = index(&list(netlink)?, &veth.peer)?;
    let mut request = netlink::change(NlMsgType::RTM_NEWLINK, 0);
    request.append(&header(other, UP | NO_ARP));
    append_changeable(&mut request, mtu, None);
    request.append_attr_str(attribute::IFALIAS, &scope.owner.alias());
    netlink.send(&request).map_err(KernelError::netlink("set the link's other end"))
}

fn header(index: u32, up: u32) -> IfInfoMsg {
    let mut header = IfInfoMsg::new().with_index(index.cast_signed());
    header.ifi_flags = up;
    header.ifi_change = up;
    header
}

/// Gives a link of ours what can be changed while it stands.
pub(crate) fn set(netlink: &Netlink, scope: &Scope, name: &IfName, link: &Link) -> Result<(), KernelError> {
    let links = list(netlink)?;
    let standing = own(&links, scope, name)?.ok_or_else(|| KernelError::NoLink(name.clone()))?;
    change(netlink, scope, standing, link)
}

/// Removes a link of ours; that it is not there is fine.
pub(crate) fn delete(netlink: &Netlink, scope: &Scope, name: &IfName) -> Result<(), KernelError> {
    match own(&list(netlink)?, scope, name)? {
        Some(standing) => remove(netlink, standing.index),
        None => Ok(()),
    }
}

fn remove(netlink: &Netlink, index: u32) -> Result<(), KernelError> {
    let mut request = netlink::change(NlMsgType::RTM_DELLINK, 0);
    request.append(&header(index, 0));
    match netlink.send(&request) {
        Err(error) if error.is_not_found() || error.is_no_device() => Ok(()),
        other => other.map_err(KernelError::netlink("delete the link")),
    }
}
