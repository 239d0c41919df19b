//! Packets of one flow as large frames: what segmentation took apart, put together for the device.

use std::ops::Range;

use crate::checksum::Sum;
use crate::headers::{
    PROTOCOL_TCP, PROTOCOL_UDP, TCP_HEADER, UDP_HEADER, V4_HEADER, V6_HEADER, Version, half, low16, tcp, udp,
    word,
};
use crate::virtio::{Cut, Offload};

/// The longest IP packet.
const LONGEST: usize = 65_535;
/// As many packets a frame may have: each is an entry of the vector that is written.
pub(crate) const MOST_PIECES: usize = 128;
/// As many datagrams the kernel takes in one UDP frame.
const MOST_DATAGRAMS: usize = 64;
/// As many flows are kept open; the oldest gives way.
const MOST_OPEN: usize = 32;
const DONT_FRAGMENT: u16 = 0x4000;
const NONE: u32 = u32::MAX;

/// What the device can cut again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merges {
    /// TCP over both families.
    pub tcp: bool,
    /// UDP over both families.
    pub udp: bool,
}

/// Part of the buffer that the packets are in.
#[derive(Debug, Clone, Copy)]
struct Piece {
    at: u32,
    length: u32,
    next: u32,
}

/// What of a packet decides where it can be appended.
#[derive(Debug, Clone, Copy)]
struct Shape {
    version: Version,
    protocol: u8,
    transport: usize,
    header: usize,
    payload: usize,
    /// Ports and the ends of the addresses: unequal for most flows that differ.
    tag: u32,
}

/// Packets that are written at once.
#[derive(Debug)]
struct Frame {
    first: u32,
    last: u32,
    pieces: usize,
    total: usize,
    /// The sequence number that continues it.
    next: u32,
    verified: bool,
    pushed: bool,
    shape: Option<Shape>,
}

/// Collects the packets of one batch, in order, and gives them back as frames.
#[derive(Debug)]
pub(crate) struct Merger {
    merges: Merges,
    pieces: Vec<Piece>,
    frames: Vec<Frame>,
    /// Frames that can still grow, by place in `frames`, the youngest last.
    open: Vec<u32>,
}

/// What became of an attempt to append.
enum Fit {
    Appended,
    AppendedLast,
    /// It is of this flow but cannot follow.
    Broken,
}

impl Merger {
    pub(crate) fn new(merges: Merges) -> Self {
        Self { merges, pieces: Vec::new(), frames: Vec::new(), open: Vec::new() }
    }

    /// Forgets all, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.frames.clear();
        self.open.clear();
    }

    /// Takes the next packet, which lies in `buffer` at `range`.
    pub(crate) fn push(&mut self, buffer: &[u8], range: Range<usize>) {
        let packet = &buffer[range.clone()];
        let shape = Shape::of(packet).filter(|shape| self.wants(shape));
        match shape.as_ref().and_then(|shape| self.follow(buffer, &range, shape)) {
            Some(Fit::Appended | Fit::AppendedLast) => {}
            Some(Fit::Broken) | None => self.begin(packet, range, shape),
        }
    }

    /// Appends a packet to the open frame of its flow, if there is one. A frame that cannot grow any more is closed.
    fn follow(&mut self, buffer: &[u8], range: &Range<usize>, shape: &Shape) -> Option<Fit> {
        let at = self.find(buffer, &buffer[range.clone()], shape)?;
        let fit = self.append(at, buffer, range, shape);
        if matches!(fit, Fit::AppendedLast | Fit::Broken) {
            self.open.remove(at);
        }
        Some(fit)
    }

    /// Completes the headers of frames of several packets.
    pub(crate) fn finish(&mut self, buffer: &mut [u8]) {
        for frame in self.frames.iter().filter(|frame| frame.pieces > 1) {
            let Some(shape) = &frame.shape else { continue };
            let at = self.pieces[frame.first as usize].at as usize;
            let head = &mut buffer[at..at + shape.header];
            shape.version.set_length(head, frame.total);
            let length = frame.total - shape.transport;
            let pseudo = shape.version.pseudo(head, shape.protocol, length).folded();
            let transport = &mut head[shape.transport..];
            if shape.protocol == PROTOCOL_TCP {
                transport[tcp::CHECKSUM..tcp::CHECKSUM + 2].copy_from_slice(&pseudo);
                transport[tcp::FLAGS] |= tcp::PSH * u8::from(frame.pushed);
            } else {
                transport[udp::LENGTH..udp::LENGTH + 2].copy_from_slice(&low16(length).to_be_bytes());
                transport[udp::CHECKSUM..udp::CHECKSUM + 2].copy_from_slice(&pseudo);
            }
        }
    }

    /// The frames, each as what is left to do and its parts of the buffer.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (Offload, Pieces<'_>)> {
        self.frames.iter().map(|frame| (frame.offload(), Pieces { pieces: &self.pieces, next: frame.first }))
    }

    fn wants(&self, shape: &Shape) -> bool {
        if shape.protocol == PROTOCOL_TCP { self.merges.tcp } else { self.merges.udp }
    }

    /// The open frame of the same flow, by its place in `open`.
    fn find(&self, buffer: &[u8], packet: &[u8], shape: &Shape) -> Option<usize> {
        self.open.iter().rposition(|open| {
            let frame = &self.frames[*open as usize];
            let Some(head) = &frame.shape else { return false };
            head.tag == shape.tag && {
                let at = self.pieces[frame.first as usize].at as usize;
                head.same_flow(&buffer[at..], shape, packet)
            }
        })
    }

    fn append(&mut self, open: usize, buffer: &[u8], range: &Range<usize>, shape: &Shape) -> Fit {
        let frame = &mut self.frames[self.open[open] as usize];
        let Some(head) = &frame.shape else { return Fit::Broken };
        let first = self.pieces[frame.first as usize];
        let head_bytes = &buffer[first.at as usize..(first.at + first.length) as usize];
        let packet = &buffer[range.clone()];
        let most = if shape.protocol == PROTOCOL_TCP { MOST_PIECES } else { MOST_DATAGRAMS };
        let fits = shape.payload > 0
            && shape.payload <= head.payload
            && shape.header == head.header
            && frame.total + shape.payload <= LONGEST
            && frame.pieces < most
            && head.continues(head_bytes, shape, packet, frame);
        if !fits || !shape.is_intact(packet) || !(frame.verified || head.is_intact(head_bytes)) {
            return Fit::Broken;
        }
        frame.verified = true;
        let number = index(self.pieces.len());
        self.pieces[frame.last as usize].next = number;
        self.pieces.push(Piece {
            at: index(range.start + shape.header),
            length: index(shape.payload),
            next: NONE,
        });
        frame.last = number;
        frame.pieces += 1;
        frame.total += shape.payload;
        frame.next = frame.next.wrapping_add(index(shape.payload));
        frame.pushed = shape.protocol == PROTOCOL_TCP && packet[shape.transport + tcp::FLAGS] & tcp::PSH != 0;
        if frame.pushed || shape.payload < head.payload { Fit::AppendedLast } else { Fit::Appended }
    }

    fn begin(&mut self, packet: &[u8], range: Range<usize>, shape: Option<Shape>) {
        let number = index(self.pieces.len());
        self.pieces.push(Piece { at: index(range.start), length: index(range.len()), next: NONE });
        let grows = shape.as_ref().is_some_and(|shape| shape.may_grow(packet));
        let next = shape.as_ref().filter(|shape| shape.protocol == PROTOCOL_TCP).map_or(0, |shape| {
            word(packet, shape.transport + tcp::SEQUENCE).wrapping_add(index(shape.payload))
        });
        let (total, pieces) = (range.len(), 1);
        let (verified, pushed) = (false, false);
        let frame = Frame { first: number, last: number, pieces, total, next, verified, pushed, shape };
        if grows {
            if self.open.len() == MOST_OPEN {
                self.open.remove(0);
            }
            self.open.push(index(self.frames.len()));
        }
        self.frames.push(frame);
    }
}

impl Frame {
    fn offload(&self) -> Offload {
        let Some(shape) = self.shape.as_ref().filter(|_| self.pieces > 1) else { return Offload::default() };
        let is_tcp = shape.protocol == PROTOCOL_TCP;
        Offload {
            partial_checksum: true,
            cut: match (is_tcp, shape.version) {
                (true, Version::V4) => Cut::TcpV4,
                (true, Version::V6) => Cut::TcpV6,
                (false, _) => Cut::Udp,
            },
            header: low16(shape.header),
            segment: low16(shape.payload),
            checksum_start: low16(shape.transport),
            checksum_offset: low16(if is_tcp { tcp::CHECKSUM } else { udp::CHECKSUM }),
        }
    }
}

impl Shape {
    /// Reads a TCP or UDP packet without IP options, extensions or fragments.
    fn of(packet: &[u8]) -> Option<Self> {
        let version = Version::of(packet)?;
        let (transport, protocol) = match version {
            Version::V4 => {
                let plain = packet[0] == 0x45 && half(packet, 6) & !DONT_FRAGMENT == 0;
                (plain && usize::from(half(packet, 2)) == packet.len()).then_some((V4_HEADER, packet[9]))?
            }
            Version::V6 => {
                let whole = usize::from(half(packet, 4)) + V6_HEADER == packet.len();
                whole.then_some((V6_HEADER, packet[6]))?
            }
        };
        let rest = &packet[transport..];
        let header = match protocol {
            PROTOCOL_TCP if rest.len() >= TCP_HEADER => usize::from(rest[tcp::DATA_OFFSET] >> 4) * 4,
            PROTOCOL_UDP if rest.len() >= UDP_HEADER => UDP_HEADER,
            _ => return None,
        };
        let shortest = if protocol == PROTOCOL_TCP { TCP_HEADER } else { UDP_HEADER };
        let payload = rest.len().checked_sub(header).filter(|_| header >= shortest)?;
        let tag = word(rest, 0) ^ word(packet, transport - 4) ^ u32::from(protocol);
        Some(Self { version, protocol, transport, header: transport + header, payload, tag })
    }

    fn same_flow(&self, head: &[u8], other: &Self, packet: &[u8]) -> bool {
        let addresses = match self.version {
            Version::V4 => 12..20,
            Version::V6 => 8..40,
        };
        let ports = self.transport..self.transport + 4;
        self.version == other.version
            && self.protocol == other.protocol
            && head[addresses.clone()] == packet[addresses]
            && head[ports.clone()] == packet[ports]
    }

    /// Whether more may follow a packet that begins a frame.
    fn may_grow(&self, packet: &[u8]) -> bool {
        let transport = &packet[self.transport..];
        self.payload > 0
            && match self.protocol {
                PROTOCOL_TCP => transport[tcp::FLAGS] == tcp::ACK,
                _ => transport[udp::CHECKSUM..udp::CHECKSUM + 2] != [0, 0] && self.has_udp_length(transport),
            }
    }

    fn has_udp_length(&self, transport: &[u8]) -> bool {
        usize::from(half(transport, udp::LENGTH)) == self.payload + UDP_HEADER
    }

    /// Whether a packet of the same flow, as cut from the same frame, comes next.
    fn continues(&self, head: &[u8], other: &Self, packet: &[u8], frame: &Frame) -> bool {
        let same = |range: Range<usize>| head[range.clone()] == packet[range];
        let network = match self.version {
            Version::V4 => {
                let expected = half(head, 4).wrapping_add(low16(frame.pieces));
                // An identification means something only where fragments may be made.
                let in_order = half(head, 6) & DONT_FRAGMENT != 0 || half(packet, 4) == expected;
                same(1..2) && same(6..9) && in_order
            }
            Version::V6 => same(0..4) && same(7..8),
        };
        let (ours, theirs) = (&head[self.transport..], &packet[self.transport..]);
        network
            && match self.protocol {
                PROTOCOL_TCP => {
                    let field = |range: Range<usize>| ours[range.clone()] == theirs[range];
                    word(theirs, tcp::SEQUENCE) == frame.next
                        && theirs[tcp::FLAGS] & !tcp::PSH == tcp::ACK
                        && field(tcp::ACKNOWLEDGED..tcp::FLAGS)
                        && field(tcp::WINDOW..tcp::CHECKSUM)
                        && field(tcp::URGENT..self.header - self.transport)
                }
                _ => theirs[udp::CHECKSUM..udp::CHECKSUM + 2] != [0, 0] && other.has_udp_length(theirs),
            }
    }

    /// Whether the checksum is right: in a frame it is never looked at again.
    fn is_intact(&self, packet: &[u8]) -> bool {
        let transport = &packet[self.transport..];
        let pseudo: Sum = self.version.pseudo(packet, self.protocol, transport.len());
        pseudo.add(transport).is_valid()
    }
}

/// The parts of one frame in the buffer.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    pieces: &'a [Piece],
    next: u32,
}

impl Iterator for Pieces<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let piece = self.pieces.get(self.next as usize)?;
        self.next = piece.next;
        Some(piece.at as usize..(piece.at + piece.length) as usize)
    }
}

/// Places are in a buffer that is far smaller than 4 GiB.
fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(NONE)
}
