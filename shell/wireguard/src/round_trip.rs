//! What is cut and put together again is what it was.

use proptest::prelude::*;

use crate::checksum::Sum;
use crate::headers::{PROTOCOL_TCP, PROTOCOL_UDP, Version, low16, seal_v4, tcp, udp};
use crate::merge::{Merger, Merges};
use crate::split::Split;
use crate::virtio::{Cut, Offload};

const BOTH: Merges = Merges { tcp: true, udp: true };

/// A frame as the kernel gives it: headers of the whole, a checksum of the pseudo header only.
#[derive(Debug, Clone)]
struct Sample {
    version: Version,
    protocol: u8,
    options: usize,
    payload: usize,
    segment: u16,
    flow: u16,
    push: bool,
}

impl Sample {
    fn network(&self) -> usize {
        if self.version == Version::V4 { 20 } else { 40 }
    }

    fn header(&self) -> usize {
        self.network() + if self.protocol == PROTOCOL_TCP { 20 + self.options } else { 8 }
    }

    fn offload(&self) -> Offload {
        let is_tcp = self.protocol == PROTOCOL_TCP;
        Offload {
            partial_checksum: true,
            cut: match (is_tcp, self.version) {
                (true, Version::V4) => Cut::TcpV4,
                (true, Version::V6) => Cut::TcpV6,
                (false, _) => Cut::Udp,
            },
            header: low16(self.header()),
            segment: self.segment,
            checksum_start: low16(self.network()),
            checksum_offset: low16(if is_tcp { tcp::CHECKSUM } else { udp::CHECKSUM }),
        }
    }

    fn frame(&self) -> Vec<u8> {
        let network = self.network();
        let mut frame = vec![0; self.header()];
        match self.version {
            Version::V4 => {
                (frame[0], frame[6], frame[8], frame[9]) = (0x45, 0x40, 64, self.protocol);
                frame[4..6].copy_from_slice(&0xfff8u16.to_be_bytes());
                frame[12..20].copy_from_slice(&[10, 1, 0, 1, 10, 2, 0, 1]);
            }
            Version::V6 => {
                (frame[0], frame[6], frame[7], frame[8], frame[24]) = (0x60, self.protocol, 64, 0xfd, 0xfd);
            }
        }
        frame[network..network + 2].copy_from_slice(&self.flow.to_be_bytes());
        frame[network + 2..network + 4].copy_from_slice(&80u16.to_be_bytes());
        let transport = &mut frame[network..];
        if self.protocol == PROTOCOL_TCP {
            transport[tcp::SEQUENCE..tcp::SEQUENCE + 4].copy_from_slice(&0xffff_fff0u32.to_be_bytes());
            transport[tcp::DATA_OFFSET] = u8::try_from((20 + self.options) / 4).unwrap() << 4;
            transport[tcp::FLAGS] = tcp::ACK | if self.push { tcp::PSH } else { 0 };
            transport[20..].fill(1);
        } else {
            transport[udp::LENGTH..udp::LENGTH + 2].copy_from_slice(&low16(8 + self.payload).to_be_bytes());
        }
        frame.extend((0..=252u8).cycle().take(self.payload));
        let total = frame.len();
        self.version.set_length(&mut frame, total);
        let pseudo = self.version.pseudo(&frame, self.protocol, total - network).folded();
        let field = network + usize::from(self.offload().checksum_offset);
        frame[field..field + 2].copy_from_slice(&pseudo);
        frame
    }

    fn packets(&self) -> Vec<Vec<u8>> {
        let mut frame = self.frame();
        let split = Split::of(&self.offload(), &mut frame).unwrap();
        let packet = |index| {
            let mut packet = vec![0; split.length(index)];
            split.write(index, &mut packet);
            packet
        };
        (0..split.count()).map(packet).collect()
    }

    fn is_valid(&self, packet: &[u8]) -> bool {
        let network = self.network();
        let transport =
            self.version.pseudo(packet, self.protocol, packet.len() - network).add(&packet[network..]);
        transport.is_valid() && (self.version == Version::V6 || Sum::of(&packet[..20]).is_valid())
    }
}

fn sample() -> impl Strategy<Value = Sample> {
    (any::<bool>(), any::<bool>(), 0usize..4, 1usize..30_000, 500u16..9000, any::<u16>(), any::<bool>())
        .prop_map(|(v4, is_tcp, options, payload, segment, flow, push)| Sample {
            version: if v4 { Version::V4 } else { Version::V6 },
            protocol: if is_tcp { PROTOCOL_TCP } else { PROTOCOL_UDP },
            options: options * 4,
            payload,
            segment,
            flow,
            push,
        })
}

/// Merges packets and gives the frames with what is left to do.
fn merged(packets: &[Vec<u8>]) -> Vec<(Offload, Vec<u8>)> {
    let (mut buffer, mut ranges) = (Vec::new(), Vec::new());
    for packet in packets {
        // As after opening: a header before, a tag behind.
        buffer.extend([0xaa; 16]);
        ranges.push(buffer.len()..buffer.len() + packet.len());
        buffer.extend(packet);
        buffer.extend([0xbb; 16]);
    }
    let mut merger = Merger::new(BOTH);
    for range in ranges {
        merger.push(&buffer, range);
    }
    merger.finish(&mut buffer);
    let frame = |(offload, pieces): (Offload, crate::merge::Pieces<'_>)| {
        (offload, pieces.flat_map(|piece| buffer[piece].to_vec()).collect())
    };
    merger.frames().map(frame).collect()
}

proptest! {
    #[test]
    fn packets_are_valid_and_merge_into_the_frame(sample in sample()) {
        let packets = sample.packets();
        for packet in &packets {
            prop_assert!(sample.is_valid(packet));
        }
        let frames = merged(&packets);
        prop_assert_eq!(frames.len(), 1);
        if packets.len() > 1 {
            prop_assert_eq!(&frames[0].1, &sample.frame());
            prop_assert_eq!(frames[0].0, sample.offload());
        } else {
            prop_assert_eq!(&frames[0].1, &packets[0]);
            prop_assert_eq!(frames[0].0, Offload::default());
        }
    }

    #[test]
    fn flows_that_alternate_merge_apart(one in sample(), other in sample()) {
        prop_assume!(one.flow != other.flow);
        let (first, second) = (one.packets(), other.packets());
        let longest = first.len().max(second.len());
        let mixed: Vec<_> =
            (0..longest).flat_map(|at| first.get(at).into_iter().chain(second.get(at))).cloned().collect();
        prop_assert_eq!(merged(&mixed).len(), 2);
    }

    #[test]
    fn whatever_is_merged_can_be_cut_into_the_same_packets(
        samples in proptest::collection::vec(sample(), 1..5),
        dropped in any::<prop::sample::Index>(),
        broken in any::<prop::sample::Index>(),
    ) {
        let mut packets: Vec<_> = samples.iter().flat_map(Sample::packets).collect();
        let last = packets.len() - 1;
        *packets[broken.index(last + 1)].last_mut().unwrap() ^= 1;
        packets.remove(dropped.index(last + 1));
        let mut again = Vec::new();
        for (offload, mut frame) in merged(&packets) {
            let split = Split::of(&offload, &mut frame).unwrap();
            for index in 0..split.count() {
                let mut packet = vec![0; split.length(index)];
                split.write(index, &mut packet);
                again.push(packet);
            }
        }
        for packet in again.iter_mut().chain(&mut packets).filter(|packet| packet[0] >> 4 == 4) {
            // Unfragmentable packets need no identification (RFC 6864), and datagrams have no other number.
            packet[4..6].fill(0);
            seal_v4(packet);
        }
        again.sort();
        packets.sort();
        prop_assert!(again == packets);
    }

    #[test]
    fn frames_of_any_bytes_are_cut_or_refused(
        mut frame in proptest::collection::vec(any::<u8>(), 0..300),
        version in prop_oneof![Just(0x45u8), Just(0x60u8), any::<u8>()],
        header in proptest::array::uniform10(any::<u8>()),
    ) {
        if let Some(first) = frame.first_mut() {
            *first = version;
        }
        let Some(offload) = Offload::read(&header) else { return Ok(()) };
        if let Ok(split) = Split::of(&offload, &mut frame) {
            for index in 0..split.count() {
                let mut packet = vec![0; split.length(index)];
                split.write(index, &mut packet);
            }
        }
        merged(&[frame]);
    }
}

#[test]
fn a_whole_packet_gets_its_checksum() {
    let sample = Sample {
        version: Version::V4,
        protocol: PROTOCOL_UDP,
        options: 0,
        payload: 99,
        segment: 0,
        flow: 7,
        push: false,
    };
    let mut frame = sample.frame();
    seal_v4(&mut frame);
    let offload = Offload { cut: Cut::Whole, ..sample.offload() };
    let split = Split::of(&offload, &mut frame).unwrap();
    let mut packet = vec![0; split.length(0)];
    split.write(0, &mut packet);
    assert!(sample.is_valid(&packet));
}
