//! Values of a topology as they are typed: in flags and in files alike.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subm_types::{Family, PerFamily};

/// The address families of a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Families {
    #[default]
    Ipv4,
    Ipv6,
    Dual,
}

impl Families {
    pub(crate) const fn has(self, family: Family) -> bool {
        matches!((self, family), (Self::Dual, _) | (Self::Ipv4, Family::V4) | (Self::Ipv6, Family::V6))
    }

    /// Those that there are, IPv4 first.
    pub(crate) fn list(self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(move |family| self.has(*family))
    }

    /// Of two values, those of the families that there are.
    pub(crate) fn pick<T>(self, v4: T, v6: T) -> PerFamily<T> {
        PerFamily { v4: self.has(Family::V4).then_some(v4), v6: self.has(Family::V6).then_some(v6) }
    }
}

impl FromStr for Families {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ipv4" => Ok(Self::Ipv4),
            "ipv6" => Ok(Self::Ipv6),
            "dual" => Ok(Self::Dual),
            _ => Err(format!("{text:?} is no choice of families: write ipv4, ipv6 or dual")),
        }
    }
}

impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Dual => "dual",
        })
    }
}

/// A whole number within limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count<const LEAST: u32, const MOST: u32>(pub(crate) u32);

/// How many clusters are made by number.
pub(crate) type Clusters = Count<2, 8>;
/// How many gateway nodes a cluster has: one is active, the others stand by.
pub(crate) type Gateways = Count<1, 4>;
/// How many other nodes a cluster has.
pub(crate) type Workers = Count<0, 20>;
/// How many pods a node has.
pub(crate) type Pods = Count<1, 20>;
/// The largest packet that a link takes.
pub(crate) type LinkMtu = Count<1280, 65_535>;

impl<const LEAST: u32, const MOST: u32> FromStr for Count<LEAST, MOST> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let within = |number: &u32| (LEAST..=MOST).contains(number);
        let number = text.parse().ok().filter(within);
        number.map(Self).ok_or_else(|| format!("{text:?}: write a whole number from {LEAST} to {MOST}"))
    }
}

impl<const LEAST: u32, const MOST: u32> fmt::Display for Count<LEAST, MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Values in files, written as they are typed in flags.
pub(super) mod text {
    use super::{Deserializer, Error, FromStr, Serializer, Visitor, fmt};

    pub(in super::super) fn serialize<S: Serializer, T: fmt::Display>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    /// Reads a value; YAML and JSON may have taken it for a number.
    pub(in super::super) fn deserialize<'de, D, T>(from: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err = String>,
    {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = String;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
                Ok(text.to_owned())
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<String, E> {
                Ok(number.to_string())
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
                Ok(number.to_string())
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<String, E> {
                Ok(number.to_string())
            }

            fn visit_bool<E: Error>(self, truth: bool) -> Result<String, E> {
                Ok(truth.to_string())
            }
        }

        from.deserialize_any(Text)?.parse().map_err(D::Error::custom)
    }
}

impl<'de, const LEAST: u32, const MOST: u32> Deserialize<'de> for Count<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text::deserialize(from)
    }
}

impl<const LEAST: u32, const MOST: u32> Serialize for Count<LEAST, MOST> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}
