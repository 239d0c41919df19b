//! Numbers that both daemons of a node must agree on; private to one cluster.

use subm_types::Family;

use crate::TableId;

/// Rules that send a cable's own packets to the main table, where the remote gateway's address lies inside a
/// remote CIDR.
pub const RULE_OUTSIDE: u32 = 99;
/// The rule to [`TABLE_REMOTE`], on every node, written by the route agent.
///
/// KERNEL: every packet that finds its way by a table pays for each rule before that table's, twice where sources are
/// checked; so there is one for both daemons.
pub const RULE_REMOTE: u32 = 101;
/// Every way to a remote cluster: the gateway writes the routes into cables, the route agent those to the gateway
/// node and, beneath both, the unreachable ones.
pub const TABLE_REMOTE: TableId = TableId(101);
/// The metric of unreachable routes: worse than that of every route of ours.
pub const METRIC_UNREACHABLE: u32 = 0xF000_0000;
/// The metric of routes into cables: where a gateway has one, it is the way.
pub const METRIC_CABLE: u32 = 50;
/// The metric of routes over the overlay to the gateway node.
pub const METRIC_OVERLAY: u32 = 100;
/// UDP port of the overlay between the nodes of a cluster.
pub const OVERLAY_PORT: u16 = 4800;
/// VXLAN network identifier of the overlay.
pub const OVERLAY_VNI: u32 = 100;
/// Bytes that WireGuard adds over IPv6: a data message's header and tag 32, UDP 8, IPv6 40; over IPv4 20 less.
pub const WIREGUARD_OVERHEAD: u32 = 80;

/// The identifier of the link that IPsec cables have, whose name libreswan makes of it. ESP packets carry it as their
/// firewall mark, so it has none of the bits that network plug-ins give a meaning.
pub const IPSEC_INTERFACE: u32 = 83;
/// Bytes that ESP with AES-GCM adds over IPv6: index and sequence number 8, vector 8, padding with its length and the
/// next header at most 5, check value 16 (RFC 4106), UDP 8 (RFC 3948), IPv6 40; over IPv4 20 less.
pub const IPSEC_OVERHEAD: u32 = 85;

/// Bytes that VXLAN adds over a family: Ethernet 14, VXLAN 8, UDP 8, and IPv4 20 or IPv6 40 (RFC 7348 §4).
pub const fn vxlan_overhead(outer: Family) -> u32 {
    match outer {
        Family::V4 => 50,
        Family::V6 => 70,
    }
}
