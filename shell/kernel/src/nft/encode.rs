//! From a rule of a plan to instructions, in the form in which nft itself writes and lists them.

use std::net::IpAddr;

use ipnet::IpNet;
use subm_plan::nft::{AddressTest, L4, Match, PortTest, Rule, Side, TableFamily, Verdict};
use subm_types::{Family, IfName};

use super::operation::{Base, End, Meta, Operation, Translate};
use crate::addresses::octets;

/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
pub(super) const IPV4: u8 = 2;
pub(super) const IPV6: u8 = 10;
/// `IPPROTO_TCP` and `IPPROTO_UDP`.
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
/// SYN, and SYN with RST, in the thirteenth byte of a TCP header.
pub(super) const SYN: u8 = 0x02;
pub(super) const SYN_OR_RST: u8 = 0x06;
/// The offset of that byte.
pub(super) const TCP_FLAGS: u32 = 13;

/// Writes one rule. What a header means is asked once in a rule, as nft does it.
struct Encoder {
    table: TableFamily,
    protocol: Option<Family>,
    transport: Option<L4>,
    out: Vec<Operation>,
}

/// The instructions of a rule in a table of this family.
pub(super) fn encode(table: TableFamily, rule: &Rule) -> Vec<Operation> {
    let mut encoder = Encoder { table, protocol: None, transport: None, out: Vec::new() };
    for condition in &rule.matches {
        encoder.condition(condition);
    }
    encoder.out.push(Operation::Counter);
    encoder.verdict(&rule.verdict);
    encoder.out
}

/// Where an address stands in a header: offset and length.
pub(super) const fn place(side: Side, family: Family) -> (u32, u32) {
    match (side, family) {
        (Side::Source, Family::V4) => (12, 4),
        (Side::Destination, Family::V4) => (16, 4),
        (Side::Source, Family::V6) => (8, 16),
        (Side::Destination, Family::V6) => (24, 16),
    }
}

/// A link's name as the kernel compares it: sixteen bytes.
pub(super) fn padded(name: &IfName) -> Vec<u8> {
    let mut bytes = name.as_str().as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

impl Encoder {
    fn push(&mut self, operations: impl IntoIterator<Item = Operation>) {
        self.out.extend(operations);
    }

    fn guard_protocol(&mut self, family: Family) {
        let (of_table, number) = match family {
            Family::V4 => (TableFamily::Ip, IPV4),
            Family::V6 => (TableFamily::Ip6, IPV6),
        };
        if self.table != of_table && self.protocol != Some(family) {
            self.protocol = Some(family);
            self.push([Operation::Meta(Meta::Protocol), Operation::Equal(vec![number])]);
        }
    }

    fn guard_transport(&mut self, l4: L4) {
        if self.transport != Some(l4) {
            self.transport = Some(l4);
            let number = match l4 {
                L4::Tcp => TCP,
                L4::Udp => UDP,
            };
            self.push([Operation::Meta(Meta::Transport), Operation::Equal(vec![number])]);
        }
    }

    fn address(&mut self, side: Side, family: Family) {
        self.guard_protocol(family);
        let (offset, len) = place(side, family);
        self.push([Operation::Payload { base: Base::Network, offset, len }]);
    }

    fn net(&mut self, side: Side, net: &IpNet) {
        self.address(side, Family::of_net(net));
        if net.prefix_len() != net.max_prefix_len() {
            self.push([Operation::Mask(octets(net.netmask()))]);
        }
    }

    fn condition(&mut self, condition: &Match) {
        match condition {
            Match::Address(side, test) => self.address_test(*side, test),
            Match::Iif(name) => {
                self.push([Operation::Meta(Meta::InputName), Operation::Equal(padded(name))]);
            }
            Match::Oif(name) => {
                self.push([Operation::Meta(Meta::OutputName), Operation::Equal(padded(name))]);
            }
            Match::NotOif(name) => {
                self.push([Operation::Meta(Meta::OutputName), Operation::Unequal(padded(name))]);
            }
            Match::OifIn(set) => {
                self.push([Operation::Meta(Meta::OutputName), Operation::In(set.0.clone())]);
            }
            Match::OifNotIn(set) => {
                self.push([Operation::Meta(Meta::OutputName), Operation::NotIn(set.0.clone())]);
            }
            Match::Port(l4, side, PortTest::Is(port)) => {
                self.guard_transport(*l4);
                let offset = match side {
                    Side::Source => 0,
                    Side::Destination => 2,
                };
                let load = Operation::Payload { base: Base::Transport, offset, len: 2 };
                self.push([load, Operation::Equal(port.to_be_bytes().to_vec())]);
            }
            Match::TcpSyn => {
                self.guard_transport(L4::Tcp);
                let load = Operation::Payload { base: Base::Transport, offset: TCP_FLAGS, len: 1 };
                self.push([load, Operation::Mask(vec![SYN_OR_RST]), Operation::Equal(vec![SYN])]);
            }
            Match::Random { of, is } => {
                self.push([Operation::Random(*of), Operation::Equal(is.to_ne_bytes().to_vec())]);
            }
        }
    }

    fn address_test(&mut self, side: Side, test: &AddressTest) {
        match test {
            AddressTest::In(family, set) => {
                self.address(side, *family);
                self.push([Operation::In(set.0.clone())]);
            }
            AddressTest::NotIn(family, set) => {
                self.address(side, *family);
                self.push([Operation::NotIn(set.0.clone())]);
            }
            AddressTest::Net(net) => {
                self.net(side, net);
                self.push([Operation::Equal(octets(net.network()))]);
            }
            AddressTest::NotNet(net) => {
                self.net(side, net);
                self.push([Operation::Unequal(octets(net.network()))]);
            }
        }
    }

    fn verdict(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Accept => self.push([Operation::End(End::Accept)]),
            Verdict::Drop => self.push([Operation::End(End::Drop)]),
            Verdict::Return => self.push([Operation::End(End::Return)]),
            Verdict::Jump(chain) => self.push([Operation::End(End::Jump(chain.0.clone()))]),
            Verdict::Snat(to) => self.translate(Translate::Source, *to, None),
            Verdict::SnatToSelf(family) => {
                self.address(Side::Source, *family);
                self.push([Operation::Nat(Translate::Source, *family)]);
            }
            Verdict::Masquerade => self.push([Operation::Masquerade]),
            Verdict::Dnat(to, None) => self.translate(Translate::Destination, *to, None),
            Verdict::Dnat(to, port) => self.translate(Translate::DestinationAndPort, *to, *port),
            Verdict::ClampMss => {
                self.push([Operation::RouteMss, Operation::ToNetworkOrder, Operation::WriteMss]);
            }
            Verdict::ClampMssTo(mtu) => {
                let mss = u16::try_from(mtu.0.saturating_sub(40)).unwrap_or(u16::MAX);
                self.push([Operation::Value(mss.to_be_bytes().to_vec()), Operation::WriteMss]);
            }
        }
    }

    fn translate(&mut self, how: Translate, to: IpAddr, port: Option<u16>) {
        self.push([Operation::Value(octets(to))]);
        if let Some(port) = port {
            self.push([Operation::SecondValue(port.to_be_bytes().to_vec())]);
        }
        self.push([Operation::Nat(how, Family::of(to))]);
    }
}
