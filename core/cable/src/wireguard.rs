//! Encrypted cables: WireGuard with the parameters of the Go implementation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use subm_plan::numbers::{METRIC_CABLE, TABLE_REMOTE, WIREGUARD_OVERHEAD};
use subm_plan::{Link, NodePlan, PeerEvidence, Route, RouteKey, SysctlKey, WireguardDevice, WireguardPeer};
use subm_types::{
    Backend, CableId, CidrSet, Endpoint, Family, IfName, Mtu, Planned, PresharedKey, PrivateKey, Problem,
    PublicKey,
};

use crate::families::common;
use crate::status::unprobed;
use crate::tunnel::Refuse as _;
use crate::vxlan::outside_rules;
use crate::{
    Accepted, Cable, CablePlan, GatewayView, Local, ProbeAddresses, Probed, State, Status, Tunnel, Unprobed,
    Way,
};

/// COMPAT: seconds of silence after which something is sent.
const KEEPALIVE: u16 = 10;
/// A session that carries traffic is renewed every 120 s and thrown away after 180 s.
const FRESH_SECONDS: u64 = 180;
/// Reverse-path filtering that accepts any source that is routable at all (RFC 3704 §2.4).
const LOOSE: u32 = 2;
/// `IN6_ADDR_GEN_MODE_NONE`: the device has no addresses, as the kernel's own has none.
const NO_ADDRESSES: u32 = 1;

/// The WireGuard driver.
#[derive(Debug, Clone, Copy)]
pub struct WireguardCable;

/// What the driver proves this end with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireguardKeys {
    /// The device's own key.
    pub private: PrivateKey,
    /// What peers know it by.
    pub public: PublicKey,
    /// The secret of the whole clusterset.
    pub preshared: PresharedKey,
}

pub(crate) fn link_name() -> IfName {
    IfName::constant("submariner")
}

/// The end of the pair that the process reads where it can open no TUN device.
fn other_end() -> IfName {
    IfName::constant("submariner-wg")
}

impl Cable for WireguardCable {
    fn backend(&self) -> Backend {
        Backend::Wireguard
    }

    fn lacks(&self, local: &Local) -> Option<Problem> {
        local.wireguard.is_none().then(no_keys)
    }

    fn advertise(&self, local: &Local) -> BTreeMap<String, String> {
        let mut out = BTreeMap::from([
            ("udp-port".to_owned(), local.udp_port.to_string()),
            ("interface-name".to_owned(), link_name().to_string()),
        ]);
        if let Some(keys) = &local.wireguard {
            out.insert("publicKey".to_owned(), keys.public.to_string());
        }
        out
    }

    fn plan(&self, view: &GatewayView, accepted: &Accepted) -> Planned<CablePlan> {
        let mut out = Planned::<CablePlan>::default();
        let Some(keys) = &view.local.wireguard else {
            out.problems.push(no_keys());
            return out;
        };
        let mut taken = BTreeMap::from([(keys.public, "this gateway".to_owned())]);
        for endpoint in &accepted.followed {
            let families = common(&view.local, endpoint);
            out.problems.extend(families.problems);
            match outside(endpoint, view, &mut taken) {
                Ok(outside) => {
                    let tunnels =
                        families.value.into_iter().map(|family| tunnel(endpoint, family, (outside, view)));
                    out.value.tunnels.extend(tunnels);
                }
                Err(problem) => out.refuse_all(families.value, endpoint, &problem),
            }
        }
        let own = own_end(view);
        out.problems.extend(own.problems);
        out.value.node = own.value;
        let mut device = WireguardDevice {
            private_key: keys.private.clone(),
            listen_port: view.local.udp_port,
            peers: BTreeMap::new(),
        };
        for tunnel in out.value.tunnels.values() {
            connect(&mut out.value.node, &mut device, (tunnel, view));
        }
        let CablePlan { node, tunnels, .. } = &mut out.value;
        node.wireguard.insert(link_name(), device);
        node.rules.extend(outside_rules(tunnels));
        out
    }

    fn status(&self, _: &Tunnel, probed: Probed, evidence: Option<PeerEvidence>) -> Status {
        Status::from_probes(probed, |why| unprobed_peer(why, evidence))
    }

    fn encrypts(&self) -> bool {
        true
    }
}

/// What handshakes tell where nobody probes.
fn unprobed_peer(why: Unprobed, evidence: Option<PeerEvidence>) -> Status {
    let said = |state, what: String| Status { state, message: format!("{}; {what}", why.words()) };
    match evidence.map(|evidence| evidence.handshake.map(|age| age.as_secs())) {
        None => unprobed(why),
        Some(None) => said(State::Connecting, "no handshake yet".to_owned()),
        Some(Some(age)) if age <= FRESH_SECONDS => {
            said(State::Connected, format!("last handshake {age} s ago"))
        }
        Some(Some(age)) => said(State::Error, format!("no handshake for {age} s")),
    }
}

/// The link.
fn own_end(view: &GatewayView) -> Planned<NodePlan> {
    let mut node = NodePlan::default();
    let families = view.local.families();
    let (kind, problem) = view.local.wireguard_carrier.link(&view.facts, other_end());
    node.links
        .insert(link_name(), Link { kind, mtu: mtu_inside(view, &families, WIREGUARD_OVERHEAD), mac: None });
    // KERNEL: the filter in force is the larger of the link's and that of `all`, and loose beats strict.
    node.sysctls.insert(SysctlKey::RpFilter(link_name()), LOOSE);
    for family in families {
        node.sysctls.insert(SysctlKey::LinkForwarding(family, link_name()), 1);
        if family == Family::V6 {
            node.sysctls.insert(SysctlKey::AddrGenMode(link_name()), NO_ADDRESSES);
        }
    }
    Planned { value: node, problems: problem.into_iter().collect() }
}

/// What fits into the smallest link that carries the cables, over IPv6: as much as the kernel's own devices take
/// off, so that a peer that comes over the other family changes nothing. IPv6 inside needs 1280 whatever the
/// outer packets then weigh; those are cut into fragments.
pub(crate) fn mtu_inside(view: &GatewayView, inner: &BTreeSet<Family>, overhead: u32) -> Option<Mtu> {
    let facts = &view.facts;
    let uplink = |(family, address): (Family, &IpAddr)| {
        let by_address = facts.link_with(*address).map(|(_, link)| link);
        let by_route = || facts.default_route.get(family).and_then(|name| facts.links.get(name));
        by_address.or_else(by_route)?.mtu
    };
    let inside = view.local.private_ips.iter().filter_map(uplink).min()?.inside(overhead);
    Some(if inner.contains(&Family::V6) { inside.max(Mtu::IPV6_MIN) } else { inside })
}

fn refuse(endpoint: &Endpoint, reason: &'static str, field: &str, (what, remedy): (String, &str)) -> Problem {
    let object = format!("Endpoint {}", endpoint.object);
    Problem { reason, object, field: field.to_owned(), what, remedy: remedy.to_owned() }
}

/// Where a remote end is, and its key.
#[derive(Debug, Clone, Copy)]
struct Outside {
    key: PublicKey,
    using_ip: IpAddr,
    using_nat: bool,
}

/// The other end of a peer. It has one, in a family in which both gateways have an address, whatever goes inside.
fn outside(
    endpoint: &Endpoint,
    view: &GatewayView,
    taken: &mut BTreeMap<PublicKey, String>,
) -> Result<Outside, Problem> {
    const KEY: &str = "spec.backend_config.publicKey";
    // A way that answers is better than one in the other family that nobody has tried.
    let told = || {
        Family::ALL.into_iter().find_map(|family| {
            view.local.private_ips.get(family)?;
            view.way_to(endpoint, family)
        })
    };
    let outer = view.found_to(endpoint).or_else(told);
    let Some(Way { address: using_ip, nat: using_nat }) = outer else {
        let what = "it has no address of a family in which this gateway node has one".to_owned();
        let remedy = "give both gateway nodes an address of the same family";
        return Err(refuse(endpoint, "NoCommonFamily", "spec.privateIPs", (what, remedy)));
    };
    let Some(key) = endpoint.public_key else {
        let what = "a wireguard cable needs the public key of the other end, and there is none".to_owned();
        let remedy = "restart that cluster's gateway, which publishes it";
        return Err(refuse(endpoint, "MissingPublicKey", KEY, (what, remedy)));
    };
    if let Some(other) = taken.get(&key) {
        let what = format!("{} is the key of {other}", key.short());
        let remedy = "delete the Secret with the key of one of the gateways and restart it, so that it makes a new one";
        return Err(refuse(endpoint, "DuplicatePublicKey", KEY, (what, remedy)));
    }
    taken.insert(key, format!("cluster {}", endpoint.cluster));
    Ok(Outside { key, using_ip, using_nat })
}

/// What goes to a peer in one family.
fn tunnel(
    endpoint: &Endpoint,
    family: Family,
    (outside, view): (Outside, &GatewayView),
) -> (CableId, Tunnel) {
    let Outside { key, using_ip, using_nat } = outside;
    let (cluster, path) = (endpoint.cluster.clone(), endpoint.cable_name.clone());
    let from = plugin_address(view, family);
    let probe = endpoint.health_check_ips.get(family).map(|to| ProbeAddresses { to: *to, from });
    let networks = endpoint.subnet_set().of(family);
    let tunnel = Tunnel {
        endpoint: endpoint.clone(),
        networks,
        using_ip,
        using_nat,
        probe,
        peer: Some(key),
        pairs: Vec::new(),
    };
    (CableId { cluster, family, path }, tunnel)
}

fn plugin_address(view: &GatewayView, family: Family) -> Option<IpAddr> {
    view.facts.link_within(&view.local.pod_networks, family).map(|(_, address)| address)
}

/// Adds the peer, or another family to it, and the ways to what is behind it.
fn connect(node: &mut NodePlan, device: &mut WireguardDevice, (tunnel, view): (&Tunnel, &GatewayView)) {
    let (Some(key), Some(keys)) = (tunnel.peer, &view.local.wireguard) else { return };
    let peer = device.peers.entry(key).or_insert_with(|| WireguardPeer {
        preshared_key: Some(keys.preshared.clone()),
        endpoint: SocketAddr::new(tunnel.using_ip, tunnel.endpoint.udp_port),
        allowed: CidrSet::default(),
        keepalive: KEEPALIVE,
    });
    peer.allowed = peer.allowed.iter().chain(tunnel.networks.iter()).collect();
    for dst in tunnel.networks.iter() {
        let src = plugin_address(view, Family::of_net(&dst));
        let route = Route { src, ..Route::dev(link_name()) };
        node.routes.insert(RouteKey { table: TABLE_REMOTE, dst, metric: METRIC_CABLE }, route);
    }
}

fn no_keys() -> Problem {
    Problem {
        reason: "NoWireguardKey",
        object: "gateway node".to_owned(),
        field: "wireguard".to_owned(),
        what: "the key of this gateway or the preshared key is not known yet".to_owned(),
        remedy: "see the condition WireguardKeyReady; the gateway goes on by itself".to_owned(),
    }
}

#[cfg(test)]
#[path = "wireguard_tests.rs"]
mod tests;
