//! Our own end of the cables, as we publish it.

use std::net::IpAddr;

use subm_api::endpoint::AddressField;
use subm_api::{EndpointSpec, backend_config, names};
use subm_cable::{IpsecLocal, IpsecProof, Local, driver};
use subm_plan::HostFacts;
use subm_sync::Takeover;
use subm_types::{
    CableName, CidrSet, Endpoint, Epoch, Family, HostName, IkeSecret, PerFamily, Planned, Problem,
};

use crate::node::NodeSettings;
use crate::public_address::{self, Known};
use crate::settings::Config;

/// What this cluster and node are, for the cable driver.
///
/// COMPAT: an end has the families of its networks, whatever else the node has.
pub(crate) fn local(config: &Config, node: &NodeSettings, uplink: PerFamily<IpAddr>) -> Local {
    let networks = config.networks();
    let used = |family: Family| networks.iter().any(|net| Family::of_net(net) == family);
    let private_ips = uplink.iter().filter(|(family, _)| used(*family)).map(|(_, address)| *address);
    Local {
        cluster: config.cluster.clone(),
        uid: None,
        private_ips: PerFamily::of(private_ips),
        networks: networks.into_iter().collect(),
        pod_networks: config.pod_networks(),
        driver: config.driver.clone(),
        udp_port: node.udp_port.unwrap_or(config.udp_port),
        wireguard: None,
        ipsec: None,
        in_clear: config.in_clear,
        wireguard_carrier: config.wireguard_carrier.clone(),
    }
}

/// What IPsec cables need of this end, once it has an address and the secret is known.
pub(crate) fn ipsec(
    config: &Config,
    node: &NodeSettings,
    local: &Local,
    (secret, since): (Option<&IkeSecret>, Option<i64>),
) -> Option<IpsecLocal> {
    Some(IpsecLocal {
        cable_name: cable_name(local)?,
        subnets: config.networks(),
        proof: IpsecProof::Secret(secret?.clone()),
        encapsulated: config.ipsec.encapsulated,
        prefers_server: node.prefers_server.unwrap_or(config.ipsec.prefers_server),
        server_since: since,
    })
}

/// Where we answer to NAT discovery.
pub(crate) fn nat_discovery_port(node: &NodeSettings) -> u16 {
    node.nat_discovery_port.unwrap_or(backend_config::DEFAULT_NATT_DISCOVERY_PORT)
}

/// The name of our end; it needs an address.
pub(crate) fn cable_name(local: &Local) -> Option<CableName> {
    let (_, private) = local.private_ips.iter().next()?;
    Some(CableName(names::cable_name(&local.cluster, *private)))
}

/// Our Endpoint, unless the address, the driver or what it needs is missing; their absence is told by the cable plan.
pub(crate) fn spec(
    config: &Config,
    node: &NodeSettings,
    (local, facts): (&Local, &HostFacts),
    known: Known<'_>,
) -> Planned<Option<EndpointSpec>> {
    let (Some(cable), Some(name)) = (driver(&local.driver), cable_name(local)) else {
        return Planned::default();
    };
    if cable.lacks(local).is_some() {
        return Planned::default();
    }
    let mut problems = Vec::new();
    let mut spec = EndpointSpec {
        cluster_id: config.cluster.to_string(),
        cable_name: name.0,
        hostname: node.hostname.0.clone(),
        subnets: config.networks().iter().map(ToString::to_string).collect(),
        nat_enabled: config.nat_enabled,
        backend: cable.backend().to_string(),
        backend_config: cable.advertise(local),
        ..EndpointSpec::default()
    };
    let port = nat_discovery_port(node).to_string();
    spec.backend_config.insert(backend_config::NATT_DISCOVERY_PORT.to_owned(), port);
    for (_, address) in local.private_ips.iter() {
        spec.set_address(AddressField::Private, *address);
    }
    let asked = public_address::asked(config, node);
    let public = public_address::resolve(config, &asked, local, known);
    problems.extend(public.problems);
    for (_, address) in public.value.iter() {
        spec.set_address(AddressField::Public, *address);
    }
    if asked.resolvers.load_balanced() {
        spec.backend_config.insert(backend_config::USING_LOADBALANCER.to_owned(), "true".to_owned());
    }
    if let Some(resolvers) = &node.public_ip {
        spec.backend_config.insert("public-ip".to_owned(), resolvers.clone());
    }
    if config.health.is_some() {
        for pods in
            Family::ALL.map(|family| local.pod_networks.of(family)).iter().filter(|pods| !pods.is_empty())
        {
            match Family::ALL.iter().find_map(|family| facts.link_within(pods, *family)) {
                Some((_, address)) => spec.set_address(AddressField::HealthCheck, address),
                None => problems.push(no_health_check_address(config, pods)),
            }
        }
    }
    Planned { value: Some(spec), problems }
}

fn no_health_check_address(config: &Config, pods: &CidrSet) -> Problem {
    Problem {
        reason: "NoHealthCheckAddress",
        object: format!("Node {}", config.node_name),
        field: "SUBMARINER_CLUSTERCIDR".to_owned(),
        what: format!("no interface of the node has an address in {pods}"),
        remedy: "check the pod CIDR and the network plug-in, or set SUBMARINER_HEALTHCHECKENABLED=false; peers cannot probe this cluster until then".to_owned(),
    }
}

/// The epoch that our Endpoint carries: that of the latest takeover if it is ours already, at home or on the hub, else
/// the next one. A restart is no takeover, and an Endpoint of ours that is not written on both sides yet is none either.
pub(crate) fn epoch(
    ours: &CableName,
    hostname: &HostName,
    known: &[Endpoint],
    latest: Option<&Takeover>,
) -> Epoch {
    let at_home = known
        .iter()
        .filter_map(|one| Some((one.epoch?, one.cable_name == *ours && one.hostname == *hostname)));
    let latest = latest.map(|one| (one.epoch, one.cable_name == *ours && one.hostname == *hostname));
    let takeovers: Vec<(Epoch, bool)> = at_home.chain(latest).collect();
    let seen = takeovers.iter().map(|(epoch, _)| *epoch).max().unwrap_or_default();
    let mut last = takeovers.iter().filter(|(epoch, _)| *epoch == seen).peekable();
    if last.peek().is_some() && last.all(|(_, is_ours)| *is_ours) { seen } else { seen.next() }
}

/// The public addresses under which our end was published last.
pub(crate) fn published(
    ours: Option<&CableName>,
    hostname: &HostName,
    own: &[Endpoint],
) -> PerFamily<IpAddr> {
    let same = |one: &&Endpoint| Some(&one.cable_name) == ours && one.hostname == *hostname;
    own.iter().find(same).map(|one| one.public_ips).unwrap_or_default()
}

/// The Endpoint that supersedes all others.
pub(crate) fn newest(endpoints: &[Endpoint]) -> Option<&Endpoint> {
    endpoints.iter().reduce(|best, other| if other.supersedes(best) { other } else { best })
}
