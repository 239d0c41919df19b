//! Tunnel addresses that both ends of a cable derive from published ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::CidrSet;

/// Networks that overlays and cables number themselves from; no cluster may claim them.
pub fn tunnel_networks() -> CidrSet {
    let v4 = |first| IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(first, 0, 0, 0)), 8);
    let v6 = |third| IpNet::new_assert(IpAddr::V6(Ipv6Addr::new(0xfd00, 0x100, third, 0, 0, 0, 0, 0)), 96);
    [v4(240), v4(241), v6(0x100), v6(0x200)].into_iter().collect()
}

/// The address of a gateway inside the VXLAN cable.
///
/// COMPAT: Submariner derives it on both sides: `241.b.c.d` of a private address `a.b.c.d`; since 0.21 also
/// `fd00:100:200::/96` with the last 32 bits of a private IPv6 address. Two gateways may collide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CableVtep(IpAddr);

impl CableVtep {
    /// The tunnel address of the gateway with this private address.
    pub const fn of(private: IpAddr) -> Self {
        match private {
            IpAddr::V4(v4) => {
                let [_, b, c, d] = v4.octets();
                Self(IpAddr::V4(Ipv4Addr::new(241, b, c, d)))
            }
            IpAddr::V6(v6) => {
                let [.., high, low] = v6.segments();
                Self(IpAddr::V6(Ipv6Addr::new(0xfd00, 0x100, 0x200, 0, 0, 0, high, low)))
            }
        }
    }

    /// The address.
    pub const fn address(self) -> IpAddr {
        self.0
    }

    /// The address with the prefix of the cable's network, as it stands on the link.
    pub fn on_link(self) -> IpNet {
        let prefix = if self.0.is_ipv4() { 8 } else { 96 };
        IpNet::new_assert(self.0, prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnel_addresses_follow_the_private_ones() {
        let of = |text: &str| CableVtep::of(text.parse().unwrap()).on_link().to_string();
        assert_eq!(of("172.18.0.5"), "241.18.0.5/8");
        assert_eq!(of("2001:db8::ab:cd12"), "fd00:100:200::ab:cd12/96");
        for address in ["172.18.0.5", "2001:db8::ab:cd12"] {
            assert!(tunnel_networks().contains(CableVtep::of(address.parse().unwrap()).address()));
        }
    }
}
