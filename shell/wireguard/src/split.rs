//! A frame of the device as packets: segmentation and checksums that the kernel left to us.

use crate::checksum::Sum;
use crate::headers::{
    PROTOCOL_TCP, PROTOCOL_UDP, TCP_HEADER, UDP_HEADER, Version, half, low16, tcp, udp, word,
};
use crate::virtio::{Cut, Offload};

/// A frame whose headers contradict each other or its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A frame that has been understood: so many packets, each of which can be written.
#[derive(Debug)]
pub(crate) struct Split<'a> {
    frame: &'a [u8],
    version: Version,
    cut: Cut,
    /// Where the transport header begins; 0 for a whole packet.
    transport: usize,
    /// Bytes before the payload.
    header: usize,
    segment: usize,
    count: usize,
}

impl<'a> Split<'a> {
    /// Reads a frame. The checksum of a frame that is one packet is completed in place.
    pub(crate) fn of(offload: &Offload, frame: &'a mut [u8]) -> Result<Self, Malformed> {
        let version = Version::of(frame).ok_or(Malformed)?;
        if offload.cut == Cut::Whole {
            if offload.partial_checksum {
                complete(offload, frame)?;
            }
            return Ok(Self {
                version,
                cut: Cut::Whole,
                transport: 0,
                header: 0,
                segment: frame.len(),
                count: 1,
                frame,
            });
        }
        let transport = usize::from(offload.checksum_start);
        let matching = match (offload.cut, version) {
            (Cut::TcpV4, Version::V4) | (Cut::TcpV6, Version::V6) | (Cut::Udp, _) => true,
            (Cut::TcpV4, Version::V6) | (Cut::TcpV6, Version::V4) | (Cut::Whole, _) => false,
        };
        let longest_ip = transport >= if version == Version::V4 { 20 } else { 40 };
        if !matching || !longest_ip || !offload.partial_checksum || offload.segment == 0 {
            return Err(Malformed);
        }
        let header = transport + transport_header(offload.cut, frame.get(transport..).ok_or(Malformed)?)?;
        let payload = frame.len().checked_sub(header).filter(|payload| *payload > 0).ok_or(Malformed)?;
        let segment = usize::from(offload.segment);
        Ok(Self {
            version,
            cut: offload.cut,
            transport,
            header,
            segment,
            count: payload.div_ceil(segment),
            frame,
        })
    }

    /// How many packets it is.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The length of packet `index`.
    pub(crate) fn length(&self, index: usize) -> usize {
        let payload = self.frame.len() - self.header;
        self.header + self.segment.min(payload - index * self.segment)
    }

    /// Writes packet `index`; `out` has its length.
    pub(crate) fn write(&self, index: usize, out: &mut [u8]) {
        if self.cut == Cut::Whole {
            out.copy_from_slice(self.frame);
            return;
        }
        let from = self.header + index * self.segment;
        let payload = out.len() - self.header;
        out[..self.header].copy_from_slice(&self.frame[..self.header]);
        out[self.header..].copy_from_slice(&self.frame[from..from + payload]);
        if self.version == Version::V4 {
            let id = half(self.frame, 4).wrapping_add(low16(index));
            out[4..6].copy_from_slice(&id.to_be_bytes());
        }
        let total = out.len();
        self.version.set_length(out, total);
        match self.cut {
            Cut::Udp => self.finish_udp(out),
            Cut::TcpV4 | Cut::TcpV6 | Cut::Whole => self.finish_tcp(index, out),
        }
    }

    fn finish_tcp(&self, index: usize, out: &mut [u8]) {
        let length = out.len() - self.transport;
        let pseudo = self.version.pseudo(out, PROTOCOL_TCP, length);
        let segment = &mut out[self.transport..];
        #[expect(clippy::cast_possible_truncation, reason = "sequence numbers wrap")]
        let sequence = word(segment, tcp::SEQUENCE).wrapping_add((index * self.segment) as u32);
        segment[tcp::SEQUENCE..tcp::SEQUENCE + 4].copy_from_slice(&sequence.to_be_bytes());
        if index + 1 < self.count {
            segment[tcp::FLAGS] &= !(tcp::FIN | tcp::PSH);
        }
        if index > 0 {
            segment[tcp::FLAGS] &= !tcp::CWR;
        }
        segment[tcp::CHECKSUM..tcp::CHECKSUM + 2].fill(0);
        let checksum = pseudo.add(segment).checksum();
        segment[tcp::CHECKSUM..tcp::CHECKSUM + 2].copy_from_slice(&checksum);
    }

    fn finish_udp(&self, out: &mut [u8]) {
        let length = out.len() - self.transport;
        let pseudo = self.version.pseudo(out, PROTOCOL_UDP, length);
        let datagram = &mut out[self.transport..];
        datagram[udp::LENGTH..udp::LENGTH + 2].copy_from_slice(&low16(length).to_be_bytes());
        datagram[udp::CHECKSUM..udp::CHECKSUM + 2].fill(0);
        let checksum = never_zero(pseudo.add(datagram).checksum());
        datagram[udp::CHECKSUM..udp::CHECKSUM + 2].copy_from_slice(&checksum);
    }
}

fn transport_header(cut: Cut, transport: &[u8]) -> Result<usize, Malformed> {
    let header = match cut {
        Cut::Udp => UDP_HEADER,
        Cut::TcpV4 | Cut::TcpV6 | Cut::Whole => {
            usize::from(transport.get(tcp::DATA_OFFSET).ok_or(Malformed)? >> 4) * 4
        }
    };
    let shortest = if cut == Cut::Udp { UDP_HEADER } else { TCP_HEADER };
    if header < shortest || header > transport.len() { Err(Malformed) } else { Ok(header) }
}

/// Turns the sum of the pseudo header into the checksum of the packet.
fn complete(offload: &Offload, packet: &mut [u8]) -> Result<(), Malformed> {
    let start = usize::from(offload.checksum_start);
    let field = start + usize::from(offload.checksum_offset);
    if field + 2 > packet.len() {
        return Err(Malformed);
    }
    let mut checksum = Sum::of(&packet[start..]).checksum();
    if usize::from(offload.checksum_offset) == udp::CHECKSUM {
        checksum = never_zero(checksum);
    }
    packet[field..field + 2].copy_from_slice(&checksum);
    Ok(())
}

/// A UDP checksum of zero means none, so that zero is written in its other form.
fn never_zero(checksum: [u8; 2]) -> [u8; 2] {
    if checksum == [0, 0] { [0xff, 0xff] } else { checksum }
}
