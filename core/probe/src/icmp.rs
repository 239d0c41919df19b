//! Echo requests and replies (RFC 792, RFC 4443 §4).

use subm_types::Family;

/// An echo message without its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    /// Tells the askers of a host apart; the kernel chooses it on datagram ICMP sockets.
    pub identifier: u16,
    /// Tells the questions of an asker apart.
    pub sequence: u16,
    /// What the other side sends back unchanged.
    pub payload: Vec<u8>,
}

/// What an echo message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A question.
    Request(Echo),
    /// An answer.
    Reply(Echo),
}

/// Why bytes are no echo message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEcho {
    /// Fewer than the eight bytes of a header.
    #[error("the message ends within its header")]
    Truncated,
    /// The checksum does not fit.
    #[error("the checksum is wrong")]
    Checksum,
    /// Another ICMP message.
    #[error("type {kind} code {code} is no echo")]
    Other {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
    },
}

const HEADER: usize = 8;

const fn kinds(family: Family) -> (u8, u8) {
    match family {
        Family::V4 => (8, 0),
        Family::V6 => (128, 129),
    }
}

/// The bytes of a message, as raw sockets of the family take them.
///
/// KERNEL: the checksum of `ICMPv6` covers addresses; the kernel computes and checks it on raw sockets too, so it
/// is left zero here.
pub fn encode(family: Family, message: &Message) -> Vec<u8> {
    let (request, reply) = kinds(family);
    let (kind, echo) = match message {
        Message::Request(echo) => (request, echo),
        Message::Reply(echo) => (reply, echo),
    };
    let mut bytes = Vec::with_capacity(HEADER + echo.payload.len());
    bytes.extend([kind, 0, 0, 0]);
    bytes.extend(echo.identifier.to_be_bytes());
    bytes.extend(echo.sequence.to_be_bytes());
    bytes.extend(&echo.payload);
    if family == Family::V4 {
        let sum = checksum(&bytes).to_be_bytes();
        bytes.splice(2..4, sum);
    }
    bytes
}

/// Reads a message that begins with its ICMP header.
pub fn decode(family: Family, bytes: &[u8]) -> Result<Message, NotAnEcho> {
    let (header, payload) = bytes.split_first_chunk::<HEADER>().ok_or(NotAnEcho::Truncated)?;
    let &[kind, code, _, _, id_high, id_low, sequence_high, sequence_low] = header;
    let (request, reply) = kinds(family);
    if code != 0 || (kind != request && kind != reply) {
        return Err(NotAnEcho::Other { kind, code });
    }
    if family == Family::V4 && checksum(bytes) != 0 {
        return Err(NotAnEcho::Checksum);
    }
    let echo = Echo {
        identifier: u16::from_be_bytes([id_high, id_low]),
        sequence: u16::from_be_bytes([sequence_high, sequence_low]),
        payload: payload.to_vec(),
    };
    Ok(if kind == request { Message::Request(echo) } else { Message::Reply(echo) })
}

/// What follows the IPv4 header that raw IPv4 sockets deliver before the message.
pub fn after_ipv4_header(packet: &[u8]) -> Result<&[u8], NotAnEcho> {
    let first = packet.first().ok_or(NotAnEcho::Truncated)?;
    packet.get(usize::from(first & 0x0f) * 4..).ok_or(NotAnEcho::Truncated)
}

/// The Internet checksum (RFC 1071): zero over a message that carries its own.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(u16::from_be_bytes([high, 0])),
        _ => 0,
    });
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_has_the_bytes_that_ping_sends() {
        let echo = Echo { identifier: 0x1234, sequence: 1, payload: b"abc".to_vec() };
        let bytes = encode(Family::V4, &Message::Request(echo));
        assert_eq!(bytes, [8, 0, 0x21, 0x68, 0x12, 0x34, 0, 1, b'a', b'b', b'c']);
    }

    #[test]
    fn other_messages_are_told_apart() {
        let unreachable = [3, 1, 0xfc, 0xfe, 0, 0, 0, 0];
        assert_eq!(decode(Family::V4, &unreachable), Err(NotAnEcho::Other { kind: 3, code: 1 }));
        assert_eq!(decode(Family::V4, &[0, 0, 0, 0, 0, 0, 0, 0]), Err(NotAnEcho::Checksum));
        assert_eq!(decode(Family::V6, &[129, 0, 0]), Err(NotAnEcho::Truncated));
        assert_eq!(after_ipv4_header(&[0x45; 8]), Err(NotAnEcho::Truncated));
        assert_eq!(after_ipv4_header(&[0x45; 21]), Ok(&[0x45_u8][..]));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            identifier: u16,
            sequence: u16,
            payload in proptest::collection::vec(any::<u8>(), 0..70),
            v6: bool,
            request: bool,
        ) {
            let family = if v6 { Family::V6 } else { Family::V4 };
            let echo = Echo { identifier, sequence, payload };
            let message = if request { Message::Request(echo) } else { Message::Reply(echo) };
            prop_assert_eq!(decode(family, &encode(family, &message)), Ok(message));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            drop(decode(Family::V4, &bytes));
            drop(decode(Family::V6, &bytes));
            prop_assert!(after_ipv4_header(&bytes).is_ok() || bytes.len() < 60);
        }
    }
}
