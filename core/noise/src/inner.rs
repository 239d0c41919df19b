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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_read() {
        let mut v4 = [0; 48];
        v4[0] = 0x45;
        v4[3] = 40;
        v4[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 1, 0, 2]);
        let inner = Inner::parse(&v4).unwrap();
        assert_eq!((inner.length, inner.source.to_string().as_str()), (40, "10.0.0.1"));
        assert_eq!(inner.destination.to_string(), "10.1.0.2");
        let mut v6 = [0; 48];
        v6[0] = 0x60;
        v6[5] = 8;
        (v6[8], v6[23], v6[24], v6[39]) = (0xfd, 1, 0xfd, 2);
        let inner = Inner::parse(&v6).unwrap();
        assert_eq!((inner.length, inner.source.to_string().as_str()), (48, "fd00::1"));
        assert_eq!(inner.destination.to_string(), "fd00::2");
    }

    #[test]
    fn what_is_no_whole_packet_is_refused() {
        let mut long = [0; 39];
        (long[0], long[3]) = (0x45, 40);
        let mut short = [0; 40];
        (short[0], short[3]) = (0x45, 19);
        let mut v6 = [0; 47];
        (v6[0], v6[5]) = (0x60, 8);
        for bad in [&[][..], &[0x45; 19], &[0x60; 39], &[0x50; 60], &long, &short, &v6] {
            assert_eq!(Inner::parse(bad), None, "{bad:?}");
        }
    }
}
