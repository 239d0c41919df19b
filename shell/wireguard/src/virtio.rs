//! The header that goes before a frame: what is left to be done to it (`struct virtio_net_hdr`).

/// Its length on the wire between kernel and program.
pub(crate) const HEADER_BYTES: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;
const GSO_TCP_V4: u8 = 1;
const GSO_TCP_V6: u8 = 4;
const GSO_UDP: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// How a frame is to be cut into packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cut {
    /// It is one packet.
    #[default]
    Whole,
    /// Into TCP segments over IPv4.
    TcpV4,
    /// Into TCP segments over IPv6.
    TcpV6,
    /// Into UDP datagrams over either.
    Udp,
}

/// What is left to be done to a frame before it is packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offload {
    /// Whether the checksum holds the sum of the pseudo header only.
    pub partial_checksum: bool,
    /// How the frame is to be cut.
    pub cut: Cut,
    /// The bytes before the payload: a hint only when read.
    pub header: u16,
    /// The payload of each packet but the last.
    pub segment: u16,
    /// Where the checksummed part begins.
    pub checksum_start: u16,
    /// Where in that part the checksum is.
    pub checksum_offset: u16,
}

impl Offload {
    /// Reads the kernel's form; `None` for a kind of frame that was not asked for.
    pub(crate) fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let cut = match bytes[1] & !GSO_ECN {
            0 => Cut::Whole,
            GSO_TCP_V4 => Cut::TcpV4,
            GSO_TCP_V6 => Cut::TcpV6,
            GSO_UDP => Cut::Udp,
            _ => return None,
        };
        Some(Self {
            partial_checksum: bytes[0] & NEEDS_CHECKSUM != 0,
            cut,
            header: half(2),
            segment: half(4),
            checksum_start: half(6),
            checksum_offset: half(8),
        })
    }

    /// The kernel's form, `link` bytes of link header being before what the offsets count from.
    pub(crate) fn write(self, link: u16) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = if self.partial_checksum { NEEDS_CHECKSUM } else { 0 };
        bytes[1] = match self.cut {
            Cut::Whole => 0,
            Cut::TcpV4 => GSO_TCP_V4,
            Cut::TcpV6 => GSO_TCP_V6,
            Cut::Udp => GSO_UDP,
        };
        let moved = |offset: u16| if self.partial_checksum { offset + link } else { 0 };
        bytes[2..4].copy_from_slice(&moved(self.header).to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.segment.to_ne_bytes());
        bytes[6..8].copy_from_slice(&moved(self.checksum_start).to_ne_bytes());
        bytes[8..10].copy_from_slice(&self.checksum_offset.to_ne_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for cut in [Cut::Whole, Cut::TcpV4, Cut::TcpV6, Cut::Udp] {
            let offload = Offload {
                partial_checksum: true,
                cut,
                header: 52,
                segment: 1368,
                checksum_start: 20,
                checksum_offset: 16,
            };
            assert_eq!(Offload::read(&offload.write(0)), Some(offload));
            assert_eq!(Offload::read(&offload.write(14)).unwrap().checksum_start, 34);
        }
    }

    #[test]
    fn kinds_that_were_not_asked_for_are_refused() {
        let mut bytes = Offload::default().write(0);
        bytes[1] = 3;
        assert_eq!(Offload::read(&bytes), None);
    }
}
