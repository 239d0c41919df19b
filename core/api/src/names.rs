//! Names that every member of a clusterset derives in the same way.

use std::net::IpAddr;

use subm_types::{ClusterId, Family};

use crate::endpoint::EndpointSpec;

/// An Endpoint that cannot be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unnamed {
    /// `cluster_id` is empty.
    #[error("cluster_id is empty")]
    NoClusterId,
    /// `cable_name` is empty.
    #[error("cable_name is empty")]
    NoCableName,
}

/// Makes an object name of any text: lower case, `-` for whatever is no letter, digit, `-` or `.`, no `-` at the ends.
///
/// COMPAT: letters and digits outside ASCII stand as they are; an API server refuses such a name.
pub fn ensure_valid_name(text: &str) -> String {
    let name: String = text
        .chars()
        .map(|c| c.to_lowercase().next().unwrap_or(c))
        .map(|c| if c == '-' || c == '.' || is_lower_letter(c) || is_digit(c) { c } else { '-' })
        .collect();
    name.trim_matches('-').to_owned()
}

/// The name of a cluster's end of a cable: `submariner-cable-east-10-1-2-3`.
///
/// COMPAT: an IPv6 address takes part in the name only where the node has no IPv4 one.
pub fn cable_name(cluster: &ClusterId, private: IpAddr) -> String {
    let address = private.to_string().replace(['.', ':'], "-");
    format!("submariner-cable-{cluster}-{address}")
}

/// The name of the tunnel of one family, inside programs and in NAT discovery; it stands in no object.
pub fn cable_name_of(cable_name: &str, family: Family) -> String {
    format!("{cable_name}-{family}")
}

/// The name of a Cluster object.
pub fn cluster_object_name(cluster: &ClusterId) -> String {
    ensure_valid_name(cluster.as_str())
}

/// The name of an Endpoint object: `east-submariner-cable-east-10-1-2-3`.
pub fn endpoint_object_name(spec: &EndpointSpec) -> Result<String, Unnamed> {
    if spec.cluster_id.is_empty() {
        return Err(Unnamed::NoClusterId);
    }
    if spec.cable_name.is_empty() {
        return Err(Unnamed::NoCableName);
    }
    Ok(ensure_valid_name(&format!("{}-{}", spec.cluster_id, spec.cable_name)))
}

/// Tells whether an Endpoint object of this name can be that cluster's, and no other's.
///
/// INVARIANT: no name passes for two cluster ids, or one member could occupy a name that another needs. The name ends
/// in an address, which no cluster id can imitate because `submariner-cable` has letters beyond `f`.
pub fn is_endpoint_object_name(cluster: &str, name: &str) -> bool {
    let address = name.strip_prefix(&format!("{cluster}-submariner-cable-{cluster}-"));
    let digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c) || c == '-';
    address.is_some_and(|address| !address.is_empty() && address.chars().all(digit))
}

/// The name of a Gateway object, from the node's host name.
pub fn gateway_object_name(hostname: &str) -> String {
    ensure_valid_name(hostname)
}

/// The name of a RouteAgent object, from the node's host name.
pub fn route_agent_object_name(hostname: &str) -> String {
    ensure_valid_name(hostname)
}

/// Unicode category Ll: the property `Lowercase` less the few that only look so (`Other_Lowercase`).
fn is_lower_letter(c: char) -> bool {
    let other = matches!(u32::from(c),
        0xAA | 0xBA | 0x2B0..=0x2B8 | 0x2C0..=0x2C1 | 0x2E0..=0x2E4 | 0x345 | 0x37A | 0x10FC | 0x1D2C..=0x1D6A
        | 0x1D78 | 0x1D9B..=0x1DBF | 0x2071 | 0x207F | 0x2090..=0x209C | 0x2170..=0x217F | 0x24D0..=0x24E9
        | 0x2C7C..=0x2C7D | 0xA69C..=0xA69D | 0xA770 | 0xA7F1..=0xA7F4 | 0xA7F8..=0xA7F9 | 0xAB5C..=0xAB5F
        | 0xAB69 | 0x10780 | 0x10783..=0x10785 | 0x10787..=0x107B0 | 0x107B2..=0x107BA | 0x1E030..=0x1E06D);
    c.is_lowercase() && !other
}

/// Unicode category Nd.
fn is_digit(c: char) -> bool {
    let code = u32::from(c);
    c.is_ascii_digit() || ZEROS.iter().any(|&zero| (zero..zero + 10).contains(&code))
}

/// The zeros of the scripts that have decimal digits; one to nine follow each.
#[rustfmt::skip]
const ZEROS: [u32; 67] = [
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20,
    0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0,
    0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0,
    0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x11F50, 0x16A60,
    0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E950, 0x1FBF0,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn any_text_becomes_a_name() {
        for (text, name) in [
            ("east", "east"),
            ("East_1", "east-1"),
            ("node.example.com", "node.example.com"),
            ("-a-", "a"),
            ("--a--b--", "a--b"),
            (".a.", ".a."),
            ("_a_", "a"),
            ("a b/c:d", "a-b-c-d"),
            ("IP-10-0-0-1.eu.internal", "ip-10-0-0-1.eu.internal"),
            ("fd00::1", "fd00--1"),
            ("", ""),
            ("---", ""),
            ("Äther", "äther"),
            ("\u{130}stanbul", "istanbul"),
            ("\u{212a}8s", "k8s"),
            ("m²", "m"),
            ("n٣", "n٣"),
            ("1ª", "1"),
            ("日本", ""),
            ("a日b", "a-b"),
        ] {
            assert_eq!(ensure_valid_name(text), name, "{text:?}");
        }
    }

    #[test]
    fn cables_and_objects_are_named_by_cluster_and_address() {
        for (cluster, address, cable, object) in [
            ("east", "10.1.2.3", "submariner-cable-east-10-1-2-3", "east-submariner-cable-east-10-1-2-3"),
            (
                "a-1",
                "192.168.0.1",
                "submariner-cable-a-1-192-168-0-1",
                "a-1-submariner-cable-a-1-192-168-0-1",
            ),
            ("w", "fd00::1:2", "submariner-cable-w-fd00--1-2", "w-submariner-cable-w-fd00--1-2"),
            ("w", "2001:db8::", "submariner-cable-w-2001-db8--", "w-submariner-cable-w-2001-db8"),
        ] {
            let id: ClusterId = cluster.parse().unwrap();
            let name = cable_name(&id, address.parse().unwrap());
            assert_eq!(name, cable);
            let spec =
                EndpointSpec { cluster_id: cluster.into(), cable_name: name, ..EndpointSpec::default() };
            assert_eq!(endpoint_object_name(&spec).as_deref(), Ok(object));
            assert!(is_endpoint_object_name(cluster, object), "{object}");
            assert!(!is_endpoint_object_name("b", object), "{object}");
            assert_eq!(cluster_object_name(&id), cluster);
        }
        assert_eq!(
            cable_name_of("submariner-cable-east-10-1-2-3", Family::V4),
            "submariner-cable-east-10-1-2-3-v4"
        );
        assert_eq!(
            cable_name_of("submariner-cable-east-10-1-2-3", Family::V6),
            "submariner-cable-east-10-1-2-3-v6"
        );
        assert_eq!(gateway_object_name("Node_1.Example"), "node-1.example");
    }

    #[test]
    fn an_endpoint_without_identity_has_no_name() {
        let mut spec = EndpointSpec { cable_name: "c".into(), ..EndpointSpec::default() };
        assert_eq!(endpoint_object_name(&spec), Err(Unnamed::NoClusterId));
        spec = EndpointSpec { cluster_id: "east".into(), ..EndpointSpec::default() };
        assert_eq!(endpoint_object_name(&spec), Err(Unnamed::NoCableName));
    }

    proptest! {
        #[test]
        fn a_name_is_its_own_name(text in "\\PC{0,80}") {
            let name = ensure_valid_name(&text);
            prop_assert_eq!(ensure_valid_name(&name), name);
        }
    }
}
