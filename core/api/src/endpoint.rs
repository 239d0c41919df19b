//! The end of a cable as a cluster publishes it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subm_types::Family;

use crate::resource::{kind, null_as_default};

/// The end of a cable.
///
/// COMPAT: lists per family came with 0.20; the singular fields are deprecated and still hold the IPv4 value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EndpointSpec {
    /// The cluster that it belongs to.
    #[serde(deserialize_with = "null_as_default")]
    #[schemars(length(min = 1, max = 63))]
    pub cluster_id: String,
    /// The identity of this end among all clusters.
    #[serde(deserialize_with = "null_as_default")]
    pub cable_name: String,
    /// Deprecated: the IPv4 entry of `healthCheckIPs`.
    #[serde(
        rename = "healthCheckIP",
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub health_check_ip: String,
    /// Addresses that answer probes through the cable, at most one per family.
    #[serde(
        rename = "healthCheckIPs",
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 2))]
    pub health_check_ips: Vec<String>,
    /// The host name of the gateway node.
    #[serde(deserialize_with = "null_as_default")]
    pub hostname: String,
    /// Networks that are reached through this end, in a stable order.
    #[serde(deserialize_with = "null_as_default")]
    pub subnets: Vec<String>,
    /// Deprecated: the IPv4 entry of `privateIPs`.
    #[serde(deserialize_with = "null_as_default")]
    pub private_ip: String,
    /// Addresses of the node's uplink, at most one per family.
    #[serde(
        rename = "privateIPs",
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 2))]
    pub private_ips: Vec<String>,
    /// Deprecated: the IPv4 entry of `publicIPs`.
    #[serde(deserialize_with = "null_as_default")]
    pub public_ip: String,
    /// Addresses as seen from outside, at most one per family.
    #[serde(
        rename = "publicIPs",
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 2))]
    pub public_ips: Vec<String>,
    /// Whether a NAT is in front of the node.
    #[serde(deserialize_with = "null_as_default")]
    pub nat_enabled: bool,
    /// The cable driver.
    #[serde(deserialize_with = "null_as_default")]
    pub backend: String,
    /// What the cable driver publishes to its peers.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub backend_config: BTreeMap<String, String>,
}

kind! {
    /// Endpoint is the end of a cable: a gateway, and the networks behind it.
    Endpoint, "endpoints", "endpoint", "EndpointList";
    /// What the gateway publishes.
    spec: EndpointSpec, required true;
    columns &[]
}

/// Which of the addresses of an Endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressField {
    /// `healthCheckIPs` and `healthCheckIP`.
    HealthCheck,
    /// `privateIPs` and `private_ip`.
    Private,
    /// `publicIPs` and `public_ip`.
    Public,
}

impl AddressField {
    /// Every address field.
    pub const ALL: [Self; 3] = [Self::HealthCheck, Self::Private, Self::Public];

    /// The names of the list and of the singular field in the object.
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::HealthCheck => ("healthCheckIPs", "healthCheckIP"),
            Self::Private => ("privateIPs", "private_ip"),
            Self::Public => ("publicIPs", "public_ip"),
        }
    }
}

impl EndpointSpec {
    /// The list and the singular value of an address field, as written.
    pub const fn raw(&self, field: AddressField) -> (&Vec<String>, &String) {
        match field {
            AddressField::HealthCheck => (&self.health_check_ips, &self.health_check_ip),
            AddressField::Private => (&self.private_ips, &self.private_ip),
            AddressField::Public => (&self.public_ips, &self.public_ip),
        }
    }

    const fn raw_mut(&mut self, field: AddressField) -> (&mut Vec<String>, &mut String) {
        match field {
            AddressField::HealthCheck => (&mut self.health_check_ips, &mut self.health_check_ip),
            AddressField::Private => (&mut self.private_ips, &mut self.private_ip),
            AddressField::Public => (&mut self.public_ips, &mut self.public_ip),
        }
    }

    /// The address of one family: the first list entry of the family, else for IPv4 the singular field.
    pub fn address(&self, field: AddressField, family: Family) -> Option<&str> {
        let (list, singular) = self.raw(field);
        list.iter()
            .find(|text| family_of(text) == Some(family))
            .or_else(|| Some(singular).filter(|text| family == Family::V4 && !text.is_empty()))
            .map(String::as_str)
    }

    /// Sets the address of its family in the list, and an IPv4 one in the singular field too.
    pub fn set_address(&mut self, field: AddressField, address: IpAddr) {
        let family = Family::of(address);
        let (list, singular) = self.raw_mut(field);
        let text = address.to_string();
        if family == Family::V4 {
            singular.clone_from(&text);
        }
        match list.iter_mut().find(|entry| family_of(entry) == Some(family)) {
            Some(entry) => *entry = text,
            None => list.push(text),
        }
    }

    /// The families of the networks behind this end.
    pub fn families(&self) -> BTreeSet<Family> {
        self.subnets
            .iter()
            .filter_map(|text| text.parse::<IpNet>().ok())
            .map(|net| Family::of_net(&net))
            .collect()
    }

    /// Tells whether two Endpoints are the same end of a cable, as the Go implementation compares them when a gateway
    /// takes over: addresses and networks do not count, and behind load balancers neither does `backend_config`.
    pub fn is_same_end(&self, other: &Self) -> bool {
        let identity = |spec: &Self| {
            (spec.cluster_id.clone(), spec.cable_name.clone(), spec.hostname.clone(), spec.backend.clone())
        };
        let balanced = self.behind_load_balancer() && other.behind_load_balancer();
        identity(self) == identity(other) && (balanced || self.backend_config == other.backend_config)
    }

    /// This spec as an API server keeps it whose definition of the kind does not know the lists.
    #[must_use]
    pub fn without_lists(&self) -> Self {
        Self { health_check_ips: Vec::new(), private_ips: Vec::new(), public_ips: Vec::new(), ..self.clone() }
    }
}

fn family_of(text: &str) -> Option<Family> {
    text.parse().ok().map(Family::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(list: &[&str], singular: &str) -> EndpointSpec {
        let private_ips = list.iter().map(|&text| text.to_owned()).collect();
        EndpointSpec { private_ips, private_ip: singular.to_owned(), ..EndpointSpec::default() }
    }

    #[test]
    fn the_list_is_read_before_the_singular_field() {
        let read =
            |spec: &EndpointSpec, family| spec.address(AddressField::Private, family).map(str::to_owned);
        for (spec, v4, v6) in [
            (spec(&[], "10.0.0.1"), Some("10.0.0.1"), None),
            (spec(&["10.0.0.2"], "10.0.0.1"), Some("10.0.0.2"), None),
            (spec(&["fd00::1"], "10.0.0.1"), Some("10.0.0.1"), Some("fd00::1")),
            (spec(&["fd00::1", "10.0.0.2"], ""), Some("10.0.0.2"), Some("fd00::1")),
            (spec(&["10.0.0.2", "10.0.0.3"], ""), Some("10.0.0.2"), None),
            (spec(&["nonsense"], ""), None, None),
        ] {
            assert_eq!(read(&spec, Family::V4).as_deref(), v4, "{spec:?}");
            assert_eq!(read(&spec, Family::V6).as_deref(), v6, "{spec:?}");
        }
    }

    #[test]
    fn a_written_address_replaces_that_of_its_family_and_ipv4_is_written_twice() {
        let mut spec = spec(&["10.0.0.1", "fd00::1"], "10.0.0.1");
        for text in ["10.0.0.9", "fd00::9"] {
            spec.set_address(AddressField::Private, text.parse().unwrap());
            spec.set_address(AddressField::Public, text.parse().unwrap());
        }
        assert_eq!(spec.private_ips, ["10.0.0.9", "fd00::9"]);
        assert_eq!((spec.private_ip.as_str(), spec.public_ip.as_str()), ("10.0.0.9", "10.0.0.9"));
        assert_eq!(spec.public_ips, ["10.0.0.9", "fd00::9"]);
    }

    #[test]
    fn an_ipv6_address_leaves_the_singular_field_empty() {
        let mut spec = EndpointSpec::default();
        spec.set_address(AddressField::HealthCheck, "fd00::9".parse().unwrap());
        assert_eq!((spec.health_check_ip.as_str(), spec.health_check_ips.len()), ("", 1));
    }

    #[test]
    fn addresses_do_not_make_another_end_but_the_backend_does() {
        let base =
            EndpointSpec { cluster_id: "east".into(), backend: "vxlan".into(), ..EndpointSpec::default() };
        let with = |key: &str, value: &str| {
            let mut spec = base.clone();
            spec.backend_config.insert(key.into(), value.into());
            spec
        };
        let mut moved = base.clone();
        moved.set_address(AddressField::Public, "192.0.2.1".parse().unwrap());
        moved.subnets.push("10.0.0.0/8".into());
        assert!(base.is_same_end(&moved));
        assert!(!base.is_same_end(&with("udp-port", "4501")));
        assert!(!base.is_same_end(&EndpointSpec { hostname: "node-2".into(), ..base.clone() }));
        let mut balanced = with("using-loadbalancer", "true");
        let other = balanced.clone();
        balanced.backend_config.insert("publicKey".into(), "k".into());
        assert!(balanced.is_same_end(&other));
    }
}
