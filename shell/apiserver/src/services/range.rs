//! The ranges that addresses of Services come from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

/// The networks of Services: one, or one per family, the preferred first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRanges(Vec<IpNet>);

impl Default for ServiceRanges {
    /// COMPAT: what kubeadm takes.
    fn default() -> Self {
        Self(vec![IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(10, 96, 0, 0)), 12)])
    }
}

impl ServiceRanges {
    /// The first network of each family, in this order; None without any.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Option<Self> {
        let mut known: Vec<IpNet> = Vec::new();
        for network in networks {
            if !known.iter().any(|other| other.addr().is_ipv4() == network.addr().is_ipv4()) {
                known.push(network.trunc());
            }
        }
        (!known.is_empty()).then_some(Self(known))
    }

    /// The families, the preferred first.
    pub(super) fn families(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().map(|net| family(net.addr()))
    }

    pub(super) fn family(&self, name: &str) -> Option<IpNet> {
        self.0.iter().copied().find(|net| family(net.addr()) == name)
    }

    /// The network of an address's family.
    pub(super) fn of(&self, address: IpAddr) -> Option<IpNet> {
        self.family(family(address))
    }
}

/// The family of an address, as Kubernetes calls it.
pub(crate) fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// The network's own address, and the one that reaches all of it.
pub(super) fn is_reserved(net: IpNet, address: IpAddr) -> bool {
    address == net.network() || address == net.broadcast() && net.addr().is_ipv4()
}

/// COMPAT: no range is larger than this for whoever allocates.
const LARGEST: u128 = 1 << 16;

/// Addresses to try: first those that people are not expected to choose by hand, from a random one on.
pub(super) fn candidates(net: IpNet, lot: [u8; 16]) -> impl Iterator<Item = IpAddr> {
    let bits = if net.addr().is_ipv4() { 32 } else { 128 };
    let host = u32::from(bits - net.prefix_len());
    let ends = if net.addr().is_ipv4() { 2 } else { 1 };
    let size = (1_u128.checked_shl(host).unwrap_or(u128::MAX)).min(LARGEST).saturating_sub(ends);
    // KEP-3070: the lower band is left to addresses that are asked for.
    let band = if size < 16 { 0 } else { (size / 16).clamp(16, 256) };
    let above = size - band;
    let start = if above == 0 { 0 } else { u128::from_be_bytes(lot) % above };
    let upper = (0..above).map(move |step| band + (start + step) % above);
    upper.chain(0..band).map(move |offset| nth(net.network(), offset + 1))
}

fn nth(network: IpAddr, offset: u128) -> IpAddr {
    match network {
        IpAddr::V4(network) => {
            IpAddr::V4(Ipv4Addr::from_bits(network.to_bits() + u32::try_from(offset).unwrap_or_default()))
        }
        IpAddr::V6(network) => IpAddr::V6(Ipv6Addr::from_bits(network.to_bits() + offset)),
    }
}

/// The numbers of a range from a random one on.
pub(super) fn draw_from(range: RangeInclusive<u16>, lot: [u8; 16]) -> impl Iterator<Item = u16> {
    let (first, last) = range.into_inner();
    let size = u32::from(last - first) + 1;
    let start = u32::from_be_bytes([lot[0], lot[1], lot[2], lot[3]]) % size;
    (0..size).map(move |step| first + u16::try_from((start + step) % size).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_a_range_is_tried_once_and_the_ends_never() {
        for (net, count) in
            [("10.0.0.0/29", 6), ("10.0.0.0/24", 254), ("fd00::/120", 255), ("fd00::/64", 65_535)]
        {
            let net: IpNet = net.parse().unwrap();
            let mut tried: Vec<_> = candidates(net, [7; 16]).collect();
            tried.sort_unstable();
            tried.dedup();
            assert_eq!(tried.len(), count, "{net}");
            assert!(
                tried.iter().all(|address| net.contains(address) && !is_reserved(net, *address)),
                "{net}"
            );
        }
        let first = candidates("10.96.0.0/16".parse().unwrap(), [0; 16]).next().unwrap();
        assert_eq!(first, IpAddr::V4(Ipv4Addr::new(10, 96, 1, 1)));
    }

    #[test]
    fn one_range_per_family_is_kept() {
        let nets = ["fd00::/108", "10.0.0.0/24", "10.1.0.0/24"].map(|net| net.parse().unwrap());
        let ranges = ServiceRanges::new(nets).unwrap();
        assert_eq!(ranges.families().collect::<Vec<_>>(), ["IPv6", "IPv4"]);
        assert_eq!(ServiceRanges::new([]), None);
    }
}
