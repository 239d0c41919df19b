//! The address of this gateway as it is seen from outside.

use std::net::Ipv4Addr;

use subm_types::Problem;

/// Finds the address in a list of resolvers such as `ipv4:203.0.113.9,api:ifconfig.me`; the first that gives one wins.
///
/// Only `ipv4` is known yet: whoever names others as well gets the Problem only if `ipv4` is not among them.
pub(crate) fn resolve(resolvers: &str, field: &str) -> Result<Option<Ipv4Addr>, Problem> {
    let elements: Vec<&str> =
        resolvers.split(',').map(str::trim).filter(|element| !element.is_empty()).collect();
    let literals = elements.iter().filter_map(|element| element.strip_prefix("ipv4:"));
    if let Some(address) = literals.clone().find_map(|text| text.trim().parse().ok()) {
        return Ok(Some(address));
    }
    if elements.is_empty() {
        return Ok(None);
    }
    let what = if literals.count() > 0 {
        format!("{resolvers:?} has no IPv4 address after \"ipv4:\"")
    } else {
        format!("{resolvers:?} asks for a way to find the address that this version does not have")
    };
    Err(Problem {
        reason: "UnresolvedPublicIP",
        object: "gateway node".to_owned(),
        field: field.to_owned(),
        what,
        remedy: "set ipv4:ADDRESS; until then no public address is published".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_literal_addresses_are_found() {
        let find = |text| resolve(text, "SUBMARINER_PUBLICIP").map_err(|problem| problem.reason);
        let address = Some(Ipv4Addr::new(203, 0, 113, 9));
        assert_eq!(find("ipv4:203.0.113.9"), Ok(address));
        assert_eq!(find("api:ifconfig.me, ipv4:203.0.113.9"), Ok(address));
        assert_eq!(find(""), Ok(None));
        for text in ["api:ifconfig.me", "lb:submariner-gateway", "ipv4:300.0.0.1", "203.0.113.9"] {
            assert_eq!(find(text), Err("UnresolvedPublicIP"), "{text}");
        }
    }
}
