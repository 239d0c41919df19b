//! From an Endpoint as somebody wrote it to one that cannot be wrong.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use subm_types::{
    Backend, CableName, ClusterId, ClusterUid, Epoch, HostName, PerFamily, Problem, tunnel_networks,
};

use crate::backend_config::InvalidValue;
use crate::endpoint::{AddressField, Endpoint, EndpointSpec};
use crate::keys;
use crate::resource::Kind;

/// The most networks that one object may name.
pub const MAX_NETWORKS: usize = 256;
/// The longest `cable_name` that is taken.
pub const MAX_CABLE_NAME: usize = 200;
const MAX_ADDRESSES: usize = 2;
const MAX_HOSTNAME: usize = 253;
const MAX_UID: usize = 128;
const MAX_BACKEND: usize = 63;
const MAX_SETTINGS: usize = 64;
const MAX_SETTINGS_BYTES: usize = 8192;
/// The shortest prefixes of either family: a network larger than this is no cluster's, but most of the Internet.
const SHORTEST_PREFIX: (u8, u8) = (8, 16);

/// What is wrong with one object, field by field.
#[derive(Debug)]
pub(crate) struct Faults {
    object: String,
    problems: Vec<Problem>,
}

impl From<Faults> for Vec<Problem> {
    fn from(faults: Faults) -> Self {
        faults.problems
    }
}

impl Faults {
    pub(crate) fn of<K: Kind>(object: &K) -> Self {
        let name = object.metadata().name.as_deref().unwrap_or("without a name");
        Self { object: format!("{} {}", K::KIND, clip(name)), problems: Vec::new() }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, reason: &'static str, field: &str, what: String, remedy: &str) {
        let (object, field, remedy) = (self.object.clone(), field.to_owned(), remedy.to_owned());
        self.problems.push(Problem { reason, object, field, what, remedy });
    }

    pub(crate) fn cluster_id(&mut self, text: &str) -> Option<ClusterId> {
        let id = text.parse().ok();
        if id.is_none() {
            let what = format!("{:?} is no cluster id", clip(text));
            let remedy = "join that cluster with an id of 1 to 63 lower-case letters, digits and '-'";
            self.add("InvalidClusterID", "spec.cluster_id", what, remedy);
        }
        id
    }

    pub(crate) fn cluster_uid(&mut self, metadata: &ObjectMeta) -> Option<ClusterUid> {
        let text = annotation(metadata, keys::CLUSTER_UID)?;
        if text.is_empty() || text.len() > MAX_UID || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = format!("{:?} is no UID", clip(text));
            self.add(
                "InvalidClusterUID",
                &annotation_field(keys::CLUSTER_UID),
                what,
                "restart that cluster's gateway",
            );
            return None;
        }
        Some(ClusterUid(text.to_owned()))
    }

    pub(crate) fn networks(&mut self, field: &str, list: &[String], limit: usize) -> Vec<IpNet> {
        self.count(field, list.len(), limit);
        let numbered = list.iter().take(limit).enumerate();
        numbered.filter_map(|(index, text)| self.network(&format!("{field}[{index}]"), text)).collect()
    }

    fn network(&mut self, field: &str, text: &str) -> Option<IpNet> {
        let remedy = "correct the networks that this cluster was joined with, in the form 10.0.0.0/16";
        let Ok(net) = text.parse::<IpNet>() else {
            self.add("InvalidCIDR", field, format!("{:?} is no network", clip(text)), remedy);
            return None;
        };
        let net = net.trunc();
        if let Some(what) = reserved(&net) {
            self.add("ReservedCIDR", field, format!("{net} is or contains {what}"), remedy);
            return None;
        }
        let shortest = if net.addr().is_ipv4() { SHORTEST_PREFIX.0 } else { SHORTEST_PREFIX.1 };
        if net.prefix_len() < shortest {
            self.add("TooLargeCIDR", field, format!("{net} is larger than /{shortest}"), remedy);
            return None;
        }
        Some(net)
    }

    fn count(&mut self, field: &str, count: usize, limit: usize) {
        if count > limit {
            let what = format!("{count} entries, more than {limit}");
            self.add("TooManyEntries", field, what, "publish fewer");
        }
    }

    fn addresses(&mut self, spec: &EndpointSpec, field: AddressField) -> PerFamily<IpAddr> {
        let (list_name, singular_name) = field.names();
        let (list, singular) = spec.raw(field);
        self.count(&format!("spec.{list_name}"), list.len(), MAX_ADDRESSES);
        let listed = list.iter().take(MAX_ADDRESSES).enumerate();
        let named = listed.map(|(index, text)| (format!("spec.{list_name}[{index}]"), text));
        let single = Some((format!("spec.{singular_name}"), singular)).filter(|(_, text)| !text.is_empty());
        PerFamily::of(named.chain(single).filter_map(|(field, text)| self.address(&field, text)))
    }

    fn address(&mut self, field: &str, text: &str) -> Option<IpAddr> {
        let address = text.parse::<IpAddr>().ok().filter(is_host);
        if address.is_none() {
            let what = format!("{:?} is no address of a host", clip(text));
            self.add("InvalidIP", field, what, "check the addresses of that cluster's gateway node");
        }
        address
    }

    fn setting<T>(&mut self, value: Result<T, InvalidValue>) -> Option<T> {
        value
            .map_err(|cause| {
                let field = format!("spec.backend_config.{}", cause.key);
                let what = format!("{:?} is not {}", clip(&cause.value), cause.expected);
                self.add(
                    "InvalidBackendConfig",
                    &field,
                    what,
                    "correct the setting on that cluster's gateway node",
                );
            })
            .ok()
    }

    fn cable_name(&mut self, text: &str) -> CableName {
        let sane = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if text.is_empty() || text.len() > MAX_CABLE_NAME || !text.bytes().all(sane) {
            let what = format!("{:?} is no cable name", clip(text));
            let remedy = "restart that cluster's gateway, which derives it from cluster id and address";
            self.add("InvalidCableName", "spec.cable_name", what, remedy);
        }
        CableName(text.to_owned())
    }

    fn backend(&mut self, text: &str) -> Backend {
        if text.len() > MAX_BACKEND || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = format!("{:?} is no cable driver", clip(text));
            self.add("InvalidBackend", "spec.backend", what, "join that cluster with a known cable driver");
        }
        Backend::from(text)
    }

    /// Every gateway and every node repeats these in its status, so that one member could fill others' API servers.
    fn settings(&mut self, spec: &EndpointSpec) {
        let settings = &spec.backend_config;
        let bytes: usize = settings.iter().map(|(key, value)| key.len() + value.len()).sum();
        if settings.len() > MAX_SETTINGS || bytes > MAX_SETTINGS_BYTES {
            let what = format!(
                "{} entries of {bytes} bytes, more than {MAX_SETTINGS} or {MAX_SETTINGS_BYTES}",
                settings.len()
            );
            self.add("TooManyEntries", "spec.backend_config", what, "publish fewer");
        }
    }

    fn hostname(&mut self, text: &str) -> HostName {
        if text.len() > MAX_HOSTNAME || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = format!("{:?} is no host name", clip(text));
            self.add(
                "InvalidHostname",
                "spec.hostname",
                what,
                "check the host name of that cluster's gateway node",
            );
        }
        HostName(text.to_owned())
    }

    fn epoch(&mut self, metadata: &ObjectMeta) -> Option<Epoch> {
        let text = annotation(metadata, keys::EPOCH)?;
        let epoch = text.parse().ok().map(Epoch);
        if epoch.is_none() {
            let what = format!("{:?} is no whole number", clip(text));
            self.add("InvalidEpoch", &annotation_field(keys::EPOCH), what, "restart that cluster's gateway");
        }
        epoch
    }
}

impl TryFrom<&Endpoint> for subm_types::Endpoint {
    type Error = Vec<Problem>;

    fn try_from(object: &Endpoint) -> Result<Self, Self::Error> {
        let mut faults = Faults::of(object);
        let (metadata, spec) = (&object.metadata, &object.spec);
        let cluster = faults.cluster_id(&spec.cluster_id);
        let cable_name = faults.cable_name(&spec.cable_name);
        let hostname = faults.hostname(&spec.hostname);
        let backend = faults.backend(&spec.backend);
        faults.settings(spec);
        let subnets = faults.networks("spec.subnets", &spec.subnets, MAX_NETWORKS);
        let private_ips = faults.addresses(spec, AddressField::Private);
        let public_ips = faults.addresses(spec, AddressField::Public);
        let health_check_ips = faults.addresses(spec, AddressField::HealthCheck);
        if private_ips.iter().next().is_none() && faults.is_empty() {
            let remedy = "check the addresses of that cluster's gateway node";
            faults.add("MissingIP", "spec.private_ip", "no address is published".to_owned(), remedy);
        }
        let udp_port = faults.setting(spec.udp_port());
        let nat_discovery_port = faults.setting(spec.nat_discovery_port());
        let interface_name = faults.setting(spec.interface_name());
        let public_key = faults.setting(spec.public_key());
        let preferred_server = faults.setting(spec.preferred_server());
        let cluster_uid = faults.cluster_uid(metadata);
        let epoch = faults.epoch(metadata);
        match (cluster, udp_port) {
            (Some(cluster), Some(udp_port)) if faults.is_empty() => Ok(Self {
                object: metadata.name.clone().unwrap_or_default(),
                cluster,
                cable_name,
                hostname,
                subnets,
                private_ips,
                public_ips,
                health_check_ips,
                // What is behind a load balancer is reached by that.
                nat_enabled: spec.nat_enabled || spec.behind_load_balancer(),
                backend,
                udp_port,
                nat_discovery_port: nat_discovery_port.flatten(),
                interface_name: interface_name.flatten(),
                public_key: public_key.flatten(),
                preferred_server: preferred_server.flatten(),
                cluster_uid,
                epoch,
                created: metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
            }),
            _ => Err(faults.into()),
        }
    }
}

/// The value of one annotation.
pub fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// The value of one label.
pub fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn annotation_field(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}

/// What a network touches that never belongs to a cluster's pods or services.
fn reserved(net: &IpNet) -> Option<&'static str> {
    const RESERVED: [(&str, &str); 11] = [
        ("127.0.0.0/8", "loopback addresses"),
        ("169.254.0.0/16", "link-local addresses"),
        ("224.0.0.0/4", "multicast addresses"),
        ("::1/128", "the loopback address"),
        ("fe80::/10", "link-local addresses"),
        ("ff00::/8", "multicast addresses"),
        ("::ffff:0:0/96", "IPv4 addresses in another form"),
        ("0.0.0.0/32", "the unspecified address"),
        ("255.255.255.255/32", "the broadcast address"),
        // Where a node asks the kernel which address it sends from: whoever took these would rename its gateway.
        ("192.88.99.0/24", "addresses of 6to4 relays"),
        ("2002:c058:6301::/48", "addresses of 6to4 relays"),
    ];
    let touches =
        |text: &str| text.parse::<IpNet>().is_ok_and(|other| other.contains(net) || net.contains(&other));
    let tunnels = || tunnel_networks().overlap(net).map(|_| "addresses of tunnels");
    RESERVED.iter().find(|(text, _)| touches(text)).map(|&(_, what)| what).or_else(tunnels)
}

/// Tells whether an address can be that of one host, wherever it is sent from.
fn is_host(address: &IpAddr) -> bool {
    let special = match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_link_local() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some() || v6.is_unicast_link_local(),
    };
    !(special || address.is_unspecified() || address.is_multicast() || address.is_loopback())
}

/// Enough of a foreign text for a message.
fn clip(text: &str) -> String {
    const LIMIT: usize = 100;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
