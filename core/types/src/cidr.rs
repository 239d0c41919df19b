//! Sets of networks, always in one canonical form.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::Family;

/// A set of addresses as the fewest networks: host bits cleared, sorted, no network inside or beside its twin.
///
/// INVARIANT: canonical. nftables interval sets without `auto-merge` take such elements one by one, both ways.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CidrSet(BTreeSet<IpNet>);

impl CidrSet {
    /// The networks in order, IPv4 before IPv6.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.0.iter().copied()
    }

    /// Tells whether the set has no address.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The part of one family.
    #[must_use]
    pub fn of(&self, family: Family) -> Self {
        Self(self.iter().filter(|net| Family::of_net(net) == family).collect())
    }

    /// The addresses of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).collect()
    }

    /// Tells whether an address is in the set.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.contains_net(&IpNet::from(address))
    }

    /// Tells whether every address of a network is in the set.
    pub fn contains_net(&self, net: &IpNet) -> bool {
        self.around(&net.trunc()).is_some()
    }

    /// The network that contains this one. As no two share addresses, it is the last that does not come after it.
    fn around(&self, net: &IpNet) -> Option<IpNet> {
        self.0.range(..=net).next_back().copied().filter(|ours| ours.contains(net))
    }

    /// The first network of this set that shares addresses with another one.
    pub fn overlap(&self, net: &IpNet) -> Option<IpNet> {
        let net = net.trunc();
        // Those inside come right after it.
        let inside = || self.0.range(net..).next().copied().filter(|ours| net.contains(ours));
        self.around(&net).or_else(inside)
    }

    /// The first pair of networks, one of each set, that share addresses.
    pub fn overlap_with(&self, other: &Self) -> Option<(IpNet, IpNet)> {
        other.iter().find_map(|theirs| self.overlap(&theirs).map(|ours| (ours, theirs)))
    }
}

impl FromIterator<IpNet> for CidrSet {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Self {
        let nets: Vec<IpNet> = nets.into_iter().map(|net| net.trunc()).collect();
        Self(IpNet::aggregate(&nets).into_iter().collect())
    }
}

impl fmt::Display for CidrSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, net) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{net}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> CidrSet {
        text.split_whitespace().map(|net| net.parse().unwrap()).collect()
    }

    #[test]
    fn equal_sets_have_one_form() {
        assert_eq!(
            set("10.1.0.0/16 10.0.0.0/16 10.0.3.0/24 fd00::1/64").to_string(),
            "10.0.0.0/15, fd00::/64"
        );
    }

    #[test]
    fn what_is_found_by_order_is_what_is_found_one_by_one() {
        let all: Vec<IpNet> = (0..64_u32)
            .flat_map(|bits| (26..=32).map(move |length| (bits, length)))
            .map(|(bits, length)| {
                ipnet::Ipv4Net::new_assert((0x0a00_0000 | bits).into(), length).trunc().into()
            })
            .collect();
        for step in 1..all.len() {
            let ours: CidrSet =
                all.iter().copied().filter(|net| net.prefix_len() > 27).step_by(step).take(9).collect();
            for net in &all {
                let found = ours.iter().find(|one| one.contains(net) || net.contains(one));
                assert_eq!(ours.overlap(net), found, "{net} in {ours}");
                assert_eq!(
                    ours.contains_net(net),
                    ours.iter().any(|one| one.contains(net)),
                    "{net} in {ours}"
                );
                assert_eq!(ours.contains(net.addr()), ours.iter().any(|one| one.contains(&net.addr())));
            }
        }
    }

    #[test]
    fn overlaps_are_found_in_both_directions() {
        let ours = set("10.0.0.0/16 fd00::/64");
        assert_eq!(ours.overlap(&"10.0.9.0/24".parse().unwrap()), Some("10.0.0.0/16".parse().unwrap()));
        assert_eq!(ours.overlap(&"10.0.0.0/8".parse().unwrap()), Some("10.0.0.0/16".parse().unwrap()));
        assert_eq!(ours.overlap(&"10.1.0.0/16".parse().unwrap()), None);
    }
}
