//! What the Node object says of this gateway.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use subm_api::backend_config::{parse_bool, parse_port};
use subm_api::keys;
use subm_types::{HostName, Problem};

const HOSTNAME_LABEL: &str = "kubernetes.io/hostname";

/// Settings of one gateway node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodeSettings {
    /// Its host name, which names its Gateway and its claim to the lease.
    pub(crate) hostname: HostName,
    /// The UDP port of the tunnels, where the node has one of its own.
    pub(crate) udp_port: Option<u16>,
    /// The UDP port of NAT discovery, where the node has one of its own.
    pub(crate) nat_discovery_port: Option<u16>,
    /// How the public address is found, where the node says so.
    pub(crate) public_ip: Option<String>,
    /// Whether this end wants to be called rather than to call, where the node says so.
    pub(crate) prefers_server: Option<bool>,
    /// What could not be used.
    pub(crate) problems: Vec<Problem>,
}

impl NodeSettings {
    /// Reads labels and annotations; annotations are stronger, as labels cannot hold every character.
    pub(crate) fn of(node: &Node) -> Self {
        let name = node.metadata.name.clone().unwrap_or_default();
        let labels = node.metadata.labels.iter().flatten();
        let annotations = node.metadata.annotations.iter().flatten();
        let values: BTreeMap<&str, &str> =
            labels.chain(annotations).map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let hostname = values.get(HOSTNAME_LABEL).map_or_else(|| name.clone(), |&value| value.to_owned());
        let mut out = Self { hostname: HostName(hostname), ..Self::default() };
        for (key, value) in values {
            if key.starts_with(keys::GATEWAY_CONFIG_PREFIX) {
                out.take(&name, key, value);
            }
        }
        out
    }

    fn take(&mut self, node: &str, key: &str, value: &str) {
        let refused = match key {
            keys::NODE_UDP_PORT => {
                self.udp_port = parse_port(value);
                self.udp_port.is_none().then_some("a port from 1 to 65535")
            }
            keys::NODE_PUBLIC_IP => {
                self.public_ip = Some(value.to_owned());
                None
            }
            keys::NODE_NATT_DISCOVERY_PORT => {
                self.nat_discovery_port = parse_port(value);
                self.nat_discovery_port.is_none().then_some("a port from 1 to 65535")
            }
            keys::NODE_PREFERRED_SERVER => {
                self.prefers_server = parse_bool(value);
                self.prefers_server.is_none().then_some("true or false")
            }
            _ => Some("a setting that this version knows"),
        };
        if let Some(expected) = refused {
            self.problems.push(Problem {
                reason: "InvalidNodeSetting",
                object: format!("Node {node}"),
                field: format!("metadata.annotations[{key}]"),
                what: format!("{value:?} is not {expected}"),
                remedy: "correct or remove the annotation or label; until then the default holds".to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Node {
        let map = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        let mut node = Node::default();
        node.metadata.name = Some("node-1".to_owned());
        node.metadata.labels = map(labels);
        node.metadata.annotations = map(annotations);
        node
    }

    #[test]
    fn annotations_are_stronger_than_labels() {
        let port = keys::NODE_UDP_PORT;
        let settings =
            NodeSettings::of(&node(&[(port, "4501"), (HOSTNAME_LABEL, "host-1")], &[(port, "4502")]));
        assert_eq!(settings.udp_port, Some(4502));
        assert_eq!(settings.hostname, HostName("host-1".to_owned()));
        assert_eq!(NodeSettings::of(&node(&[], &[])).hostname, HostName("node-1".to_owned()));
    }

    #[test]
    fn settings_that_cannot_be_used_are_named_and_change_nothing() {
        let settings = NodeSettings::of(&node(
            &[("gateway.submariner.io/colour", "blue"), (keys::NODE_UDP_PORT, "0")],
            &[(keys::NODE_PREFERRED_SERVER, "perhaps"), (keys::NODE_PUBLIC_IP, "ipv4:192.0.2.1")],
        ));
        assert_eq!(settings.udp_port, None);
        assert_eq!(settings.public_ip.as_deref(), Some("ipv4:192.0.2.1"));
        let said: Vec<String> = settings.problems.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 3);
        assert!(
            said.iter().any(|line| line.contains("gateway.submariner.io/colour") && line.contains("blue"))
        );
    }
}
