//! The layout of the four messages, and how much room a packet takes once it is sealed.

/// Bytes before the sealed packet of a data message: type, receiver index, counter.
pub const DATA_HEADER: usize = 16;
/// Bytes of an authentication tag.
pub const TAG: usize = 16;
/// Bytes that a data message adds to its padded packet.
pub const DATA_OVERHEAD: usize = DATA_HEADER + TAG;
/// Bytes of a handshake initiation.
pub const INITIATION: usize = 148;
/// Bytes of a handshake response.
pub const RESPONSE: usize = 92;
/// Bytes of a cookie reply.
pub const COOKIE_REPLY: usize = 64;

/// Packets are padded to a multiple of this.
const PADDING: usize = 16;
const TYPE_INITIATION: u32 = 1;
const TYPE_RESPONSE: u32 = 2;
const TYPE_COOKIE_REPLY: u32 = 3;
const TYPE_DATA: u32 = 4;

/// What a datagram claims to be, by its first bytes and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One of the three messages for [`crate::Device::handle_handshake`].
    Handshake(Handshake),
    /// A sealed packet for the session of this index.
    Data {
        /// The index that the receiver chose for the session.
        receiver: u32,
        /// The number of the packet within its session.
        counter: u64,
    },
}

/// The messages that set up a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// The first message of a handshake.
    Initiation,
    /// The answer to it.
    Response,
    /// The answer of a responder under load: prove your address first.
    CookieReply,
}

impl Kind {
    /// Reads the type of a datagram; none if it is no WireGuard message.
    #[inline]
    pub fn of(datagram: &[u8]) -> Option<Self> {
        let kind = u32::from_le_bytes(*datagram.first_chunk()?);
        let handshake = match (kind, datagram.len()) {
            (TYPE_DATA, DATA_OVERHEAD..) => return Self::data(datagram),
            (TYPE_INITIATION, INITIATION) => Handshake::Initiation,
            (TYPE_RESPONSE, RESPONSE) => Handshake::Response,
            (TYPE_COOKIE_REPLY, COOKIE_REPLY) => Handshake::CookieReply,
            _ => return None,
        };
        Some(Self::Handshake(handshake))
    }

    #[inline]
    fn data(datagram: &[u8]) -> Option<Self> {
        let receiver = u32::from_le_bytes(*datagram.get(4..)?.first_chunk()?);
        let counter = u64::from_le_bytes(*datagram.get(8..)?.first_chunk()?);
        Some(Self::Data { receiver, counter })
    }
}

impl Handshake {
    /// The first four bytes of such a message.
    pub(crate) const fn magic(self) -> [u8; 4] {
        match self {
            Self::Initiation => TYPE_INITIATION,
            Self::Response => TYPE_RESPONSE,
            Self::CookieReply => TYPE_COOKIE_REPLY,
        }
        .to_le_bytes()
    }
}

/// The header of a data message.
#[inline]
pub(crate) fn data_header(receiver: u32, counter: u64) -> [u8; DATA_HEADER] {
    let mut header = [0; DATA_HEADER];
    header[..4].copy_from_slice(&TYPE_DATA.to_le_bytes());
    header[4..8].copy_from_slice(&receiver.to_le_bytes());
    header[8..].copy_from_slice(&counter.to_le_bytes());
    header
}

/// The length of a packet once padded: a multiple of 16, but no longer than the interface's MTU allows.
#[inline]
pub const fn padded(packet: usize, mtu: usize) -> usize {
    let whole = packet.next_multiple_of(PADDING);
    if whole > mtu && packet <= mtu { mtu } else { whole }
}

/// The length of the datagram that carries a packet.
#[inline]
pub const fn sealed(packet: usize, mtu: usize) -> usize {
    padded(packet, mtu) + DATA_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_stops_at_the_mtu() {
        assert_eq!(
            [0, 1, 16, 17, 1405, 1420].map(|packet| padded(packet, 1420)),
            [0, 16, 16, 32, 1408, 1420]
        );
        assert_eq!(sealed(0, 1420), DATA_OVERHEAD);
    }

    #[test]
    fn a_datagram_is_known_by_type_and_length() {
        for (kind, length, expected) in [
            (1, INITIATION, Some(Kind::Handshake(Handshake::Initiation))),
            (1, INITIATION - 1, None),
            (2, RESPONSE, Some(Kind::Handshake(Handshake::Response))),
            (3, COOKIE_REPLY, Some(Kind::Handshake(Handshake::CookieReply))),
            (4, DATA_OVERHEAD - 1, None),
            (4, DATA_OVERHEAD, Some(Kind::Data { receiver: 0, counter: 0 })),
            (5, INITIATION, None),
            (0x0100_0004, 64, None),
        ] {
            let mut datagram = vec![0; length];
            datagram[..4].copy_from_slice(&u32::to_le_bytes(kind));
            assert_eq!(Kind::of(&datagram), expected, "type {kind}, {length} bytes");
        }
        assert_eq!(Kind::of(&[4, 0, 0]), None);
    }

    #[test]
    fn a_written_header_reads_back() {
        let mut datagram = vec![0; DATA_OVERHEAD];
        datagram[..DATA_HEADER].copy_from_slice(&data_header(0xdead_beef, 1 << 40));
        assert_eq!(Kind::of(&datagram), Some(Kind::Data { receiver: 0xdead_beef, counter: 1 << 40 }));
    }
}
