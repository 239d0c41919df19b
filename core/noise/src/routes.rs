//! Which peer an address belongs to: longest prefix match over the allowed addresses of all peers.

use std::net::IpAddr;

use ipnet::IpNet;

/// A range of addresses without an owner.
const NOBODY: u32 = u32::MAX;

/// The allowed addresses of all peers as ranges that touch but never overlap: one binary search finds the owner.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl Routes {
    /// Takes networks with the number of the peer that has each; of equal networks the last one stands.
    pub fn new(networks: impl IntoIterator<Item = (IpNet, u32)>) -> Self {
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
    pub fn find(&self, address: IpAddr) -> Option<u32> {
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
