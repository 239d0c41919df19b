//! The address plan: every address follows from the number of its cluster and the index of its node.
//!
//! | | IPv4 | IPv6 |
//! |---|---|---|
//! | hub | 172.30.0.2 | fd00:172:30::2 |
//! | uplink of cluster N | 172.30.N.0/24 | fd00:172:30:N::/64 |
//! | between two NATs of cluster N | 172.29.N.0/24 | fd00:172:29:N::/64 |
//! | nodes | 172.31.N.0/24 | fd00:172:31:N::/64 |
//! | pods | 10.N.0.0/16 | fd00:10:N::/48 |
//! | services | 100.(64+N).0.0/16 | fd00:100:N::/112 |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use subm_types::{Family, PerFamily};

use super::{Cluster, Families, Node, Topology};

/// The first node's place in its network; routers, APIs and gateways of links come before it.
const FIRST_NODE: u8 = 10;
const ROUTER: u8 = 1;
const API: u8 = 2;
const HUB: u8 = 2;
/// Where the echo service is among services.
const ECHO: u8 = 80;

fn v4(octets: [u8; 4], prefix: u8) -> IpNet {
    Ipv4Net::new_assert(octets.into(), prefix).into()
}

fn v6(segments: [u16; 8], prefix: u8) -> IpNet {
    Ipv6Net::new_assert(Ipv6Addr::from(segments), prefix).into()
}

fn address4(octets: [u8; 4]) -> IpAddr {
    Ipv4Addr::from(octets).into()
}

fn address6(segments: [u16; 8]) -> IpAddr {
    Ipv6Addr::from(segments).into()
}

/// Decimal digits read as hexadecimal ones, so that both families read alike.
fn digits(number: u8) -> u16 {
    let (hundreds, tens, ones) = (number / 100, number / 10 % 10, number % 10);
    u16::from(hundreds) << 8 | u16::from(tens) << 4 | u16::from(ones)
}

/// The network of an uplink; number 0 is the hub's.
fn outside(number: u8, host: u8) -> (IpNet, IpNet) {
    let (short, long) = (u16::from(number), digits(host));
    (v4([172, 30, number, host], 24), v6([0xfd00, 0x172, 0x30, short, 0, 0, 0, long], 64))
}

impl Topology {
    /// The families that any cluster has.
    pub(crate) fn families(&self) -> Families {
        let has = |family| self.clusters.iter().any(|cluster| cluster.families.has(family));
        match (has(Family::V4), has(Family::V6)) {
            (true, true) => Families::Dual,
            (false, true) => Families::Ipv6,
            (_, false) => Families::Ipv4,
        }
    }

    /// The WAN's end of the network of the hub, where guests are too.
    pub(crate) fn wan(&self) -> PerFamily<IpNet> {
        let (v4, v6) = outside(0, ROUTER);
        self.families().pick(v4, v6)
    }

    /// A host beside the hub.
    pub(crate) fn guest(&self, host: u8) -> PerFamily<IpNet> {
        let (v4, v6) = outside(0, host);
        self.families().pick(v4, v6)
    }

    /// The hub, where it is apart.
    pub(crate) fn hub_apart(&self) -> PerFamily<IpNet> {
        self.guest(HUB)
    }
}

impl Cluster {
    fn place(&self, host: u8) -> PerFamily<IpNet> {
        let (number, segment) = (self.number, u16::from(self.number));
        // The last 32 bits differ between clusters: cables derive their own addresses from them.
        self.families.pick(
            v4([172, 31, number, host], 24),
            v6([0xfd00, 0x172, 0x31, segment, 0, 0, segment, digits(host)], 64),
        )
    }

    /// The network of its nodes.
    pub(crate) fn lan(&self) -> PerFamily<IpNet> {
        networks(self.place(0))
    }

    /// Its router on the LAN.
    pub(crate) fn router(&self) -> PerFamily<IpNet> {
        self.place(ROUTER)
    }

    /// Its API server on the LAN.
    pub(crate) fn api(&self) -> PerFamily<IpNet> {
        self.place(API)
    }

    pub(super) fn node_address(&self, index: u8) -> PerFamily<IpNet> {
        self.place(FIRST_NODE + index)
    }

    /// Its end of its uplink: its router's, or that of the outer one of two NATs.
    pub(crate) fn router_outside(&self) -> PerFamily<IpNet> {
        let (v4, v6) = outside(self.number, 2);
        self.families.pick(v4, v6)
    }

    /// Between two NATs in a row: the end of the inner one and that of the outer one.
    pub(crate) fn carrier(&self) -> (PerFamily<IpNet>, PerFamily<IpNet>) {
        let end = |host: u8| {
            self.families.pick(
                v4([172, 29, self.number, host], 24),
                v6([0xfd00, 0x172, 0x29, u16::from(self.number), 0, 0, 0, digits(host)], 64),
            )
        };
        (end(2), end(1))
    }

    /// The WAN's end of its uplink.
    pub(crate) fn wan_end(&self) -> PerFamily<IpNet> {
        let (v4, v6) = outside(self.number, ROUTER);
        self.families.pick(v4, v6)
    }

    /// The range of its pods.
    pub(crate) fn pods(&self) -> PerFamily<IpNet> {
        let (number, segment) = (self.number, u16::from(self.number));
        self.families.pick(v4([10, number, 0, 0], 16), v6([0xfd00, 0x10, segment, 0, 0, 0, 0, 0], 48))
    }

    /// The range of the pods of a node, with its own address there.
    pub(super) fn node_pods(&self, index: u8) -> PerFamily<IpNet> {
        let (number, segment) = (self.number, u16::from(self.number));
        self.families
            .pick(v4([10, number, index, 1], 24), v6([0xfd00, 0x10, segment, digits(index), 0, 0, 0, 1], 64))
    }

    /// The addresses of a further Pod of a node.
    pub(crate) fn address_on(&self, node: &Node, pod: u8) -> PerFamily<IpAddr> {
        let index = self.nodes.iter().position(|known| known.name == node.name);
        self.pod_address(index.and_then(|index| u8::try_from(index).ok()).unwrap_or_default(), pod)
    }

    pub(super) fn pod_address(&self, index: u8, pod: u8) -> PerFamily<IpAddr> {
        let (number, segment) = (self.number, u16::from(self.number));
        self.families.pick(
            address4([10, number, index, 1 + pod]),
            address6([0xfd00, 0x10, segment, digits(index), 0, 0, 0, digits(1 + pod)]),
        )
    }

    /// The range of its services.
    pub(crate) fn services(&self) -> PerFamily<IpNet> {
        let (high, segment) = (64 + self.number, digits(64 + self.number));
        self.families.pick(v4([100, high, 0, 0], 16), v6([0xfd00, 0x100, segment, 0, 0, 0, 0, 0], 112))
    }

    /// The addresses of the echo service.
    pub(crate) fn echo_service(&self) -> PerFamily<IpAddr> {
        let (high, segment) = (64 + self.number, digits(64 + self.number));
        self.families.pick(
            address4([100, high, 0, ECHO]),
            address6([0xfd00, 0x100, segment, 0, 0, 0, 0, digits(ECHO)]),
        )
    }
}

impl Node {
    /// Its address in its pods' network.
    pub(crate) fn pod_gateway(&self, family: Family) -> Option<IpAddr> {
        self.pod_net.get(family).map(IpNet::addr)
    }

    /// The range of its pods.
    pub(crate) fn pod_cidrs(&self) -> PerFamily<IpNet> {
        networks(self.pod_net)
    }
}

/// The networks that addresses are in.
pub(crate) fn networks(nets: PerFamily<IpNet>) -> PerFamily<IpNet> {
    PerFamily { v4: nets.v4.map(|net| net.trunc()), v6: nets.v6.map(|net| net.trunc()) }
}

/// Addresses without their networks.
pub(crate) fn addresses(nets: PerFamily<IpNet>) -> PerFamily<IpAddr> {
    PerFamily { v4: nets.v4.map(|net| net.addr()), v6: nets.v6.map(|net| net.addr()) }
}

/// What there is in the families that there are, for people: `10.1.0.0/16, fd00:10:1::/48`.
pub(crate) fn shown<T: ToString + Copy>(values: PerFamily<T>) -> String {
    let texts: Vec<String> = values.iter().map(|(_, value)| value.to_string()).collect();
    texts.join(",")
}

/// Everything, in this family.
pub(crate) fn everything(family: Family) -> IpNet {
    match family {
        Family::V4 => Ipv4Net::default().into(),
        Family::V6 => Ipv6Net::default().into(),
    }
}
