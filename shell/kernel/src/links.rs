//! Links: read all, make, change and remove our own.

use nlink::netlink::attr::get;
use nlink::netlink::devconf::Ipv4Devconf;
use nlink::netlink::messages::LinkMessage;
use nlink::netlink::types::link::IfInfoMsg;
use nlink::netlink::{AttrIter, FromNetlink, MessageBuilder, NlMsgType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use subm_plan::{Link, LinkKind, Scope, Vxlan};
use subm_types::{IfName, MacAddress, Mtu};

use crate::KernelError;
use crate::error::Holder;
use crate::netlink::{self, CREATE, EXCLUSIVE, Netlink};

/// `IFLA_*` (`linux/if_link.h`).
mod attribute {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const IFNAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
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

/// `RTEXT_FILTER_SKIP_STATS`: counters cost more than everything else of a link.
const SKIP_STATS: u32 = 8;
/// `IFF_UP`.
const UP: u32 = 1;

/// A link as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkRecord {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) up: bool,
    pub(crate) mtu: Option<Mtu>,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) alias: Option<String>,
    pub(crate) group: Option<u32>,
    pub(crate) kind: String,
    pub(crate) data: Vec<u8>,
    pub(crate) rp_filter: Option<u32>,
}

/// What a link of ours is, as far as a plan can say it.
pub(crate) struct Decoded {
    pub(crate) kind: LinkKind,
    /// It has attributes that no plan gives.
    pub(crate) altered: bool,
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
            mtu: message.mtu().map(Mtu),
            mac,
            alias: message.alias().filter(|alias| !alias.is_empty()).map(str::to_owned),
            group: message.group(),
            kind: info.and_then(|info| info.kind()).unwrap_or_default().to_owned(),
            data: info.and_then(|info| info.data()).unwrap_or_default().to_vec(),
            rp_filter: message.ipv4_devconf(Ipv4Devconf::RpFilter),
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
        match self.kind.as_str() {
            "vxlan" => decode_vxlan(&self.data, links),
            "bridge" => Decoded { kind: LinkKind::Bridge, altered: false },
            _ => Decoded { kind: LinkKind::Bridge, altered: true },
        }
    }
}

/// The group of an owner's links. KERNEL: unlike the alias it is given in the very request that makes the link.
fn group(scope: &Scope) -> u32 {
    0x7375_6200 | u32::from(scope.protocol.0)
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
    altered |= zero_tx != over_ipv6 || zero_rx != over_ipv6;
    Decoded { kind: LinkKind::Vxlan(found), altered }
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
    let mut request = netlink::change(NlMsgType::RTM_NEWLINK, CREATE | EXCLUSIVE);
    request.append(&IfInfoMsg::new());
    request.append_attr_str(attribute::IFNAME, name.as_str());
    request.append_attr_u32(attribute::GROUP, group(scope));
    append_changeable(&mut request, link.mtu, link.mac);
    let info = request.nest_start(attribute::LINKINFO);
    match &link.kind {
        LinkKind::Bridge => request.append_attr_str(attribute::INFO_KIND, "bridge"),
        LinkKind::Vxlan(vxlan) => {
            let dev = vxlan.dev.as_ref().map(|dev| index(&links, dev)).transpose()?;
            append_vxlan(&mut request, vxlan, dev);
        }
    }
    request.nest_end(info);
    netlink.send(&request).map_err(KernelError::netlink("make the link"))?;
    let links = list(netlink)?;
    let made = by_name(&links, name).ok_or_else(|| KernelError::NoLink(name.clone()))?;
    change(netlink, scope, made, link)
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
            // COMPAT: peers send UDP checksum zero over IPv6, which is dropped unless it is allowed (RFC 6935).
            request.append_attr_u8(vxlan::UDP_ZERO_CSUM6_TX, 1);
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
    let mut request = netlink::change(NlMsgType::RTM_NEWLINK, 0);
    request.append(&header(standing.index, UP));
    let mtu = link.mtu.filter(|_| link.mtu != standing.mtu);
    let mac = link.mac.filter(|_| link.mac != standing.mac);
    append_changeable(&mut request, mtu, mac);
    request.append_attr_str(attribute::IFALIAS, &scope.owner.alias());
    netlink.send(&request).map_err(KernelError::netlink("set the link"))
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
