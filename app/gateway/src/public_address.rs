//! The address of this gateway as it is seen from outside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use subm_types::{PerFamily, Problem};

/// Finds the addresses in a list of resolvers such as `ipv4:203.0.113.9,api:ifconfig.me`; the first of each family wins.
///
/// Only `ipv4` and `ipv6` are known yet: whoever names others as well gets the Problem only if neither is among them.
pub(crate) fn resolve(resolvers: &str, field: &str) -> Result<PerFamily<IpAddr>, Problem> {
    let elements: Vec<&str> =
        resolvers.split(',').map(str::trim).filter(|element| !element.is_empty()).collect();
    let literal = |element: &&str| element.starts_with("ipv4:") || element.starts_with("ipv6:");
    let found = PerFamily::of(elements.iter().filter_map(|element| address(element)));
    if found.iter().next().is_some() || elements.is_empty() {
        return Ok(found);
    }
    let what = if elements.iter().any(literal) {
        format!("{resolvers:?} has no address of its family after \"ipv4:\" or \"ipv6:\"")
    } else {
        format!("{resolvers:?} asks for a way to find the address that this version does not have")
    };
    Err(Problem {
        reason: "UnresolvedPublicIP",
        object: "gateway node".to_owned(),
        field: field.to_owned(),
        what,
        remedy: "set ipv4:ADDRESS or ipv6:ADDRESS; until then no public address is published".to_owned(),
    })
}

fn address(element: &str) -> Option<IpAddr> {
    if let Some(text) = element.strip_prefix("ipv4:") {
        return text.trim().parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    element.strip_prefix("ipv6:")?.trim().parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_literal_addresses_are_found() {
        let find = |text| resolve(text, "SUBMARINER_PUBLICIP").map_err(|problem| problem.reason);
        let addresses = |texts: &[&str]| Ok(PerFamily::of(texts.iter().map(|text| text.parse().unwrap())));
        assert_eq!(find("ipv4:203.0.113.9"), addresses(&["203.0.113.9"]));
        assert_eq!(find("api:ifconfig.me, ipv4:203.0.113.9"), addresses(&["203.0.113.9"]));
        assert_eq!(find("ipv6:2001:db8::9"), addresses(&["2001:db8::9"]));
        assert_eq!(find("ipv4:203.0.113.9,ipv6:2001:db8::9"), addresses(&["203.0.113.9", "2001:db8::9"]));
        assert_eq!(find(""), addresses(&[]));
        let wrong =
            ["api:ifconfig.me", "lb:submariner-gateway", "ipv4:300.0.0.1", "203.0.113.9", "ipv4:2001:db8::9"];
        for text in wrong {
            assert_eq!(find(text), Err("UnresolvedPublicIP"), "{text}");
        }
    }
}
