//! From instructions back to a rule of a plan.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever is not one of ours is nothing that a plan can say"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use subm_plan::nft::{
    AddressTest, ChainName, L4, Match, PortTest, Rule, SetName, Side, TableFamily, Verdict,
};
use subm_types::{Family, IfName, Mtu};

use super::encode::{IPV4, IPV6, SYN, SYN_OR_RST, TCP, TCP_FLAGS, UDP, encode, place};
use super::operation::{Base, End, Meta, Operation, Translate};

/// The rule that these instructions are.
///
/// INVARIANT: `None` unless encoding the rule gives exactly these instructions, so an edit cannot hide in what
/// reading passes over.
pub(super) fn decode(table: TableFamily, operations: &[Operation], comment: String) -> Option<Rule> {
    let mut reader = Reader { rest: operations, transport: None };
    let mut matches = Vec::new();
    while !reader.take(&Operation::Counter) {
        if !reader.guard() {
            matches.push(reader.condition()?);
        }
    }
    while reader.guard() {}
    let rule = Rule::new(matches, reader.verdict()?, comment);
    (encode(table, &rule) == operations).then_some(rule)
}

struct Reader<'a> {
    rest: &'a [Operation],
    transport: Option<L4>,
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(|raw| Ipv4Addr::from(raw).into());
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(|raw| Ipv6Addr::from(raw).into()))
}

pub(super) fn name(bytes: &[u8]) -> Option<IfName> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    str::from_utf8(bytes.get(..end)?).ok()?.parse().ok()
}

fn port(bytes: &[u8]) -> Option<u16> {
    <[u8; 2]>::try_from(bytes).ok().map(u16::from_be_bytes)
}

fn masked(address: IpAddr, mask: Option<&[u8]>) -> Option<IpNet> {
    match mask {
        None => Some(IpNet::from(address)),
        Some(mask) => IpNet::with_netmask(address, self::address(mask)?).ok(),
    }
}

fn location(offset: u32, len: u32) -> Option<(Side, Family)> {
    let sides = [Side::Source, Side::Destination];
    let all = sides.into_iter().flat_map(|side| [(side, Family::V4), (side, Family::V6)]);
    all.into_iter().find(|(side, family)| place(*side, *family) == (offset, len))
}

impl<'a> Reader<'a> {
    fn take(&mut self, wanted: &Operation) -> bool {
        match self.rest {
            [first, rest @ ..] if first == wanted => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn next(&mut self) -> Option<&'a Operation> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Passes over what the encoder writes to make sure of a header.
    fn guard(&mut self) -> bool {
        let [Operation::Meta(meta @ (Meta::Protocol | Meta::Transport)), Operation::Equal(value), rest @ ..] =
            self.rest
        else {
            return false;
        };
        match (meta, value.as_slice()) {
            (Meta::Protocol, [IPV4 | IPV6]) => {}
            (Meta::Transport, [TCP]) => self.transport = Some(L4::Tcp),
            (Meta::Transport, [UDP]) => self.transport = Some(L4::Udp),
            _ => return false,
        }
        self.rest = rest;
        true
    }

    fn condition(&mut self) -> Option<Match> {
        match self.next()? {
            Operation::Payload { base: Base::Network, offset, len } => {
                let (side, family) = location(*offset, *len)?;
                self.address_test(family).map(|test| Match::Address(side, test))
            }
            Operation::Payload { base: Base::Transport, offset: TCP_FLAGS, len: 1 } => {
                let syn =
                    self.take(&Operation::Mask(vec![SYN_OR_RST])) && self.take(&Operation::Equal(vec![SYN]));
                syn.then_some(Match::TcpSyn)
            }
            Operation::Payload { base: Base::Transport, offset, len: 2 } => {
                let side = match offset {
                    0 => Side::Source,
                    2 => Side::Destination,
                    _ => return None,
                };
                let Operation::Equal(bytes) = self.next()? else { return None };
                Some(Match::Port(self.transport?, side, PortTest::Is(port(bytes)?)))
            }
            Operation::Meta(Meta::InputName) => {
                let Operation::Equal(bytes) = self.next()? else { return None };
                Some(Match::Iif(name(bytes)?))
            }
            Operation::Meta(Meta::OutputName) => self.output(),
            Operation::Random(of) => {
                let Operation::Equal(bytes) = self.next()? else { return None };
                let is = u32::from_ne_bytes(<[u8; 4]>::try_from(bytes.as_slice()).ok()?);
                Some(Match::Random { of: *of, is })
            }
            _ => None,
        }
    }

    fn output(&mut self) -> Option<Match> {
        match self.next()? {
            Operation::Equal(bytes) => name(bytes).map(Match::Oif),
            Operation::Unequal(bytes) => name(bytes).map(Match::NotOif),
            Operation::In(set) => Some(Match::OifIn(SetName(set.clone()))),
            Operation::NotIn(set) => Some(Match::OifNotIn(SetName(set.clone()))),
            _ => None,
        }
    }

    fn address_test(&mut self, family: Family) -> Option<AddressTest> {
        let mask = match self.rest {
            [Operation::Mask(mask), rest @ ..] => {
                self.rest = rest;
                Some(mask.as_slice())
            }
            _ => None,
        };
        match self.next()? {
            Operation::Equal(bytes) => masked(address(bytes)?, mask).map(AddressTest::Net),
            Operation::Unequal(bytes) => masked(address(bytes)?, mask).map(AddressTest::NotNet),
            Operation::In(set) => Some(AddressTest::In(family, SetName(set.clone()))),
            Operation::NotIn(set) => Some(AddressTest::NotIn(family, SetName(set.clone()))),
            _ => None,
        }
    }

    /// How the rule ends: nothing may come after it.
    fn verdict(&mut self) -> Option<Verdict> {
        match self.rest {
            [Operation::End(End::Accept)] => Some(Verdict::Accept),
            [Operation::End(End::Drop)] => Some(Verdict::Drop),
            [Operation::End(End::Return)] => Some(Verdict::Return),
            [Operation::End(End::Jump(chain))] => Some(Verdict::Jump(ChainName(chain.clone()))),
            [Operation::Masquerade] => Some(Verdict::Masquerade),
            [Operation::RouteMss, Operation::ToNetworkOrder, Operation::WriteMss] => Some(Verdict::ClampMss),
            [Operation::Value(mss), Operation::WriteMss] => {
                Some(Verdict::ClampMssTo(Mtu(u32::from(port(mss)?) + 40)))
            }
            [Operation::Payload { .. }, Operation::Nat(Translate::Source, family)] => {
                Some(Verdict::SnatToSelf(*family))
            }
            [Operation::Value(to), Operation::Nat(Translate::Source, _)] => address(to).map(Verdict::Snat),
            [Operation::Value(to), Operation::Nat(Translate::Destination, _)] => {
                address(to).map(|to| Verdict::Dnat(to, None))
            }
            [
                Operation::Value(to),
                Operation::SecondValue(with),
                Operation::Nat(Translate::DestinationAndPort, _),
            ] => Some(Verdict::Dnat(address(to)?, Some(port(with)?))),
            _ => None,
        }
    }
}
