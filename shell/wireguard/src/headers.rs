//! Where things are in the headers of an IP packet that carries TCP or UDP.

use crate::checksum::Sum;

pub(crate) const PROTOCOL_TCP: u8 = 6;
pub(crate) const PROTOCOL_UDP: u8 = 17;
pub(crate) const V4_HEADER: usize = 20;
pub(crate) const V6_HEADER: usize = 40;
pub(crate) const TCP_HEADER: usize = 20;
pub(crate) const UDP_HEADER: usize = 8;

/// Places in a TCP header.
pub(crate) mod tcp {
    pub(crate) const SEQUENCE: usize = 4;
    pub(crate) const ACKNOWLEDGED: usize = 8;
    pub(crate) const DATA_OFFSET: usize = 12;
    pub(crate) const FLAGS: usize = 13;
    pub(crate) const WINDOW: usize = 14;
    pub(crate) const CHECKSUM: usize = 16;
    pub(crate) const URGENT: usize = 18;

    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const PSH: u8 = 0x08;
    pub(crate) const ACK: u8 = 0x10;
    pub(crate) const CWR: u8 = 0x80;
}

/// Places in a UDP header.
pub(crate) mod udp {
    pub(crate) const LENGTH: usize = 4;
    pub(crate) const CHECKSUM: usize = 6;
}

/// The version of an IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V6,
}

impl Version {
    /// The version of a packet that is long enough for its fixed header.
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 if packet.len() >= V4_HEADER => Some(Self::V4),
            6 if packet.len() >= V6_HEADER => Some(Self::V6),
            _ => None,
        }
    }

    /// The sum of the pseudo header before a transport header.
    pub(crate) fn pseudo(self, packet: &[u8], protocol: u8, length: usize) -> Sum {
        let addresses = match self {
            Self::V4 => &packet[12..20],
            Self::V6 => &packet[8..40],
        };
        Sum::of(addresses).word(u16::from(protocol)).word(low16(length))
    }

    /// Writes the total length of the packet into its header, and the header's checksum where it has one.
    pub(crate) fn set_length(self, packet: &mut [u8], total: usize) {
        match self {
            Self::V4 => {
                packet[2..4].copy_from_slice(&low16(total).to_be_bytes());
                seal_v4(packet);
            }
            Self::V6 => packet[4..6].copy_from_slice(&low16(total - V6_HEADER).to_be_bytes()),
        }
    }
}

/// Writes the checksum of an IPv4 header.
pub(crate) fn seal_v4(packet: &mut [u8]) {
    let header = (usize::from(packet[0] & 0xf) * 4).clamp(V4_HEADER, packet.len());
    packet[10..12].fill(0);
    let checksum = Sum::of(&packet[..header]).checksum();
    packet[10..12].copy_from_slice(&checksum);
}

/// A length as a header writes it: packets are shorter than 64 KiB.
pub(crate) fn low16(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

pub(crate) fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
