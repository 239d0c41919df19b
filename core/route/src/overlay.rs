//! Addresses of the nodes in the overlay, planned for the whole cluster at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use subm_types::{CidrSet, Family, MacAddress};

use crate::{Node, NodeName};

/// The network of the overlay's IPv4 addresses.
const NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 8);
/// How many candidates are tried for a node whose own address is taken.
const TRIES: u32 = 1 << 16;
/// Steps between candidates; odd, so that a walk visits every address.
const STRIDE: u32 = 0x9E_3779;

/// The place of a node in the overlay: 24 bits that give its addresses of both families and its hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OverlayAddress([u8; 3]);

impl OverlayAddress {
    /// The address of one family: `240.b.c.d`, or the same 32 bits below `fd00:100:100::/96`.
    pub const fn address(self, family: Family) -> IpAddr {
        let v4 = self.v4();
        match family {
            Family::V4 => IpAddr::V4(v4),
            Family::V6 => {
                let [a, b, c, d] = v4.octets();
                let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                IpAddr::V6(Ipv6Addr::new(0xfd00, 0x100, 0x100, 0, 0, 0, high, low))
            }
        }
    }

    /// The address of one family with the overlay's prefix, as it stands on the link.
    pub fn on_link(self, family: Family) -> IpNet {
        let prefix = match family {
            Family::V4 => 8,
            Family::V6 => 96,
        };
        IpNet::new_assert(self.address(family), prefix)
    }

    /// The hardware address: cloned machines would otherwise make up equal ones, and the kernel drops what seems to
    /// come from itself.
    pub const fn mac(self) -> MacAddress {
        let [b, c, d] = self.0;
        MacAddress([0x02, 0, 240, b, c, d])
    }

    const fn v4(self) -> Ipv4Addr {
        let [b, c, d] = self.0;
        Ipv4Addr::new(240, b, c, d)
    }

    const fn of_bits(bits: u32) -> Self {
        let [_, b, c, d] = bits.to_be_bytes();
        Self([b, c, d])
    }
}

/// Gives each node its place: that of its internal address where it is free, else the next free one of a walk that
/// its name begins.
///
/// Nodes choose in the order of their age, so a new node moves no other. What it may move is its own place, when an
/// older node that held its first choice goes. Addresses within `taken` are not used.
pub fn assign(nodes: &[Node], taken: &CidrSet) -> BTreeMap<NodeName, OverlayAddress> {
    let mut by_age: Vec<&Node> = nodes.iter().collect();
    by_age.sort_by_key(|node| (node.created, &node.name, node.internal_ips));
    let mut used = BTreeSet::new();
    let mut out = BTreeMap::new();
    for node in by_age {
        if out.contains_key(&node.name) || taken.contains_net(&IpNet::V4(NETWORK)) {
            continue;
        }
        let free = |place: &OverlayAddress| {
            let usable = place.0 != [0; 3] && place.0 != [0xff; 3];
            usable && !used.contains(place) && !taken.contains(IpAddr::V4(place.v4()))
        };
        if let Some(place) = candidates(node).find(free) {
            used.insert(place);
            out.insert(node.name.clone(), place);
        }
    }
    out
}

fn candidates(node: &Node) -> impl Iterator<Item = OverlayAddress> {
    let preferred = node.internal_ips.iter().next().map(|(_, address)| match address {
        IpAddr::V4(v4) => OverlayAddress::of_bits(v4.to_bits()),
        IpAddr::V6(v6) => {
            let [.., high, low] = v6.segments();
            OverlayAddress::of_bits(u32::from(high) << 16 | u32::from(low))
        }
    });
    let start = fnv1a(node.name.0.as_bytes());
    let walk = (0..TRIES)
        .map(move |step| OverlayAddress::of_bits(start.wrapping_add(step.wrapping_mul(STRIDE)) & 0xFF_FFFF));
    preferred.into_iter().chain(walk)
}

/// FNV-1a, 32 bits: small, and the same on every node and in every version.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use subm_types::{HostName, PerFamily};

    fn node(name: &str, address: &str, created: i64) -> Node {
        Node {
            name: NodeName(name.to_owned()),
            hostname: HostName(name.to_owned()),
            internal_ips: PerFamily::of([address.parse().unwrap()]),
            created,
        }
    }

    #[test]
    fn a_node_keeps_the_last_bytes_of_its_internal_address() {
        let places = assign(&[node("a", "172.18.0.3", 1)], &CidrSet::default());
        let place = places[&NodeName("a".to_owned())];
        assert_eq!(place.on_link(Family::V4).to_string(), "240.18.0.3/8");
        assert_eq!(place.on_link(Family::V6).to_string(), "fd00:100:100::f012:3/96");
        assert_eq!(place.mac().to_string(), "02:00:f0:12:00:03");
    }

    #[test]
    fn of_two_nodes_with_one_suffix_the_older_keeps_it() {
        let nodes = [node("new", "10.1.2.3", 2), node("old", "172.1.2.3", 1)];
        let places = assign(&nodes, &CidrSet::default());
        assert_eq!(places[&NodeName("old".to_owned())], OverlayAddress([1, 2, 3]));
        assert_ne!(places[&NodeName("new".to_owned())], OverlayAddress([1, 2, 3]));
    }

    #[test]
    fn addresses_of_pods_are_not_used() {
        let pods: CidrSet = ["240.1.0.0/16".parse().unwrap()].into_iter().collect();
        let places = assign(&[node("a", "10.1.2.3", 1)], &pods);
        assert!(!pods.contains(places[&NodeName("a".to_owned())].address(Family::V4)));
    }
}
