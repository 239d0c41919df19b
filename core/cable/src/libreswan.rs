//! Encrypted cables: IKE version 2 and ESP by libreswan, with the parameters of the Go implementation.
//!
//! Each pair of a subnet of this cluster and a subnet of the other is a connection of its own. Packets enter and leave
//! them by one link, so that routes lead into the cables as they do with every other driver, and what no association
//! carries goes nowhere. The other end sees no difference.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use subm_plan::ipsec::{
    ConnectionName, IkeId, IkeProof, IpsecConnection, IpsecEnd, IpsecEvidence, IpsecRole,
};
use subm_plan::numbers::{IPSEC_INTERFACE, IPSEC_OVERHEAD, METRIC_CABLE, TABLE_REMOTE};
use subm_plan::{Link, LinkKind, NodePlan, PeerEvidence, Route, RouteKey, SysctlKey};
use subm_types::{Backend, CableId, CableName, Endpoint, Family, IfName, IkeSecret, Planned, Problem};

use crate::families::{shared, without_uplink};
use crate::status::unprobed;
use crate::tunnel::Refuse as _;
use crate::vxlan::{outside_rules, plugin_address};
use crate::wireguard::mtu_inside;
use crate::{
    Accepted, Cable, CablePlan, GatewayView, Local, ProbeAddresses, Probed, State, Status, Tunnel, TunnelPair,
};

/// Reverse-path filtering that accepts any source that is routable at all (RFC 3704 §2.4).
const LOOSE: u32 = 2;
/// `IN6_ADDR_GEN_MODE_NONE`: packets of the link's own would find no association.
const NO_ADDRESSES: u32 = 1;
/// As many pairs of subnets one remote cluster may cost us in one family.
const MOST_PAIRS: usize = 64;
/// As many pairs that are down are named.
const NAMED: usize = 4;

/// The libreswan driver.
#[derive(Debug, Clone, Copy)]
pub struct LibreswanCable;

/// How this end proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IpsecProof {
    /// By the secret of the whole clusterset.
    Secret(IkeSecret),
    /// By the certificate of this name in the daemon's database.
    Certificate(&'static str),
}

/// What the driver needs of this end beside its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpsecLocal {
    /// The name of this end.
    pub cable_name: CableName,
    /// What this cluster publishes, in that order: the places name the connections.
    pub subnets: Vec<IpNet>,
    /// How it proves who it is.
    pub proof: IpsecProof,
    /// Whether ESP always goes in UDP (`CE_IPSEC_FORCEENCAPS`).
    pub encapsulated: bool,
    /// Whether others are to call this end and not the other way round.
    pub prefers_server: bool,
    /// Since when the daemon can be called, in Unix seconds: Go members call again when that changes.
    pub server_since: Option<i64>,
}

fn link_name() -> IfName {
    // The daemon makes the name of the identifier.
    IfName::constant("ipsec83")
}

impl Cable for LibreswanCable {
    fn backend(&self) -> Backend {
        Backend::Libreswan
    }

    fn lacks(&self, local: &Local) -> Option<Problem> {
        local.ipsec.is_none().then(no_proof)
    }

    fn advertise(&self, local: &Local) -> BTreeMap<String, String> {
        let ipsec = local.ipsec.as_ref();
        let server = ipsec.is_some_and(|ipsec| ipsec.prefers_server);
        let mut out = BTreeMap::from([
            ("udp-port".to_owned(), local.udp_port.to_string()),
            ("preferred-server".to_owned(), server.to_string()),
        ]);
        if let Some(since) = ipsec.and_then(|ipsec| ipsec.server_since).filter(|_| server) {
            out.insert("preferred-server-timestamp".to_owned(), since.to_string());
        }
        out
    }

    fn plan(&self, view: &GatewayView, accepted: &Accepted) -> Planned<CablePlan> {
        let mut out = Planned { value: CablePlan::default(), problems: without_uplink(&view.local) };
        let Some(ipsec) = &view.local.ipsec else {
            out.problems.push(no_proof());
            return out;
        };
        out.value.node = own_end(view);
        if let IpsecProof::Secret(secret) = &ipsec.proof {
            out.value.ipsec.secret = Some(secret.clone());
        }
        for endpoint in &accepted.followed {
            // COMPAT: packets of a family travel in packets of the same family.
            let families = shared(&view.local, endpoint);
            out.problems.extend(families.problems);
            let all = families.value.into_iter();
            for ends in all.filter_map(|family| Ends::of(endpoint, family, (view, ipsec))) {
                match ends.connections().and_then(|all| ends.unless_taken(all, &out.value)) {
                    Ok(connections) => connect(&mut out.value, &ends, connections),
                    Err(problem) => out.refuse(ends.id(), endpoint, problem),
                }
            }
        }
        let CablePlan { node, tunnels, .. } = &mut out.value;
        node.rules.extend(outside_rules(tunnels));
        out
    }

    fn status(&self, _: &Tunnel, probed: Probed, _: Option<PeerEvidence>) -> Status {
        Status::from_probes(probed, unprobed)
    }

    fn refine(&self, status: Status, tunnel: &Tunnel, evidence: &IpsecEvidence) -> Status {
        let up = |pair: &&TunnelPair| evidence.get(pair.name.as_str()).is_some_and(|pair| pair.up);
        let down: Vec<&TunnelPair> = tunnel.pairs.iter().filter(|pair| !up(pair)).collect();
        let all = tunnel.pairs.len();
        if down.is_empty() {
            let message = || format!("not probed; all {all} pairs of security associations are up");
            return match status.state {
                State::Unknown => Status { state: State::Connected, message: message() },
                State::Connected | State::Connecting | State::Error => status,
            };
        }
        let mut named: Vec<String> =
            down.iter().take(NAMED).map(|pair| format!("{} to {}", pair.local, pair.remote)).collect();
        named.extend((down.len() > NAMED).then(|| format!("{} more", down.len() - NAMED)));
        let what = format!("no security association for {} of {all}: {}", down.len(), named.join(", "));
        match status.state {
            State::Error => Status { message: format!("{}; {what}", status.message), ..status },
            State::Connected | State::Connecting | State::Unknown => {
                Status { state: State::Connecting, message: what }
            }
        }
    }

    fn encrypts(&self) -> bool {
        true
    }
}

/// The link.
fn own_end(view: &GatewayView) -> NodePlan {
    let mut node = NodePlan::default();
    let families = view.local.families();
    let mtu = mtu_inside(view, &families, IPSEC_OVERHEAD);
    node.links.insert(link_name(), Link { kind: LinkKind::Xfrm(IPSEC_INTERFACE), mtu, mac: None });
    // KERNEL: the filter in force is the larger of the link's and that of `all`, and loose beats strict.
    node.sysctls.insert(SysctlKey::RpFilter(link_name()), LOOSE);
    for family in families {
        node.sysctls.insert(SysctlKey::LinkForwarding(family, link_name()), 1);
        if family == Family::V6 {
            node.sysctls.insert(SysctlKey::AddrGenMode(link_name()), NO_ADDRESSES);
        }
    }
    node
}

/// Adds the tunnel and the ways to what is behind it.
fn connect(plan: &mut CablePlan, ends: &Ends<'_>, connections: BTreeMap<ConnectionName, IpsecConnection>) {
    let Ends { endpoint, family, view, using, nat, .. } = *ends;
    let from = plugin_address(view, family);
    let networks = endpoint.subnet_set().of(family);
    for dst in networks.iter() {
        let route = Route { src: from, ..Route::dev(link_name()) };
        plan.node.routes.insert(RouteKey { table: TABLE_REMOTE, dst, metric: METRIC_CABLE }, route);
    }
    let pair = |(name, connection): (&ConnectionName, &IpsecConnection)| TunnelPair {
        name: name.clone(),
        local: connection.local.network,
        remote: connection.remote.network,
    };
    let tunnel = Tunnel {
        endpoint: endpoint.clone(),
        networks,
        using_ip: using,
        using_nat: nat,
        probe: endpoint.health_check_ips.get(family).map(|to| ProbeAddresses { to: *to, from }),
        peer: None,
        pairs: connections.iter().map(pair).collect(),
    };
    plan.tunnels.insert(ends.id(), tunnel);
    plan.ipsec.connections.extend(connections);
}

/// Both ends of the connections to one remote gateway in one family.
#[derive(Clone, Copy)]
struct Ends<'a> {
    endpoint: &'a Endpoint,
    family: Family,
    view: &'a GatewayView,
    ipsec: &'a IpsecLocal,
    /// This gateway's own address, and the other's.
    private: IpAddr,
    their_private: IpAddr,
    /// Where packets are sent.
    using: IpAddr,
    nat: bool,
}

impl<'a> Ends<'a> {
    fn of(
        endpoint: &'a Endpoint,
        family: Family,
        (view, ipsec): (&'a GatewayView, &'a IpsecLocal),
    ) -> Option<Self> {
        let private = *view.local.private_ips.get(family)?;
        let their_private = *endpoint.private_ips.get(family)?;
        let way = view.way_to(endpoint, family)?;
        let (using, nat) = (way.address, way.nat);
        Some(Self { endpoint, family, view, ipsec, private, their_private, using, nat })
    }

    fn id(&self) -> CableId {
        let Self { endpoint, family, .. } = self;
        CableId { cluster: endpoint.cluster.clone(), family: *family, path: endpoint.cable_name.clone() }
    }

    /// COMPAT: who calls whom; ends that say nothing of it call each other.
    fn role(&self) -> IpsecRole {
        let greater = self.ipsec.cable_name > self.endpoint.cable_name;
        match (self.ipsec.prefers_server, self.endpoint.preferred_server) {
            (_, None) | (false, Some(false)) => IpsecRole::Peer,
            (true, Some(theirs)) if !theirs || greater => IpsecRole::Server,
            (_, Some(_)) => IpsecRole::Client,
        }
    }

    /// A connection of each pair of subnets.
    fn connections(&self) -> Result<BTreeMap<ConnectionName, IpsecConnection>, Problem> {
        let Endpoint { cluster, cable_name, .. } = self.endpoint;
        // COMPAT: every member names its cables so; connections are named after them.
        let start = format!("submariner-cable-{cluster}-");
        if !cable_name.0.starts_with(&start) {
            return Err(self.unusable_name(&format!("{:?} does not begin with {start:?}", cable_name.0)));
        }
        let ours = subnets(&self.ipsec.subnets, self.family, self.private);
        let theirs = subnets(&self.endpoint.subnets, self.family, self.their_private);
        if ours.len() * theirs.len() > MOST_PAIRS {
            return Err(self.too_many(theirs.len()));
        }
        let mut out = BTreeMap::new();
        for (left, local) in ours.iter().enumerate() {
            for (right, remote) in theirs.iter().enumerate() {
                let name = ConnectionName::of(&self.endpoint.cable_name.0, self.family, (left, right));
                let name = name.map_err(|cause| self.unusable_name(&cause.to_string()))?;
                out.insert(name, self.connection((left, *local), (right, *remote)));
            }
        }
        Ok(out)
    }

    /// Refuses connections whose names another Endpoint has: what came first stays as it is. The names of cluster `a-1`
    /// begin like those of a cluster `a`.
    fn unless_taken(
        &self,
        connections: BTreeMap<ConnectionName, IpsecConnection>,
        plan: &CablePlan,
    ) -> Result<BTreeMap<ConnectionName, IpsecConnection>, Problem> {
        if connections.keys().any(|name| plan.ipsec.connections.contains_key(name)) {
            let name = &self.endpoint.cable_name.0;
            return Err(self.unusable_name(&format!("{name:?} is the name of another cluster's cable")));
        }
        Ok(connections)
    }

    /// COMPAT: ends that call each other say who they are by their private addresses, whatever NAT makes of these; where
    /// one end waits for calls from anywhere, by a name of their own for each pair.
    fn connection(&self, (left, local): (usize, IpNet), (right, remote): (usize, IpNet)) -> IpsecConnection {
        let role = self.role();
        let id = |address: IpAddr, own: usize, other: usize| match (&self.ipsec.proof, role) {
            (IpsecProof::Certificate(_), _) => IkeId::Certificate,
            (IpsecProof::Secret(_), IpsecRole::Peer) => IkeId::Address(address),
            (IpsecProof::Secret(_), IpsecRole::Server | IpsecRole::Client) => {
                IkeId::Pair(address, own, other)
            }
        };
        let port = |given: u16, role_without: IpsecRole| (role != role_without).then_some(given);
        IpsecConnection {
            role,
            proof: match self.ipsec.proof {
                IpsecProof::Secret(_) => IkeProof::Secret,
                IpsecProof::Certificate(name) => IkeProof::Certificate(name),
            },
            local: IpsecEnd {
                address: Some(self.private),
                id: id(self.private, left, right),
                network: local,
                port: port(self.view.local.udp_port, IpsecRole::Client),
            },
            remote: IpsecEnd {
                address: (role != IpsecRole::Server).then_some(self.using),
                id: id(self.their_private, right, left),
                network: remote,
                port: port(self.endpoint.udp_port, IpsecRole::Server),
            },
            encapsulated: self.nat || self.ipsec.encapsulated || self.is_inside(),
            interface: IPSEC_INTERFACE,
        }
    }

    /// Whether the other gateway's address lies within what is behind it. Then only its UDP port may be sent to past the
    /// cable, so ESP goes in UDP.
    fn is_inside(&self) -> bool {
        self.endpoint.subnet_set().contains(self.using)
    }

    fn refuse(&self, reason: &'static str, field: &str, (what, remedy): (String, &str)) -> Problem {
        let object = format!("Endpoint {}", self.endpoint.object);
        Problem { reason, object, field: field.to_owned(), what, remedy: remedy.to_owned() }
    }

    fn unusable_name(&self, cause: &str) -> Problem {
        let remedy = "restart that cluster's gateway, which publishes a name made of its address";
        self.refuse("InvalidCableName", "spec.cable_name", (cause.to_owned(), remedy))
    }

    fn too_many(&self, theirs: usize) -> Problem {
        let what = format!(
            "its {theirs} subnets need more than {MOST_PAIRS} security associations with those of this cluster"
        );
        self.refuse("TooManySubnets", "spec.subnets", (what, "publish fewer, wider subnets"))
    }
}

/// COMPAT: the subnets of a family in the published order, without the gateway's own address; the places count after
/// that.
fn subnets(published: &[IpNet], family: Family, private: IpAddr) -> Vec<IpNet> {
    let wanted = |net: &&IpNet| Family::of_net(net) == family && net.addr() != private;
    published.iter().filter(wanted).copied().collect()
}

fn no_proof() -> Problem {
    Problem {
        reason: "NoIpsecSecret",
        object: "gateway node".to_owned(),
        field: "CE_IPSEC_PSKSECRET".to_owned(),
        what: "the secret that all clusters share, or the certificate of this gateway, is not known yet"
            .to_owned(),
        remedy: "see the condition PresharedKeySafe; the gateway goes on by itself".to_owned(),
    }
}

#[cfg(test)]
#[path = "libreswan_tests.rs"]
mod tests;
