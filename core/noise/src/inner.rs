//! What the protocol has to know of the IP packets that it carries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;

/// The part of an IP header that cryptokey routing looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inner {
    /// Who sent the packet: on receipt it must be among the peer's allowed addresses.
    pub source: IpAddr,
    /// Where it goes: on sending it selects the peer.
    pub destination: IpAddr,
    /// Its length by its own header, without the padding.
    pub length: usize,
}

impl Inner {
    /// Reads the header of a packet; none if it is not IP or longer than what is there.
    #[inline]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let inner = match packet.first()? >> 4 {
            4 => Self::v4(packet.first_chunk()?),
            6 => Self::v6(packet.first_chunk()?),
            _ => return None,
        };
        (inner.length <= packet.len() && inner.length >= V4_HEADER).then_some(inner)
    }

    fn v4(header: &[u8; V4_HEADER]) -> Self {
        let address =
            |at: usize| IpAddr::V4(Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]));
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        Self { source: address(12), destination: address(16), length }
    }

    fn v6(header: &[u8; V6_HEADER]) -> Self {
        let address = |at: usize| {
            let mut octets = [0; 16];
            octets.copy_from_slice(&header[at..at + 16]);
            IpAddr::V6(Ipv6Addr::from(octets))
        };
        let length = V6_HEADER + usize::from(u16::from_be_bytes([header[4], header[5]]));
        Self { source: address(8), destination: address(24), length }
    }
}
