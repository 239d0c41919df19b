//! Typed access to `backend_config`, the string map in which cable drivers publish their settings.

use subm_types::{IfName, PublicKey};

use crate::endpoint::EndpointSpec;

/// Key: UDP port of the tunnel.
pub const UDP_PORT: &str = "udp-port";
/// Key: UDP port of NAT discovery.
pub const NATT_DISCOVERY_PORT: &str = "natt-discovery-port";
/// Key: whether this end wants to be the server of an IPsec pair.
pub const PREFERRED_SERVER: &str = "preferred-server";
/// Key: whether this end is behind a load balancer.
pub const USING_LOADBALANCER: &str = "using-loadbalancer";
/// Key: WireGuard public key, base64.
pub const PUBLIC_KEY: &str = "publicKey";
/// Key: the link of the cable on the gateway's node.
pub const INTERFACE_NAME: &str = "interface-name";

/// The tunnel's port where nothing else is set.
pub const DEFAULT_UDP_PORT: u16 = 4500;
/// The port of NAT discovery where nothing else is set.
pub const DEFAULT_NATT_DISCOVERY_PORT: u16 = 4490;

/// A setting whose value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {value:?}, not {expected}")]
pub struct InvalidValue {
    /// The key in `backend_config`.
    pub key: &'static str,
    /// What stands there.
    pub value: String,
    /// What should stand there.
    pub expected: &'static str,
}

impl EndpointSpec {
    /// The UDP port of the tunnel; 4500 where none is published.
    pub fn udp_port(&self) -> Result<u16, InvalidValue> {
        Ok(self.port(UDP_PORT)?.unwrap_or(DEFAULT_UDP_PORT))
    }

    /// The UDP port of NAT discovery; without it the peer takes no part in discovery.
    pub fn nat_discovery_port(&self) -> Result<Option<u16>, InvalidValue> {
        self.port(NATT_DISCOVERY_PORT)
    }

    /// Whether this end wants to be the server of an IPsec pair, if it says so.
    pub fn preferred_server(&self) -> Result<Option<bool>, InvalidValue> {
        let Some(value) = self.backend_config.get(PREFERRED_SERVER) else { return Ok(None) };
        let expected = "true or false";
        parse_bool(value).map(Some).ok_or_else(|| InvalidValue {
            key: PREFERRED_SERVER,
            value: value.clone(),
            expected,
        })
    }

    /// Whether this end is behind a load balancer; only the exact word `true` says so.
    pub fn behind_load_balancer(&self) -> bool {
        self.backend_config.get(USING_LOADBALANCER).is_some_and(|value| value == "true")
    }

    /// What a WireGuard cable knows this end by.
    pub fn public_key(&self) -> Result<Option<PublicKey>, InvalidValue> {
        let Some(value) = self.backend_config.get(PUBLIC_KEY) else { return Ok(None) };
        let expected = "a WireGuard key: the base64 of 32 bytes that are not all zero";
        value.parse().map(Some).map_err(|_| InvalidValue { key: PUBLIC_KEY, value: value.clone(), expected })
    }

    /// The link of the cable on the gateway's node, where the driver has one.
    pub fn interface_name(&self) -> Result<Option<IfName>, InvalidValue> {
        let Some(value) = self.backend_config.get(INTERFACE_NAME) else { return Ok(None) };
        let expected = "the name of a network interface";
        value.parse().map(Some).map_err(|_| InvalidValue {
            key: INTERFACE_NAME,
            value: value.clone(),
            expected,
        })
    }

    fn port(&self, key: &'static str) -> Result<Option<u16>, InvalidValue> {
        let Some(value) = self.backend_config.get(key) else { return Ok(None) };
        let expected = "a port from 1 to 65535";
        parse_port(value).map(Some).ok_or_else(|| InvalidValue { key, value: value.clone(), expected })
    }
}

/// Reads a port as the Go implementation does: an unsigned decimal from 1 to 65535, without a sign.
pub fn parse_port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port != 0)
}

/// Reads a truth value in one of Go's spellings.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(entries: &[(&str, &str)]) -> EndpointSpec {
        let backend_config = entries.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        EndpointSpec { backend_config, ..EndpointSpec::default() }
    }

    #[test]
    fn ports_are_decimal_and_in_range() {
        for (text, port) in [("1", Some(1)), ("4500", Some(4500)), ("65535", Some(65535)), ("007", Some(7))] {
            assert_eq!(parse_port(text), port, "{text}");
        }
        for text in ["", "0", "65536", "-1", "+1", " 1", "1.0", "0x10", "port"] {
            assert_eq!(parse_port(text), None, "{text}");
        }
    }

    #[test]
    fn truth_is_spelled_as_in_go() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(parse_bool(text), Some(true), "{text}");
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(parse_bool(text), Some(false), "{text}");
        }
        for text in ["", "yes", "tRUE", "on", " true"] {
            assert_eq!(parse_bool(text), None, "{text}");
        }
    }

    #[test]
    fn absent_settings_have_the_defaults_of_peers() {
        let none = spec(&[]);
        assert_eq!(none.udp_port(), Ok(4500));
        assert_eq!(none.nat_discovery_port(), Ok(None));
        assert_eq!(none.preferred_server(), Ok(None));
        assert_eq!(none.interface_name(), Ok(None));
        assert!(!none.behind_load_balancer());
    }

    #[test]
    fn a_setting_that_cannot_be_read_is_named() {
        let bad = spec(&[("udp-port", "70000"), ("interface-name", "a/b"), ("preferred-server", "maybe")]);
        assert_eq!(
            bad.udp_port().unwrap_err().to_string(),
            "udp-port is \"70000\", not a port from 1 to 65535"
        );
        assert!(bad.interface_name().is_err());
        assert!(bad.preferred_server().is_err());
    }
}
