//! Who carries the packets of WireGuard cables: the kernel, or the gateway's own process.

use std::fmt;

use subm_plan::{HostFacts, LinkKind, Veth};
use subm_types::{IfName, Problem};

/// The setting, for people.
const SETTING: &str = "SUBMARINER_WIREGUARDCARRIER";

/// Who is to carry the packets of WireGuard cables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WireguardCarrier {
    /// The kernel where it has WireGuard, else the process.
    #[default]
    Best,
    /// The kernel.
    Kernel,
    /// The process.
    Userspace,
    /// Something that there is not.
    Unknown(String),
}

impl From<&str> for WireguardCarrier {
    fn from(text: &str) -> Self {
        match text.to_lowercase().as_str() {
            "" | "auto" => Self::Best,
            "kernel" => Self::Kernel,
            "userspace" => Self::Userspace,
            _ => Self::Unknown(text.to_owned()),
        }
    }
}

impl fmt::Display for WireguardCarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Best => "auto",
            Self::Kernel => "kernel",
            Self::Userspace => "userspace",
            Self::Unknown(text) => text,
        })
    }
}

impl WireguardCarrier {
    /// The link that carries the cables on this host; the other end of a pair has this name. A wish that cannot be
    /// fulfilled costs nothing but a Problem.
    pub(crate) fn link(&self, facts: &HostFacts, other_end: IfName) -> (LinkKind, Option<Problem>) {
        let problem = match self {
            Self::Kernel if !facts.wireguard => Some(no_kernel()),
            Self::Unknown(_) => Some(self.unknown()),
            Self::Best | Self::Kernel | Self::Userspace => None,
        };
        let kind = if facts.wireguard && *self != Self::Userspace {
            LinkKind::Wireguard
        } else if facts.tun {
            LinkKind::Tun
        } else {
            LinkKind::Veth(Veth { peer: other_end })
        };
        (kind, problem)
    }

    fn unknown(&self) -> Problem {
        Problem {
            reason: "UnknownWireguardCarrier",
            object: "gateway".to_owned(),
            field: SETTING.to_owned(),
            what: format!(
                "{:?} is nothing that carries WireGuard; the best that there is does",
                self.to_string()
            ),
            remedy: "set kernel, userspace or auto".to_owned(),
        }
    }
}

fn no_kernel() -> Problem {
    Problem {
        reason: "NoKernelWireguard",
        object: "kernel of the gateway node".to_owned(),
        field: SETTING.to_owned(),
        what: "the kernel is to carry WireGuard and has none, so the gateway's process does".to_owned(),
        remedy: "load the module wireguard (Linux 5.6 or later, CONFIG_WIREGUARD), or set auto; the gateway moves by itself"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(wish: &str, wireguard: bool, tun: bool) -> (String, Option<&'static str>) {
        let facts = HostFacts { wireguard, tun, ..HostFacts::default() };
        let (kind, problem) = WireguardCarrier::from(wish).link(&facts, IfName::constant("submariner-wg"));
        let kind = match kind {
            LinkKind::Wireguard => "kernel",
            LinkKind::Tun => "tun",
            LinkKind::Veth(_) => "veth",
            LinkKind::Vxlan(_) | LinkKind::Bridge | LinkKind::Xfrm(_) => "other",
        };
        (kind.to_owned(), problem.map(|problem| problem.reason))
    }

    #[test]
    fn a_wish_counts_where_it_can_and_is_told_where_it_cannot() {
        let table = [
            ("", true, true, "kernel", None),
            ("auto", false, true, "tun", None),
            ("", false, false, "veth", None),
            ("Kernel", true, true, "kernel", None),
            ("kernel", false, true, "tun", Some("NoKernelWireguard")),
            ("userspace", true, true, "tun", None),
            ("userspace", true, false, "veth", None),
            ("kernl", true, true, "kernel", Some("UnknownWireguardCarrier")),
        ];
        for (wish, wireguard, tun, kind, reason) in table {
            assert_eq!(link(wish, wireguard, tun), (kind.to_owned(), reason), "{wish:?} {wireguard} {tun}");
        }
    }
}
