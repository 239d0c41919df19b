//! Network interfaces: names, hardware addresses, sizes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A string that the kernel would not take as an interface name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "interface name {0:?} must have 1 to 15 bytes, without '/', ':' or white space, and not be '.' or '..'"
)]
pub struct InvalidIfName(pub String);

/// The name of a network interface (`IFNAMSIZ` in `linux/if.h`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IfName(String);

impl IfName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that is known when the program is written; what does not fit is cut.
    pub fn constant(name: &'static str) -> Self {
        Self(name.chars().take(15).collect())
    }
}

impl FromStr for IfName {
    type Err = InvalidIfName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':';
        let sized = (1..=15).contains(&text.len());
        if sized && text != "." && text != ".." && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidIfName(text.to_owned()))
        }
    }
}

impl TryFrom<String> for IfName {
    type Error = InvalidIfName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IfName> for String {
    fn from(name: IfName) -> Self {
        name.0
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The largest packet that an interface sends, in bytes, its own header not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mtu(pub u32);

impl Mtu {
    /// The smallest MTU of a link that carries IPv6 (RFC 8200 §5).
    pub const IPV6_MIN: Self = Self(1280);

    /// What is left inside an encapsulation of `overhead` bytes.
    #[must_use]
    pub const fn inside(self, overhead: u32) -> Self {
        Self(self.0.saturating_sub(overhead))
    }
}

impl fmt::Display for Mtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// The address of the entry that receives whatever no other entry of a VXLAN forwarding table takes.
    pub const ZERO: Self = Self([0; 6]);
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_refuses_are_refused() {
        for good in ["eth0", "vx-submariner", "br.100", "exactly15bytes_"] {
            assert!(good.parse::<IfName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:b", "sixteen_bytes_xx", "ä"] {
            assert!(bad.parse::<IfName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hardware_addresses_print_as_iproute2_prints_them() {
        assert_eq!(MacAddress([2, 0, 0xab, 1, 0, 0xff]).to_string(), "02:00:ab:01:00:ff");
    }
}
