//! How far away an address can be one's own.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

/// Shared address space of carriers (RFC 6598).
const CARRIER: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);
/// Benchmarks (RFC 2544).
const BENCHMARK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15);
/// Future use, and broadcast (RFC 1112 §4).
const RESERVED: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 4);
/// "This" network (RFC 1122 §3.2.1.3).
const THIS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 8);

/// From where packets find their way to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// From nowhere else: no other host can have it.
    Nowhere,
    /// From networks that belong together (RFC 1918, RFC 4193, RFC 3927, RFC 6598).
    Private,
    /// From the whole internet.
    Public,
}

impl Reach {
    /// The reach of an address; an IPv4 address in the form of IPv6 counts as what it is.
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
            return Self::Nowhere;
        }
        let among = |nets: &[Ipv4Net], four: Ipv4Addr| nets.iter().any(|net| net.contains(&four));
        match address {
            IpAddr::V4(four) if among(&[RESERVED, THIS], four) => Self::Nowhere,
            IpAddr::V4(four) if four.is_private() || four.is_link_local() => Self::Private,
            IpAddr::V4(four) if among(&[CARRIER, BENCHMARK], four) => Self::Private,
            IpAddr::V6(six) if six.is_unicast_link_local() => Self::Nowhere,
            IpAddr::V6(six) if six.is_unique_local() => Self::Private,
            IpAddr::V4(_) | IpAddr::V6(_) => Self::Public,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_reach_as_far_as_their_rfcs_say() {
        let cases = [
            (
                Reach::Nowhere,
                "0.0.0.0 0.1.2.3 127.0.0.1 224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 ff02::1 fe80::1",
            ),
            (Reach::Nowhere, "::ffff:127.0.0.1"),
            (
                Reach::Private,
                "10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 169.254.0.1 100.64.0.1 198.19.0.1",
            ),
            (Reach::Private, "fd00::1 fc00::1 ::ffff:10.0.0.1"),
            (Reach::Public, "1.1.1.1 172.32.0.1 100.128.0.1 198.20.0.1 203.0.113.1 2001:db8::1 2a00::1"),
        ];
        for (reach, texts) in cases {
            for text in texts.split(' ') {
                assert_eq!(Reach::of(text.parse().unwrap()), reach, "{text}");
            }
        }
    }
}
