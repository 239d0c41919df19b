//! Flows whose address translation was fixed wrongly, because a rule of ours was missing when they began.

use std::fmt;
use std::net::IpAddr;

use subm_types::CidrSet;

/// Flows between these networks keep their source address.
///
/// KERNEL: a NAT rule acts on the first packet of a flow only; a flow that began without the rule keeps its wrong
/// binding until its conntrack entry is gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowRule {
    /// Where the flow's first packet comes from.
    pub from: CidrSet,
    /// Where it goes, after destination NAT.
    pub to: CidrSet,
}

/// A tracked connection, as far as needed to name and delete it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// The IP protocol number.
    pub protocol: u8,
    /// Source of the first packet.
    pub src: IpAddr,
    /// Destination of the first packet, before destination NAT.
    pub dst: IpAddr,
    /// Source port, or the ICMP identifier.
    pub src_port: u16,
    /// Destination port; for ICMP, type and code as `type << 8 | code`.
    pub dst_port: u16,
    /// Source of replies: the destination after NAT.
    pub reply_src: IpAddr,
    /// Destination of replies: the source after NAT.
    pub reply_dst: IpAddr,
    /// The zone.
    pub zone: u16,
}

impl FlowRule {
    /// Tells whether a flow is one of these and has lost its source address.
    pub fn violated_by(&self, flow: &Flow) -> bool {
        self.from.contains(flow.src) && self.to.contains(flow.reply_src) && flow.reply_dst != flow.src
    }
}

impl fmt::Display for FlowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {{ {} }} to {{ {} }} keep source", self.from, self.to)
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, src, dst, src_port, dst_port, reply_src, reply_dst, .. } = self;
        write!(f, "proto {protocol} {src}:{src_port} > {dst}:{dst_port} as {reply_dst} > {reply_src}")
    }
}
