//! What lies between a cluster and the WAN.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::value::{Count, LinkMtu, text};

/// The wire of a cluster to the WAN, and the boxes on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Uplink {
    #[serde(default = "ethernet")]
    pub(crate) mtu: LinkMtu,
    /// Packets that are lost, in each direction.
    #[serde(default, with = "text")]
    pub(crate) loss: Loss,
    /// What passes in each direction.
    #[serde(default, with = "text")]
    pub(crate) rate: Rate,
    /// From the cluster outwards.
    #[serde(default, with = "text")]
    pub(crate) nat: Nat,
}

const fn ethernet() -> LinkMtu {
    Count(1500)
}

impl Default for Uplink {
    fn default() -> Self {
        Self { mtu: ethernet(), loss: Loss::default(), rate: Rate::default(), nat: Nat::default() }
    }
}

/// A share of packets, in 100,000.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Loss(pub(crate) u32);

const PER_CENT: u32 = 1000;

impl FromStr for Loss {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is no loss: write a percentage such as 5% or 0.1%, below 100%");
        let number = text.strip_suffix('%').ok_or_else(wrong)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 3 {
            return Err(wrong());
        }
        let whole: u32 = whole.parse().map_err(|_| wrong())?;
        let part: u32 = format!("{part:0<3}").parse().map_err(|_| wrong())?;
        match whole {
            0..100 => Ok(Self(whole * PER_CENT + part)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / PER_CENT, self.0 % PER_CENT) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) => write!(f, "{whole}.{}%", format!("{part:03}").trim_end_matches('0')),
        }
    }
}

/// Bits per second, or no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) Option<u64>);

const UNLIMITED: &str = "unlimited";
const UNITS: [(&str, u64); 4] = [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1000), ("bit", 1)];
const SLOWEST: u64 = 64_000;
const FASTEST: u64 = 100_000_000_000;

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == UNLIMITED {
            return Ok(Self(None));
        }
        let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
        let rate = unit.and_then(|(number, factor)| number.parse::<u64>().ok()?.checked_mul(*factor));
        match rate {
            Some(rate) if (SLOWEST..=FASTEST).contains(&rate) => Ok(Self(Some(rate))),
            Some(_) | None => Err(format!(
                "{text:?} is no rate: write one such as 100mbit, from 64kbit to 100gbit, or {UNLIMITED}"
            )),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(rate) = self.0 else { return f.write_str(UNLIMITED) };
        let whole = UNITS.iter().find(|(_, factor)| rate.is_multiple_of(*factor));
        whole.map_or(Ok(()), |(unit, factor)| write!(f, "{}{unit}", rate / factor))
    }
}

/// A box that gives its own IPv4 address to what leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NatBox {
    /// Keeps source ports.
    Masquerade,
    /// Draws source ports.
    MasqueradeRandom,
    /// Keeps source ports, and leads the port of cables to the gateway.
    Forward,
}

const BOXES: [(&str, NatBox); 3] = [
    ("masquerade", NatBox::Masquerade),
    ("masquerade-random", NatBox::MasqueradeRandom),
    ("forward", NatBox::Forward),
];

/// Boxes in a row, from the cluster outwards: `none`, `forward`, `forward+forward`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Nat(pub(crate) Vec<NatBox>);

const NO_BOX: &str = "none";
const MOST_BOXES: usize = 2;

impl FromStr for Nat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == NO_BOX {
            return Ok(Self::default());
        }
        let find = |word: &str| BOXES.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind);
        let boxes: Option<Vec<NatBox>> = text.split('+').map(find).collect();
        boxes.filter(|boxes| boxes.len() <= MOST_BOXES).map(Self).ok_or_else(|| {
            let known: Vec<&str> = BOXES.iter().map(|(name, _)| *name).collect();
            format!("{text:?} is no NAT: write {NO_BOX}, one of {}, or two with + between", known.join(", "))
        })
    }
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |kind: &NatBox| BOXES.iter().find(|(_, known)| known == kind).map(|(name, _)| *name);
        let names: Vec<&str> = self.0.iter().filter_map(name).collect();
        f.write_str(if names.is_empty() { NO_BOX.to_owned() } else { names.join("+") }.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_printed_as_they_are_typed() {
        for text in ["0%", "5%", "0.1%", "12.345%"] {
            assert_eq!(text.parse::<Loss>().unwrap().to_string(), text);
        }
        for text in ["unlimited", "100mbit", "1gbit", "64kbit", "1500kbit"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for text in ["none", "forward", "masquerade-random+masquerade"] {
            assert_eq!(text.parse::<Nat>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_values_are_refused_with_a_right_one() {
        for text in ["5", "100%", "-1%", "%", "1.2345%", "x%", "4294967297%"] {
            assert!(text.parse::<Loss>().unwrap_err().contains("such as 5%"), "{text}");
        }
        for text in ["5", "1bit", "fast", "-1mbit", "200gbit", "99999999999999999999mbit"] {
            assert!(text.parse::<Rate>().unwrap_err().contains("such as 100mbit"), "{text}");
        }
        for text in ["", "nat", "forward+", "forward+forward+forward"] {
            assert!(text.parse::<Nat>().unwrap_err().contains("write none"), "{text}");
        }
    }
}
