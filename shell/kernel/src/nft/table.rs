//! A table in the kernel: reading it whole, replacing it, changing elements of its sets.

use std::net::IpAddr;

use ipnet::IpNet;
use nlink::netlink::nftables::{
    BaseChain, Chain as NlChain, ChainInfo, ChainType, Family as NlFamily, Hook as NlHook,
    Policy as NlPolicy, Priority, RawMessage, Rule as NlRule, RuleInfo, Set as NlSet, SetElement, SetFlags,
    SetInfo, SetKeyType, Transaction,
};
use nlink::netlink::{Connection, MessageBuilder, NLMSG_HDRLEN, Nftables};
use subm_plan::nft::{
    At, Chain, ChainName, Elements, ElementsChange, Hook, HookType, Policy, Rule, Set, SetName, Table,
    TableFamily, TableName,
};
use subm_types::{CidrSet, Family, IfName};

use super::decode::{decode, name as link_name};
use super::encode::{encode, padded};
use super::operation::Operation;
use crate::netlink::CREATE;

/// nft's number for the type `ifname`, and its length.
const IFNAME: SetKeyType = SetKeyType::Other { type_id: 41, len: 16 };
/// `NFT_MSG_NEWTABLE` and `NFTA_TABLE_NAME`.
const NEW_TABLE: u8 = 0;
const NAME: u16 = 1;
/// `NFT_MSG_NEWSET`, `NFTA_SET_*`.
const NEW_SET: u8 = 9;
mod set {
    pub(super) const TABLE: u16 = 1;
    pub(super) const NAME: u16 = 2;
    pub(super) const FLAGS: u16 = 3;
    pub(super) const KEY_TYPE: u16 = 4;
    pub(super) const KEY_LEN: u16 = 5;
    pub(super) const ID: u16 = 10;
    pub(super) const USERDATA: u16 = 13;
}
/// `NFTNL_UDATA_SET_KEYBYTEORDER`, and nft's numbers for the two orders.
const KEY_BYTE_ORDER: u8 = 0;
const HOST_ENDIAN: u32 = 1;
const BIG_ENDIAN: u32 = 2;

/// The table as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableRecord {
    pub(crate) table: Table,
    /// There is something in it that no plan can say.
    pub(crate) altered: bool,
    /// The handles of the table, its chains and rules: what is put back by others has other ones.
    pub(crate) handles: Vec<u64>,
}

const fn family(family: TableFamily) -> NlFamily {
    match family {
        TableFamily::Inet => NlFamily::Inet,
        TableFamily::Ip => NlFamily::Ip,
        TableFamily::Ip6 => NlFamily::Ip6,
    }
}

/// The number of the last change of the packet filter, anybody's.
pub(crate) async fn generation(nft: &Connection<Nftables>) -> nlink::Result<u32> {
    nft.generation().await
}

/// Reads a table whole.
pub(crate) async fn read(nft: &Connection<Nftables>, name: &TableName) -> nlink::Result<Option<TableRecord>> {
    let of = family(name.family);
    let Some(info) = nft.list_tables_in(of).await?.into_iter().find(|table| table.name == name.name) else {
        return Ok(None);
    };
    let mut record =
        TableRecord { table: Table::new(name.clone()), altered: info.flags != 0, handles: vec![info.handle] };
    for set in nft.list_sets_in(&name.name, of).await? {
        let elements = nft.list_set_elements(&name.name, &set.name, of).await?;
        match decode_set(&set, &elements) {
            Some(decoded) => {
                record.table.sets.insert(SetName(set.name), decoded);
            }
            None => record.altered = true,
        }
    }
    for chain in nft.list_chains_in(name.name.as_str(), of).await? {
        let (decoded, altered) = decode_chain(&chain);
        record.altered |= altered;
        record.handles.push(chain.handle);
        record.table.chains.insert(ChainName(chain.name), decoded);
    }
    for rule in nft.list_rules(&name.name, of).await? {
        record.handles.push(rule.handle);
        let chain = record.table.chains.get_mut(&ChainName(rule.chain.clone()));
        match (chain, decode_rule(name.family, &rule)) {
            (Some(chain), Some(decoded)) => chain.rules.push(decoded),
            _ => record.altered = true,
        }
    }
    record.altered |= !nft.list_objects_in(&name.name, of).await?.is_empty();
    record.altered |= !nft.list_flowtables_in(&name.name, of).await?.is_empty();
    Ok(Some(record))
}

fn decode_rule(table: TableFamily, rule: &RuleInfo) -> Option<Rule> {
    let operations: Option<Vec<_>> = rule.expressions().into_iter().map(Operation::read).collect();
    decode(table, &operations?, rule.comment_text.clone().unwrap_or_default())
}

fn decode_chain(info: &ChainInfo) -> (Chain, bool) {
    let Some(hook) = info.hook else {
        return (Chain::default(), info.comment.is_some());
    };
    let hook = decode_hook(info, hook);
    let altered = hook.is_none() || !info.devices.is_empty() || info.comment.is_some();
    (Chain { hook, rules: Vec::new() }, altered)
}

const HOOKS: [(At, NlHook); 5] = [
    (At::Prerouting, NlHook::Prerouting),
    (At::Input, NlHook::Input),
    (At::Forward, NlHook::Forward),
    (At::Output, NlHook::Output),
    (At::Postrouting, NlHook::Postrouting),
];

fn decode_hook(info: &ChainInfo, number: u32) -> Option<Hook> {
    let (at, _) = HOOKS.into_iter().find(|(_, hook)| hook.number(info.family) == number)?;
    let kind = match info.chain_type? {
        ChainType::Filter => HookType::Filter,
        ChainType::Nat => HookType::Nat,
        ChainType::Route | _ => return None,
    };
    let policy = match NlPolicy::from_u32(info.policy?)? {
        NlPolicy::Accept => Policy::Accept,
        NlPolicy::Drop => Policy::Drop,
        _ => return None,
    };
    Some(Hook { kind, at, priority: info.priority?, policy })
}

fn decode_set(info: &SetInfo, elements: &[SetElement]) -> Option<Set> {
    let plain = info.timeout.is_none()
        && info.gc_interval.is_none()
        && info.data_type.is_none()
        && info.object_type.is_none()
        && info.size.is_none()
        && info.comment.is_none()
        && info.statements.is_empty()
        && elements.iter().all(is_plain);
    if !plain {
        return None;
    }
    let elements = match (SetKeyType::from_kernel(info.key_type, info.key_len), info.flags) {
        (SetKeyType::Ipv4Addr, SetFlags::INTERVAL) => {
            Elements::Networks(Family::V4, decode_networks(elements)?)
        }
        (SetKeyType::Ipv6Addr, SetFlags::INTERVAL) => {
            Elements::Networks(Family::V6, decode_networks(elements)?)
        }
        (kind, flags) if kind == IFNAME && flags == SetFlags::empty() => Elements::Interfaces(
            elements.iter().map(|element| link_name(element.key())).collect::<Option<_>>()?,
        ),
        _ => return None,
    };
    Some(Set { elements })
}

fn is_plain(element: &SetElement) -> bool {
    element.data().is_none()
        && element.timeout().is_none()
        && element.comment().is_none()
        && element.counter().is_none()
        && !element.is_catchall()
}

/// The networks of an interval set, if they stand there one by one in the one form that plans have.
fn decode_networks(elements: &[SetElement]) -> Option<CidrSet> {
    let mut found: Vec<IpNet> = elements.iter().map(decode_network).collect::<Option<_>>()?;
    found.sort();
    let canonical: CidrSet = found.iter().copied().collect();
    canonical.iter().eq(found).then_some(canonical)
}

fn decode_network(element: &SetElement) -> Option<IpNet> {
    let first = element.key();
    let last = element.key_end().unwrap_or(first);
    let (first, last): (IpAddr, IpAddr) = match (<[u8; 4]>::try_from(first), <[u8; 4]>::try_from(last)) {
        (Ok(first), Ok(last)) => (first.into(), last.into()),
        _ => (<[u8; 16]>::try_from(first).ok()?.into(), <[u8; 16]>::try_from(last).ok()?.into()),
    };
    (0..=if first.is_ipv4() { 32 } else { 128 })
        .filter_map(|length| IpNet::new(first, length).ok())
        .find(|net| net.network() == first && net.broadcast() == last)
}

fn key_type(elements: &Elements) -> SetKeyType {
    match elements {
        Elements::Networks(Family::V4, _) => SetKeyType::Ipv4Addr,
        Elements::Networks(Family::V6, _) => SetKeyType::Ipv6Addr,
        Elements::Interfaces(_) => IFNAME,
    }
}

/// A set as elements are added to it.
fn named(table: &TableName, name: &SetName, elements: &Elements) -> NlSet {
    let set = NlSet::new(&table.name, &name.0).family(family(table.family)).key_type(key_type(elements));
    match elements {
        Elements::Networks(..) => set.interval(),
        Elements::Interfaces(_) => set,
    }
}

/// The request for a set. nlink's own leaves out the byte order, without which nft lists interface names as
/// empty (`nft_lists_our_table_as_we_print_it`).
fn declare(table: &TableName, name: &SetName, elements: &Elements, id: u32) -> RawMessage {
    let (flags, byte_order) = match elements {
        Elements::Networks(..) => (SetFlags::INTERVAL, BIG_ENDIAN),
        Elements::Interfaces(_) => (SetFlags::empty(), HOST_ENDIAN),
    };
    let kind = key_type(elements);
    let [a, b, c, d] = byte_order.to_ne_bytes();
    let attributes = attributes(|set| {
        set.append_attr_str(set::TABLE, &table.name);
        set.append_attr_str(set::NAME, &name.0);
        set.append_attr_u32_be(set::FLAGS, flags.bits());
        set.append_attr_u32_be(set::KEY_TYPE, kind.type_id());
        set.append_attr_u32_be(set::KEY_LEN, kind.len());
        set.append_attr_u32_be(set::ID, id);
        set.append_attr(set::USERDATA, &[KEY_BYTE_ORDER, 4, a, b, c, d]);
    });
    RawMessage::new(NEW_SET, family(table.family)).flags(CREATE).attrs(attributes)
}

/// Attributes without a message around them.
fn attributes(write: impl FnOnce(&mut MessageBuilder)) -> Vec<u8> {
    let mut builder = MessageBuilder::new(0, 0);
    write(&mut builder);
    builder.as_bytes().get(NLMSG_HDRLEN..).unwrap_or_default().to_vec()
}

fn encode_elements(elements: &Elements) -> nlink::Result<Vec<SetElement>> {
    let network = |net: IpNet| match net {
        IpNet::V4(net) => SetElement::ipv4_prefix(net.network(), net.prefix_len()),
        IpNet::V6(net) => SetElement::ipv6_prefix(net.network(), net.prefix_len()),
    };
    match elements {
        Elements::Networks(_, networks) => networks.iter().map(network).collect(),
        Elements::Interfaces(names) => Ok(names.iter().map(encode_interface).collect()),
    }
}

fn encode_interface(name: &IfName) -> SetElement {
    SetElement::new(padded(name))
}

fn encode_chain(table: &TableName, name: &ChainName, chain: &Chain) -> nlink::Result<NlChain> {
    let encoded = NlChain::new(table.name.as_str(), name.0.as_str())?.family(family(table.family));
    let Some(hook) = chain.hook else { return Ok(encoded) };
    let kind = match hook.kind {
        HookType::Filter => ChainType::Filter,
        HookType::Nat => ChainType::Nat,
    };
    let policy = match hook.policy {
        Policy::Accept => NlPolicy::Accept,
        Policy::Drop => NlPolicy::Drop,
    };
    let at = match hook.at {
        At::Prerouting => NlHook::Prerouting,
        At::Input => NlHook::Input,
        At::Forward => NlHook::Forward,
        At::Output => NlHook::Output,
        At::Postrouting => NlHook::Postrouting,
    };
    let base = BaseChain::try_new(kind, at, Priority::Custom(hook.priority), [""; 0])?;
    Ok(encoded.base(base.policy(policy)))
}

fn encode_rule(table: &TableName, chain: &ChainName, rule: &Rule) -> nlink::Result<NlRule> {
    let operations = encode(table.family, rule).into_iter().map(Operation::write);
    let encoded = NlRule::new(&table.name, &chain.0).family(family(table.family));
    let encoded = encoded.expressions(operations.collect::<nlink::Result<_>>()?);
    Ok(if rule.comment.is_empty() { encoded } else { encoded.comment(&rule.comment) })
}

/// A request for a table that may be there already, so that the next can delete it whether it was or not.
fn ensure(name: &TableName) -> RawMessage {
    let attributes = attributes(|table| table.append_attr_str(NAME, &name.name));
    RawMessage::new(NEW_TABLE, family(name.family)).flags(CREATE).attrs(attributes)
}

/// Puts a table in the place of whatever stands there, in one transaction.
pub(crate) async fn replace(nft: &Connection<Nftables>, table: &Table) -> nlink::Result<()> {
    let of = family(table.name.family);
    let name = &table.name.name;
    let mut change = nft.transaction().raw(ensure(&table.name)).del_table(name, of).add_table(name, of);
    for (id, (set, content)) in (1..).zip(&table.sets) {
        change = change.raw(declare(&table.name, set, &content.elements, id));
        change = add_elements(change, &named(&table.name, set, &content.elements), &content.elements)?;
    }
    // Chains first: rules may jump to those that come later.
    for (chain, content) in &table.chains {
        change = change.add_chain(encode_chain(&table.name, chain, content)?);
    }
    for (chain, content) in &table.chains {
        for rule in &content.rules {
            change = change.add_rule(encode_rule(&table.name, chain, rule)?);
        }
    }
    change.commit(nft).await
}

fn add_elements(change: Transaction, set: &NlSet, elements: &Elements) -> nlink::Result<Transaction> {
    Ok(if elements.is_empty() { change } else { change.add_set_elements(set, &encode_elements(elements)?) })
}

/// Changes elements, in one transaction.
pub(crate) async fn change_elements(
    nft: &Connection<Nftables>,
    table: &TableName,
    changes: &[ElementsChange],
) -> nlink::Result<()> {
    let mut change = nft.transaction();
    for ElementsChange { set, delete, add } in changes {
        let declared = named(table, set, add);
        if !delete.is_empty() {
            change = change.del_set_elements(&declared, &encode_elements(delete)?);
        }
        change = add_elements(change, &declared, add)?;
    }
    change.commit(nft).await
}

/// Removes a table, whether it is there or not.
pub(crate) async fn delete(nft: &Connection<Nftables>, name: &TableName) -> nlink::Result<()> {
    nft.transaction().raw(ensure(name)).del_table(&name.name, family(name.family)).commit(nft).await
}
