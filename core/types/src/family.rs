//! Address families and values that exist once per family.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// An IP address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families, IPv4 first.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The family of a network.
    pub const fn of_net(net: &IpNet) -> Self {
        match net {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        })
    }
}

/// At most one value per address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PerFamily<T> {
    /// The IPv4 value.
    pub v4: Option<T>,
    /// The IPv6 value.
    pub v6: Option<T>,
}

impl<T> Default for PerFamily<T> {
    fn default() -> Self {
        Self { v4: None, v6: None }
    }
}

impl<T> PerFamily<T> {
    /// The value of one family.
    pub const fn get(&self, family: Family) -> Option<&T> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }

    /// Sets the value of one family.
    pub fn set(&mut self, family: Family, value: T) {
        match family {
            Family::V4 => self.v4 = Some(value),
            Family::V6 => self.v6 = Some(value),
        }
    }

    /// The values that exist, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = (Family, &T)> {
        Family::ALL.into_iter().filter_map(|family| self.get(family).map(|value| (family, value)))
    }
}

impl PerFamily<IpAddr> {
    /// Sorts addresses by family; the first of each family stands.
    pub fn of(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut out = Self::default();
        for address in addresses {
            let family = Family::of(address);
            if out.get(family).is_none() {
                out.set(family, address);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_of_each_family_stands() {
        let addresses = ["fd00::1", "10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        let both = PerFamily::of(addresses);
        assert_eq!(both.v4, Some("10.0.0.1".parse().unwrap()));
        assert_eq!(both.v6, Some("fd00::1".parse().unwrap()));
        assert_eq!(both.iter().map(|(family, _)| family).collect::<Vec<_>>(), Family::ALL);
    }
}
