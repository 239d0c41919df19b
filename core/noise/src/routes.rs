//! Which peer an address belongs to: longest prefix match over the allowed addresses of all peers.

use std::net::IpAddr;

use ipnet::IpNet;

/// A range of addresses without an owner.
const NOBODY: u32 = u32::MAX;

/// The allowed addresses of all peers as ranges that touch but never overlap: one binary search finds the owner.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl Routes {
    /// Takes networks with the number of the peer that has each; of equal networks the last one stands.
    pub(crate) fn new(networks: impl IntoIterator<Item = (IpNet, u32)>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (network, owner) in networks {
            match network {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits(), owner)),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits(), owner)),
            }
        }
        Self { v4: Ranges::new(v4, |at| at.checked_add(1)), v6: Ranges::new(v6, |at| at.checked_add(1)) }
    }

    /// The peer that has an address.
    #[inline]
    pub(crate) fn find(&self, address: IpAddr) -> Option<u32> {
        match address {
            IpAddr::V4(address) => self.v4.find(address.to_bits()),
            IpAddr::V6(address) => self.v6.find(address.to_bits()),
        }
    }
}

/// INVARIANT: `starts` is strictly ascending; the range `i` reaches to the start of `i + 1` and belongs to `owners[i]`.
#[derive(Debug, Clone)]
struct Ranges<T> {
    starts: Vec<T>,
    owners: Vec<u32>,
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self { starts: Vec::new(), owners: Vec::new() }
    }
}

impl<T: Copy + Ord> Ranges<T> {
    /// Flattens networks, which nest or are apart, given as first address, last address and owner.
    fn new(mut networks: Vec<(T, T, u32)>, after: impl Fn(T) -> Option<T>) -> Self {
        // A network comes right before those inside it; equal ones stay in order, so that the last one covers the others.
        networks.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        let mut out = Self::default();
        let mut around: Vec<(T, u32)> = Vec::new();
        for (first, last, owner) in networks {
            out.close(&mut around, &after, |end| end < first);
            out.begin(first, owner);
            around.push((last, owner));
        }
        out.close(&mut around, &after, |_| true);
        out
    }

    /// Ends the networks that are over: what follows each belongs to the one around it.
    fn close(
        &mut self,
        around: &mut Vec<(T, u32)>,
        after: impl Fn(T) -> Option<T>,
        over: impl Fn(T) -> bool,
    ) {
        while let Some((end, _)) = around.pop_if(|(end, _)| over(*end)) {
            let outer = around.last().map_or(NOBODY, |(_, owner)| *owner);
            if let Some(next) = after(end) {
                self.begin(next, outer);
            }
        }
    }

    fn begin(&mut self, start: T, owner: u32) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.owners.pop();
        }
        if self.owners.last() != Some(&owner) {
            self.starts.push(start);
            self.owners.push(owner);
        }
    }

    #[inline]
    fn find(&self, address: T) -> Option<u32> {
        let at = self.starts.partition_point(|start| *start <= address).checked_sub(1)?;
        Some(self.owners[at]).filter(|owner| *owner != NOBODY)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use ipnet::{Ipv4Net, Ipv6Net};
    use proptest::prelude::*;

    use super::*;

    fn routes(text: &str) -> Routes {
        let nets = text.split_whitespace().map(|net| net.parse().unwrap());
        Routes::new(nets.zip(0..))
    }

    fn find(routes: &Routes, address: &str) -> Option<u32> {
        routes.find(address.parse().unwrap())
    }

    #[test]
    fn the_longest_prefix_wins() {
        let routes = routes("10.0.0.0/8 10.1.0.0/16 10.1.2.0/24 10.1.2.3/32 fd00::/8 fd00:1::/32");
        for (address, owner) in [
            ("9.255.255.255", None),
            ("10.0.0.0", Some(0)),
            ("10.1.0.0", Some(1)),
            ("10.1.2.2", Some(2)),
            ("10.1.2.3", Some(3)),
            ("10.1.2.4", Some(2)),
            ("10.1.3.0", Some(1)),
            ("10.255.255.255", Some(0)),
            ("11.0.0.0", None),
            ("fd00:1:ffff::", Some(5)),
            ("fd00:2::", Some(4)),
            ("fe00::", None),
        ] {
            assert_eq!(find(&routes, address), owner, "{address}");
        }
    }

    #[test]
    fn everything_is_a_network_too() {
        let routes = routes("0.0.0.0/0 255.255.255.255/32 ::/0 128.0.0.0/1");
        assert_eq!(find(&routes, "0.0.0.0"), Some(0));
        assert_eq!(find(&routes, "255.255.255.254"), Some(3));
        assert_eq!(find(&routes, "255.255.255.255"), Some(1));
        assert_eq!(find(&routes, "ffff::"), Some(2));
        assert_eq!(find(&Routes::default(), "10.0.0.1"), None);
    }

    /// Few distinct addresses, so that networks nest and repeat.
    fn nets() -> impl Strategy<Value = Vec<(IpNet, u32)>> {
        let v4 = (0..64_u32, 24..=32_u8).prop_map(|(bits, length)| {
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from_bits(bits << 2), length))
        });
        let v6 = (0..64_u128, 120..=128_u8).prop_map(|(bits, length)| {
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(bits << 2), length))
        });
        prop::collection::vec((prop_oneof![v4, v6], 0..5_u32), 0..40)
    }

    proptest! {
        #[test]
        fn finds_what_a_search_of_all_networks_finds(nets in nets()) {
            let routes = Routes::new(nets.iter().copied());
            let addresses = (0..300_u16).flat_map(|bits| {
                [IpAddr::V4(Ipv4Addr::from_bits(bits.into())), IpAddr::V6(Ipv6Addr::from_bits(bits.into()))]
            });
            for address in addresses {
                // The last of the longest ones.
                let best = nets.iter().filter(|(net, _)| net.contains(&address)).max_by_key(|(net, _)| net.prefix_len());
                prop_assert_eq!(routes.find(address), best.map(|(_, owner)| *owner), "{}", address);
            }
        }
    }
}
