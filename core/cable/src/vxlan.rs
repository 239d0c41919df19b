//! Unencrypted cables: VXLAN (RFC 7348), byte for byte as the Go implementation's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use subm_plan::numbers::{METRIC, RULE_CABLE, RULE_OUTSIDE, TABLE_CABLE, VXLAN_OVERHEAD};
use subm_plan::{
    FdbEntry, Link, LinkKind, NodePlan, PeerEvidence, Route, RouteKey, Rule, RuleSelector, SysctlKey,
    TableId, Vxlan,
};
use subm_types::{Backend, CableId, CableVtep, Endpoint, Family, IfName, MacAddress, Mtu, Planned, Problem};

use crate::status::unprobed;
use crate::{Accepted, Cable, CablePlan, GatewayView, Local, ProbeAddresses, Probed, Status, Tunnel};

/// COMPAT: the VXLAN network identifier of cables.
const VNI: u32 = 1000;
/// Reverse-path filtering that accepts any source that is routable at all (RFC 3704 §2.4).
const LOOSE: u32 = 2;
const FAMILY: Family = Family::V4;

/// The VXLAN driver.
#[derive(Debug, Clone, Copy)]
pub struct VxlanCable;

fn link_name() -> IfName {
    IfName::constant("vxlan-tunnel")
}

impl Cable for VxlanCable {
    fn backend(&self) -> Backend {
        Backend::Vxlan
    }

    fn advertise(&self, local: &Local) -> BTreeMap<String, String> {
        BTreeMap::from([("udp-port".to_owned(), local.udp_port.to_string())])
    }

    fn plan(&self, view: &GatewayView, accepted: &Accepted) -> Planned<CablePlan> {
        let mut out = Planned::<CablePlan>::default();
        let Some(private) = view.local.private_ips.get(FAMILY) else {
            out.problems.push(no_ipv4());
            return out;
        };
        out.value.node = own_end(view, *private);
        let mut taken = BTreeMap::from([(CableVtep::of(*private), "this gateway".to_owned())]);
        for endpoint in &accepted.followed {
            match tunnel(endpoint, view, &mut taken) {
                Ok(tunnel) => {
                    let (cluster, path) = (endpoint.cluster.clone(), endpoint.cable_name.clone());
                    out.value.tunnels.insert(CableId { cluster, family: FAMILY, path }, tunnel);
                }
                Err(problem) => out.problems.push(problem),
            }
            out.problems.extend(uncarried(endpoint));
        }
        let CablePlan { node, tunnels } = &mut out.value;
        for tunnel in tunnels.values() {
            connect(node, tunnel, view);
        }
        node.rules.extend(outside_rules(tunnels));
        out
    }

    fn status(&self, _: &Tunnel, probed: Probed, _: Option<PeerEvidence>) -> Status {
        Status::from_probes(probed, unprobed())
    }

    fn encrypts(&self) -> bool {
        false
    }
}

/// The link with its address, and the way into its routing table; all that stands without any remote.
fn own_end(view: &GatewayView, private: IpAddr) -> NodePlan {
    let name = link_name();
    let mut node = NodePlan::default();
    let kind = LinkKind::Vxlan(Vxlan { vni: VNI, port: view.local.udp_port, local: None, dev: None });
    node.links.insert(name.clone(), Link { kind, mtu: mtu(view, private), mac: mac(private) });
    node.addresses.insert((name.clone(), CableVtep::of(private).on_link()));
    // KERNEL: the filter in force is the larger of the link's and that of `all`, and loose beats strict.
    node.sysctls.insert(SysctlKey::RpFilter(name.clone()), LOOSE);
    node.sysctls.insert(SysctlKey::LinkForwarding(FAMILY, name), 1);
    let selector = RuleSelector::default();
    node.rules.insert(Rule { family: FAMILY, priority: RULE_CABLE, selector, table: TABLE_CABLE });
    node
}

fn mtu(view: &GatewayView, private: IpAddr) -> Option<Mtu> {
    let facts = &view.facts;
    let by_address = facts.link_with(private).map(|(_, link)| link);
    let by_route = || facts.default_route.get(FAMILY).and_then(|name| facts.links.get(name));
    by_address.or_else(by_route)?.mtu.map(|uplink| uplink.inside(VXLAN_OVERHEAD))
}

/// KERNEL: nodes cloned with their machine id draw equal addresses, and a VXLAN device drops frames that come from
/// its own. Private addresses differ where cables work at all.
fn mac(private: IpAddr) -> Option<MacAddress> {
    match private {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            Some(MacAddress([0x02, 0x63, a, b, c, d]))
        }
        IpAddr::V6(_) => None,
    }
}

fn tunnel(
    endpoint: &Endpoint,
    view: &GatewayView,
    taken: &mut BTreeMap<CableVtep, String>,
) -> Result<Tunnel, Problem> {
    let refuse = |reason, field: &str, what: String, remedy: &str| Problem {
        reason,
        object: format!("Endpoint {}", endpoint.object),
        field: field.to_owned(),
        what,
        remedy: remedy.to_owned(),
    };
    let (Some(private), Some(using_ip)) = (endpoint.private_ips.get(FAMILY), endpoint.reachable_ip(FAMILY))
    else {
        let what = "it has no IPv4 address, and vxlan cables have no other family yet".to_owned();
        return Err(refuse(
            "NoIPv4Address",
            "spec.private_ip",
            what,
            "give that gateway node an IPv4 address",
        ));
    };
    let vtep = CableVtep::of(*private);
    if let Some(other) = taken.get(&vtep) {
        let what = format!("{private} gives the tunnel address {}, which {other} has", vtep.address());
        let remedy = "give the gateway nodes addresses that differ in their last three bytes, or use another cable driver";
        return Err(refuse("TunnelAddressConflict", "spec.private_ip", what, remedy));
    }
    let networks = endpoint.subnet_set().of(FAMILY);
    if networks.is_empty() {
        let what = "none of its networks is IPv4, and vxlan cables carry no other family yet".to_owned();
        return Err(refuse("NoIPv4Subnets", "spec.subnets", what, "publish IPv4 networks"));
    }
    taken.insert(vtep, format!("cluster {}", endpoint.cluster));
    let probe = endpoint
        .health_check_ips
        .get(FAMILY)
        .map(|to| ProbeAddresses { to: *to, from: plugin_address(view) });
    let using_nat = using_ip != *private;
    Ok(Tunnel { endpoint: endpoint.clone(), networks, using_ip, using_nat, probe, peer: None })
}

fn plugin_address(view: &GatewayView) -> Option<IpAddr> {
    view.facts.link_within(&view.local.pod_networks, FAMILY).map(|(_, address)| address)
}

/// Adds the way to one remote gateway.
///
/// COMPAT: peers send whatever they have to every zero entry, as we do: the frames find their gateway by its
/// hardware address, which is asked for over ARP.
fn connect(node: &mut NodePlan, tunnel: &Tunnel, view: &GatewayView) {
    let Some(private) = tunnel.endpoint.private_ips.get(FAMILY) else { return };
    let port = Some(tunnel.endpoint.udp_port).filter(|port| *port != view.local.udp_port);
    node.fdb.insert(FdbEntry { dev: link_name(), mac: MacAddress::ZERO, dst: tunnel.using_ip, port });
    let src = plugin_address(view);
    for dst in tunnel.networks.iter() {
        let route = Route { src, ..Route::via(link_name(), CableVtep::of(*private).address()) };
        node.routes.insert(RouteKey { table: TABLE_CABLE, dst, metric: METRIC }, route);
    }
}

/// Packets of this node to a gateway inside its own cluster's networks go out by the main table: a cable must not be
/// sent into itself. Pods reach the address through the cable, like any other of its network, and nobody gets addresses
/// of another cluster by calling them its gateway's.
fn outside_rules(tunnels: &BTreeMap<CableId, Tunnel>) -> BTreeSet<Rule> {
    let inside = tunnels.values().filter(|tunnel| tunnel.networks.contains(tunnel.using_ip));
    let rule = |tunnel: &Tunnel| {
        let (to, iif) = (Some(IpNet::from(tunnel.using_ip)), Some(IfName::constant("lo")));
        let selector = RuleSelector { to, iif, ..RuleSelector::default() };
        Rule { family: FAMILY, priority: RULE_OUTSIDE, selector, table: TableId::MAIN }
    };
    inside.map(rule).collect()
}

/// Networks of an Endpoint that this cable does not carry.
fn uncarried(endpoint: &Endpoint) -> Option<Problem> {
    let left = endpoint.subnet_set().of(Family::V6);
    (!left.is_empty()).then(|| Problem {
        reason: "UncarriedFamily",
        object: format!("Endpoint {}", endpoint.object),
        field: "spec.subnets".to_owned(),
        what: format!("vxlan cables do not carry IPv6 yet, so {left} cannot be reached"),
        remedy: "use the IPv4 networks".to_owned(),
    })
}

fn no_ipv4() -> Problem {
    Problem {
        reason: "NoIPv4Address",
        object: "gateway node".to_owned(),
        field: "default route".to_owned(),
        what: "the node has no IPv4 address by its default route, and vxlan cables have no other family yet"
            .to_owned(),
        remedy: "give the node an IPv4 address and default route".to_owned(),
    }
}

#[cfg(test)]
#[path = "vxlan_tests.rs"]
mod tests;
