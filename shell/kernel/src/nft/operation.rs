//! The instructions that our rules consist of, as the packet filter's virtual machine knows them.
//!
//! INVARIANT: a rule that has anything else in it, down to a flag, is not one of ours: [`Operation::read`] is
//! `None` for it. Everything goes by the first register, except a port beside an address.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever is not one of ours is nothing that a plan can say"
)]

use nlink::netlink::nftables::{
    ByteorderOp, CmpOp, Expr, ExthdrOp, Family as NlFamily, LookupExpr, MasqExpr, MetaKey, NatFlags, NatType,
    NumgenKind, PayloadBase, RawExpr, Register, RtKey, RuleExpr, TCPOPT_MAXSEG, Verdict as NlVerdict,
};
use nlink::netlink::{MessageBuilder, NLMSG_HDRLEN};
use subm_types::Family;

/// The first 16-byte register, and the second.
const FIRST: Register = Register::R0;
const SECOND: Register = Register::R1;

/// What can be read of a packet besides its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meta {
    Protocol,
    Transport,
    InputName,
    OutputName,
}

/// A header that an offset counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Network,
    Transport,
}

/// Which address is translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Translate {
    Source,
    Destination,
    DestinationAndPort,
}

/// How a rule ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Accept,
    Drop,
    Return,
    Jump(String),
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    Meta(Meta),
    Payload { base: Base, offset: u32, len: u32 },
    Mask(Vec<u8>),
    Equal(Vec<u8>),
    Unequal(Vec<u8>),
    In(String),
    NotIn(String),
    Random(u32),
    Value(Vec<u8>),
    SecondValue(Vec<u8>),
    RouteMss,
    ToNetworkOrder,
    WriteMss,
    Nat(Translate, Family),
    Masquerade,
    Counter,
    End(End),
}

const fn family(family: Family) -> NlFamily {
    match family {
        Family::V4 => NlFamily::Ip,
        Family::V6 => NlFamily::Ip6,
    }
}

impl Meta {
    const fn key(self) -> MetaKey {
        match self {
            Self::Protocol => MetaKey::NfProto,
            Self::Transport => MetaKey::L4Proto,
            Self::InputName => MetaKey::IifName,
            Self::OutputName => MetaKey::OifName,
        }
    }

    fn of(key: MetaKey) -> Option<Self> {
        [Self::Protocol, Self::Transport, Self::InputName, Self::OutputName]
            .into_iter()
            .find(|meta| meta.key() == key)
    }
}

impl Base {
    const fn header(self) -> PayloadBase {
        match self {
            Self::Network => PayloadBase::Network,
            Self::Transport => PayloadBase::Transport,
        }
    }
}

impl End {
    fn write(self) -> nlink::Result<NlVerdict> {
        Ok(match self {
            Self::Accept => NlVerdict::Accept,
            Self::Drop => NlVerdict::Drop,
            Self::Return => NlVerdict::Return,
            Self::Jump(chain) => NlVerdict::JumpTo(nlink::netlink::nftables::ChainName::new(chain)?),
        })
    }

    fn read(verdict: NlVerdict) -> Option<Self> {
        match verdict {
            NlVerdict::Accept => Some(Self::Accept),
            NlVerdict::Drop => Some(Self::Drop),
            NlVerdict::Return => Some(Self::Return),
            NlVerdict::JumpTo(chain) => Some(Self::Jump(chain.as_str().to_owned())),
            _ => None,
        }
    }
}

/// The attributes of a `nat` expression that takes its address from a register (`NFTA_NAT_*`); nlink makes them
/// from an IPv4 address only.
fn nat(translate: Translate, of: Family) -> Expr {
    let kind = match translate {
        Translate::Source => NatType::Snat,
        Translate::Destination | Translate::DestinationAndPort => NatType::Dnat,
    };
    let mut data = MessageBuilder::new(0, 0);
    data.append_attr_u32_be(1, kind as u32);
    data.append_attr_u32_be(2, family(of) as u32);
    data.append_attr_u32_be(3, FIRST.wire());
    if translate == Translate::DestinationAndPort {
        data.append_attr_u32_be(5, SECOND.wire());
    }
    Expr::Raw(RawExpr::new("nat", data.as_bytes().get(NLMSG_HDRLEN..).unwrap_or_default().to_vec()))
}

impl Operation {
    /// The instruction as it is sent.
    pub(super) fn write(self) -> nlink::Result<Expr> {
        let compare = |op, data| Expr::Cmp { sreg: FIRST, op, data };
        Ok(match self {
            Self::Meta(meta) => Expr::Meta { dreg: FIRST, key: meta.key() },
            Self::Payload { base, offset, len } => {
                Expr::Payload { dreg: FIRST, base: base.header(), offset, len }
            }
            Self::Mask(mask) => {
                let (len, xor) = (u32::try_from(mask.len()).unwrap_or(0), vec![0; mask.len()]);
                Expr::Bitwise { sreg: FIRST, dreg: FIRST, len, mask, xor }
            }
            Self::Equal(data) => compare(CmpOp::Eq, data),
            Self::Unequal(data) => compare(CmpOp::Neq, data),
            Self::In(set) => LookupExpr::new(set, FIRST).into(),
            Self::NotIn(set) => LookupExpr::new(set, FIRST).invert().into(),
            Self::Random(modulus) => {
                Expr::Numgen { dreg: FIRST, kind: NumgenKind::Random, modulus, offset: 0 }
            }
            Self::Value(data) => Expr::Immediate { dreg: FIRST, data },
            Self::SecondValue(data) => Expr::Immediate { dreg: SECOND, data },
            Self::RouteMss => Expr::Rt { dreg: FIRST, key: RtKey::TcpMss },
            Self::ToNetworkOrder => {
                Expr::Byteorder { sreg: FIRST, dreg: FIRST, op: ByteorderOp::Hton, len: 2, size: 2 }
            }
            Self::WriteMss => Expr::ExthdrSet {
                sreg: FIRST,
                op: ExthdrOp::TcpOpt,
                exthdr_type: TCPOPT_MAXSEG,
                offset: 2,
                len: 2,
            },
            Self::Nat(translate, family) => nat(translate, family),
            Self::Masquerade => MasqExpr::new().into(),
            Self::Counter => Expr::Counter,
            Self::End(end) => Expr::Verdict(end.write()?),
        })
    }

    /// The instruction as the kernel lists it, if plans know it.
    pub(super) fn read(expr: RuleExpr) -> Option<Self> {
        match expr {
            RuleExpr::Meta { dreg: FIRST, key, .. } => Meta::of(key).map(Self::Meta),
            RuleExpr::Payload { dreg: FIRST, base: PayloadBase::Network, offset, len, .. } => {
                Some(Self::Payload { base: Base::Network, offset, len })
            }
            RuleExpr::Payload { dreg: FIRST, base: PayloadBase::Transport, offset, len, .. } => {
                Some(Self::Payload { base: Base::Transport, offset, len })
            }
            RuleExpr::Bitwise { sreg: FIRST, dreg: FIRST, mask, xor, .. } => {
                xor.iter().all(|byte| *byte == 0).then_some(Self::Mask(mask))
            }
            RuleExpr::Cmp { sreg: FIRST, op: CmpOp::Eq, data, .. } => Some(Self::Equal(data)),
            RuleExpr::Cmp { sreg: FIRST, op: CmpOp::Neq, data, .. } => Some(Self::Unequal(data)),
            RuleExpr::Lookup { set, sreg: FIRST, dreg: None, invert, .. } => {
                Some(if invert { Self::NotIn(set) } else { Self::In(set) })
            }
            RuleExpr::Numgen { dreg: FIRST, kind: NumgenKind::Random, modulus, offset: 0, .. } => {
                Some(Self::Random(modulus))
            }
            RuleExpr::Immediate { dreg: FIRST, data, .. } => Some(Self::Value(data)),
            RuleExpr::Immediate { dreg: SECOND, data, .. } => Some(Self::SecondValue(data)),
            RuleExpr::Rt { dreg: FIRST, key: RtKey::TcpMss, .. } => Some(Self::RouteMss),
            RuleExpr::Byteorder {
                sreg: FIRST, dreg: FIRST, op: ByteorderOp::Hton, len: 2, size: 2, ..
            } => Some(Self::ToNetworkOrder),
            RuleExpr::ExthdrSet {
                sreg: FIRST, op: ExthdrOp::TcpOpt, exthdr_type, offset: 2, len: 2, ..
            } => (exthdr_type == TCPOPT_MAXSEG).then_some(Self::WriteMss),
            RuleExpr::Nat { nat_type, family, addr: Some((FIRST, FIRST)), proto, flags, .. } => {
                read_nat(nat_type, family, proto, flags)
            }
            RuleExpr::Masq { proto: None, flags, .. } => flags.is_empty().then_some(Self::Masquerade),
            RuleExpr::Counter { .. } => Some(Self::Counter),
            RuleExpr::Verdict(verdict) => End::read(verdict).map(Self::End),
            _ => None,
        }
    }
}

fn read_nat(
    nat_type: NatType,
    family: NlFamily,
    proto: Option<(Register, Register)>,
    flags: NatFlags,
) -> Option<Operation> {
    let family = match family {
        NlFamily::Ip => Family::V4,
        NlFamily::Ip6 => Family::V6,
        _ => return None,
    };
    let (translate, wanted) = match (nat_type, proto) {
        (NatType::Snat, None) => (Translate::Source, NatFlags::MAP_IPS),
        (NatType::Dnat, None) => (Translate::Destination, NatFlags::MAP_IPS),
        (NatType::Dnat, Some((SECOND, SECOND))) => {
            (Translate::DestinationAndPort, NatFlags::MAP_IPS | NatFlags::PROTO_SPECIFIED)
        }
        _ => return None,
    };
    (flags == wanted).then_some(Operation::Nat(translate, family))
}
