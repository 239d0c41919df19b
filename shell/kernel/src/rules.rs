//! Rules that choose routing tables.

use ipnet::IpNet;
use nlink::netlink::messages::RuleMessage;
use nlink::netlink::rule::RuleBuilder;
use nlink::netlink::types::rule::FibRuleHdr;
use nlink::netlink::{FromNetlink, MessageBuilder, NLMSG_HDRLEN, NlMsgType};
use std::net::IpAddr;
use subm_plan::{RouteProtocol, Rule, RuleSelector, TableId};
use subm_types::Family;

use crate::KernelError;
use crate::addresses::{V4, V6};
use crate::netlink::{self, CREATE, Netlink};

/// The rules of a protocol. One with a condition that plans do not know is not one of ours, whatever its protocol.
pub(crate) fn list(netlink: &Netlink, protocol: RouteProtocol) -> Result<Vec<Rule>, KernelError> {
    let mut rules = Vec::new();
    for (family, number) in [(Family::V4, V4), (Family::V6, V6)] {
        let mut request = netlink::list(NlMsgType::RTM_GETRULE);
        request.append(&FibRuleHdr::new().with_family(number));
        let answers = match netlink.ask(&request) {
            // The family is switched off.
            Err(error) if error.is_not_supported() => continue,
            answers => answers.map_err(KernelError::netlink("list rules"))?,
        };
        let messages = answers.iter().filter_map(|payload| RuleMessage::from_bytes(payload).ok());
        let ours = messages.filter(|message| message.protocol() == Some(protocol.0));
        rules.extend(ours.filter_map(|message| decode(family, &message)));
    }
    Ok(rules)
}

fn decode(family: Family, message: &RuleMessage) -> Option<Rule> {
    let odd = [
        message.oifname().is_some(),
        message.fwmark().is_some_and(|mark| mark != 0),
        message.goto().is_some(),
        message.is_invert(),
        message.ip_proto().is_some_and(|protocol| protocol != 0),
        message.sport_range().is_some(),
        message.dport_range().is_some(),
        message.uid_range().is_some(),
        message.suppress_prefixlen().is_some_and(|length| length != u32::MAX),
        message.suppress_ifgroup().is_some_and(|group| group != u32::MAX),
    ];
    if !message.is_lookup() || odd.contains(&true) {
        return None;
    }
    let net = |address: Option<IpAddr>, length| IpNet::new(address?, length).ok();
    let selector = RuleSelector {
        from: net(message.source(), message.src_len()),
        to: net(message.destination(), message.dst_len()),
        iif: message.iifname().and_then(|name| name.parse().ok()),
    };
    Some(Rule { family, priority: message.priority(), selector, table: TableId(message.table_id()) })
}

fn builder(protocol: RouteProtocol, rule: &Rule) -> RuleBuilder {
    let mut builder = match rule.family {
        Family::V4 => RuleBuilder::v4(),
        Family::V6 => RuleBuilder::v6(),
    };
    if let Some(from) = rule.selector.from {
        builder = builder.from_addr(from.addr(), from.prefix_len());
    }
    if let Some(to) = rule.selector.to {
        builder = builder.to_addr(to.addr(), to.prefix_len());
    }
    if let Some(iif) = &rule.selector.iif {
        builder = builder.iif(iif.as_str());
    }
    builder.priority(rule.priority).table(rule.table.0).protocol(protocol.0)
}

pub(crate) fn add(netlink: &Netlink, protocol: RouteProtocol, rule: &Rule) -> Result<(), KernelError> {
    let failed = KernelError::netlink("add the rule");
    let request = match builder(protocol, rule).build() {
        Ok(request) => request,
        Err(error) => return Err(failed(error)),
    };
    match netlink.send(&request) {
        Err(error) if error.is_already_exists() => beside(netlink, protocol, rule, &request),
        other => other.map_err(failed),
    }
}

/// Adds a rule where one stands that says the same. KERNEL: whose it is makes no difference to `NLM_F_EXCL`, but the
/// other one is not ours to rely on (`a_rule_of_others_that_says_the_same_stands_beside_ours`).
fn beside(
    netlink: &Netlink,
    protocol: RouteProtocol,
    rule: &Rule,
    refused: &MessageBuilder,
) -> Result<(), KernelError> {
    if list(netlink, protocol)?.contains(rule) {
        return Ok(());
    }
    let mut request = netlink::change(NlMsgType::RTM_NEWRULE, CREATE);
    request.append_bytes(refused.as_bytes().get(NLMSG_HDRLEN..).unwrap_or_default());
    netlink.send(&request).map_err(KernelError::netlink("add the rule"))
}

pub(crate) fn delete(netlink: &Netlink, protocol: RouteProtocol, rule: &Rule) -> Result<(), KernelError> {
    let failed = KernelError::netlink("delete the rule");
    match builder(protocol, rule).build_delete().and_then(|request| netlink.send(&request)) {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map_err(failed),
    }
}
