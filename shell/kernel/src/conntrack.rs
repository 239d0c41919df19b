//! Tracked flows that lost their source address, found and forgotten one by one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nlink::netlink::netfilter::{
    ConntrackBuilder, ConntrackEntry, ConntrackFilter, ConntrackStatus, ConntrackTuple, IpProtocol,
};
use nlink::netlink::{Connection, Netfilter};
use subm_plan::{Flow, FlowRule};

/// The flows that break a rule. KERNEL: only flows with a changed source are asked for; the kernel filters.
pub(crate) async fn wrong_flows(
    conntrack: &Connection<Netfilter>,
    rules: &BTreeSet<FlowRule>,
) -> nlink::Result<BTreeSet<Flow>> {
    let changed = ConntrackFilter::new().status(ConntrackStatus::SRC_NAT, ConntrackStatus::SRC_NAT);
    let entries = conntrack.get_conntrack_matching(&changed).await?;
    let flows = entries.iter().filter_map(flow);
    Ok(flows.filter(|flow| rules.iter().any(|rule| rule.violated_by(flow))).collect())
}

fn flow(entry: &ConntrackEntry) -> Option<Flow> {
    let ConntrackTuple { src_port, dst_port, icmp_id, icmp_type, icmp_code, .. } = &entry.orig;
    let kind = icmp_type.map(|kind| u16::from_be_bytes([kind, icmp_code.unwrap_or(0)]));
    Some(Flow {
        protocol: entry.proto.number(),
        src: entry.orig.src_ip?,
        dst: entry.orig.dst_ip?,
        src_port: src_port.or(*icmp_id).unwrap_or(0),
        dst_port: dst_port.or(kind).unwrap_or(0),
        reply_src: entry.reply.src_ip?,
        reply_dst: entry.reply.dst_ip?,
        zone: entry.zone.unwrap_or(0),
    })
}

/// Makes the kernel forget a flow; that it has is fine.
pub(crate) async fn forget(conntrack: &Connection<Netfilter>, flow: &Flow) -> nlink::Result<()> {
    let protocol = match flow.protocol {
        1 => IpProtocol::Icmp,
        6 => IpProtocol::Tcp,
        17 => IpProtocol::Udp,
        58 => IpProtocol::Icmpv6,
        other => IpProtocol::Other(other),
    };
    let (builder, tuple) = match (flow.src, flow.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            (ConntrackBuilder::new_v4(protocol), ConntrackTuple::v4(src, dst))
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            (ConntrackBuilder::new_v6(protocol), ConntrackTuple::v6(src, dst))
        }
        _ => return Ok(()),
    };
    let tuple = if matches!(flow.protocol, 1 | 58) {
        let [kind, code] = flow.dst_port.to_be_bytes();
        tuple.icmp(kind, code, flow.src_port)
    } else {
        tuple.ports(flow.src_port, flow.dst_port)
    };
    let builder = builder.orig(tuple);
    let builder = if flow.zone == 0 { builder } else { builder.zone(flow.zone) };
    match conntrack.del_conntrack(builder).await {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}
