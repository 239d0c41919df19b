//! Unencrypted cables: VXLAN (RFC 7348), byte for byte as the Go implementation's. One link per family.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use subm_plan::numbers::{METRIC_CABLE, RULE_OUTSIDE, TABLE_REMOTE, vxlan_overhead};
use subm_plan::{
    FdbEntry, Link, LinkKind, NodePlan, PeerEvidence, Route, RouteKey, Rule, RuleSelector, SysctlKey,
    TableId, Vxlan,
};
use subm_types::{
    Backend, CableId, CableVtep, Endpoint, Family, IfName, MacAddress, Mtu, Planned, Problem, Reach,
};

use crate::families::{name, shared, without_uplink};
use crate::status::unprobed;
use crate::tunnel::Refuse as _;
use crate::{
    Accepted, Cable, CablePlan, GatewayView, InClear, Local, ProbeAddresses, Probed, Status, Tunnel, Way,
};

/// COMPAT: the VXLAN network identifier of cables.
const VNI: u32 = 1000;
/// Reverse-path filtering that accepts any source that is routable at all (RFC 3704 §2.4).
const LOOSE: u32 = 2;

/// The VXLAN driver.
#[derive(Debug, Clone, Copy)]
pub struct VxlanCable;

fn link_name(family: Family) -> IfName {
    IfName::constant(match family {
        Family::V4 => "vxlan-tunnel",
        Family::V6 => "vxlan-tunnel-6",
    })
}

impl Cable for VxlanCable {
    fn backend(&self) -> Backend {
        Backend::Vxlan
    }

    fn advertise(&self, local: &Local) -> BTreeMap<String, String> {
        BTreeMap::from([("udp-port".to_owned(), local.udp_port.to_string())])
    }

    fn plan(&self, view: &GatewayView, accepted: &Accepted) -> Planned<CablePlan> {
        let mut out = Planned { value: CablePlan::default(), problems: without_uplink(&view.local) };
        let mut taken = BTreeMap::new();
        for end in ends(view) {
            end.stand(&mut out.value.node);
            out.problems.extend(end.too_small(view));
            taken.insert(CableVtep::of(end.private), "this gateway".to_owned());
        }
        for endpoint in &accepted.followed {
            // COMPAT: packets of a family travel in packets of the same family.
            let families = shared(&view.local, endpoint);
            out.problems.extend(families.problems);
            let id = |family| CableId {
                cluster: endpoint.cluster.clone(),
                family,
                path: endpoint.cable_name.clone(),
            };
            for family in families.value {
                match tunnel(endpoint, family, view, &mut taken) {
                    Ok(tunnel) => drop(out.value.tunnels.insert(id(family), tunnel)),
                    Err(problem) => out.refuse(id(family), endpoint, problem),
                }
            }
        }
        let CablePlan { node, tunnels, .. } = &mut out.value;
        for end in ends(view) {
            let own = tunnels.iter().filter(|(id, _)| id.family == end.family);
            own.for_each(|(_, tunnel)| end.connect(node, tunnel, view));
        }
        node.rules.extend(outside_rules(tunnels));
        out
    }

    fn status(&self, _: &Tunnel, probed: Probed, _: Option<PeerEvidence>) -> Status {
        Status::from_probes(probed, unprobed)
    }

    fn encrypts(&self) -> bool {
        false
    }
}

/// Our end in one family.
struct End {
    family: Family,
    private: IpAddr,
    /// What fits inside; unknown without an uplink.
    inside: Option<Mtu>,
    udp_port: u16,
}

fn ends(view: &GatewayView) -> impl Iterator<Item = End> {
    let end = |family| {
        let private = *view.local.private_ips.get(family)?;
        let inside = inside(view, family, private);
        Some(End { family, private, inside, udp_port: view.local.udp_port })
    };
    view.local.families().into_iter().filter_map(end)
}

impl End {
    /// The link with its addresses; all that stands without any remote.
    fn stand(&self, node: &mut NodePlan) {
        let (name, mac) = (link_name(self.family), mac(self.private));
        // COMPAT: the Go implementation gives the IPv6 link its source address, and the IPv4 one none.
        let local = Some(self.private).filter(IpAddr::is_ipv6);
        let kind = LinkKind::Vxlan(Vxlan { vni: VNI, port: self.udp_port, local, dev: None });
        node.links.insert(name.clone(), Link { kind, mtu: self.mtu(), mac: Some(mac) });
        node.addresses.insert((name.clone(), CableVtep::of(self.private).on_link()));
        match self.family {
            // KERNEL: the filter in force is the larger of the link's and that of `all`, and loose beats strict.
            Family::V4 => node.sysctls.insert(SysctlKey::RpFilter(name.clone()), LOOSE),
            Family::V6 => {
                // KERNEL: for packets that are passed on, neighbours are asked from a link-local address or not at all.
                node.addresses.insert((name.clone(), link_local(mac)));
                node.sysctls.insert(SysctlKey::AcceptRa(name.clone()), 0)
            }
        };
        node.sysctls.insert(SysctlKey::LinkForwarding(self.family, name), 1);
    }

    /// The MTU of the link. KERNEL: a link below 1,280 bytes has no IPv6.
    fn mtu(&self) -> Option<Mtu> {
        let least = if self.family == Family::V6 { Mtu::IPV6_MIN } else { Mtu(0) };
        self.inside.map(|inside| inside.max(least))
    }

    /// Tells that some packets do not pass. KERNEL: what VXLAN sends over IPv6 is never fragmented.
    fn too_small(&self, view: &GatewayView) -> Option<Problem> {
        let inside = self.smaller_than_link()?;
        let (uplink, _) = view.facts.link_with(self.private)?;
        Some(Problem {
            reason: "SmallUplinkMTU",
            object: "gateway node".to_owned(),
            field: format!("MTU of {uplink}"),
            what: format!(
                "a vxlan cable over {} has room for {inside} bytes here: TCP keeps to that, larger datagrams are lost",
                name(self.family)
            ),
            remedy: format!(
                "raise the MTU to {} at least, or use another cable driver",
                Mtu::IPV6_MIN.0 + vxlan_overhead(self.family)
            ),
        })
    }

    /// What fits inside, where the link must say more.
    fn smaller_than_link(&self) -> Option<Mtu> {
        self.inside.filter(|inside| self.mtu().is_some_and(|link| link > *inside))
    }

    /// Adds the way to one remote gateway.
    ///
    /// COMPAT: peers send whatever they have to every zero entry, as we do: the frames find their gateway by its
    /// hardware address, which is asked for over ARP or neighbour discovery.
    fn connect(&self, node: &mut NodePlan, tunnel: &Tunnel, view: &GatewayView) {
        let Some(private) = tunnel.endpoint.private_ips.get(self.family) else { return };
        let dev = link_name(self.family);
        let port = Some(tunnel.endpoint.udp_port).filter(|port| *port != self.udp_port);
        node.fdb.insert(FdbEntry { dev: dev.clone(), mac: MacAddress::ZERO, dst: tunnel.using_ip, port });
        let (src, mtu) = (plugin_address(view, self.family), self.smaller_than_link());
        for dst in tunnel.networks.iter() {
            let route = Route { src, mtu, ..Route::via(dev.clone(), CableVtep::of(*private).address()) };
            node.routes.insert(RouteKey { table: TABLE_REMOTE, dst, metric: METRIC_CABLE }, route);
        }
    }
}

fn inside(view: &GatewayView, family: Family, private: IpAddr) -> Option<Mtu> {
    let facts = &view.facts;
    let by_address = facts.link_with(private).map(|(_, link)| link);
    let by_route = || facts.default_route.get(family).and_then(|name| facts.links.get(name));
    by_address.or_else(by_route)?.mtu.map(|uplink| uplink.inside(vxlan_overhead(family)))
}

/// KERNEL: nodes cloned with their machine id draw equal addresses, and a VXLAN device drops frames that come from
/// its own. What the tunnel address keeps of the private one differs where cables work at all.
fn mac(private: IpAddr) -> MacAddress {
    match private {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            MacAddress([0x02, 0x63, a, b, c, d])
        }
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            MacAddress([0x02, 0x66, a, b, c, d])
        }
    }
}

/// The link-local address that the kernel makes of a hardware address (RFC 4291 appendix A).
fn link_local(MacAddress([a, b, c, d, e, f]): MacAddress) -> IpNet {
    let address = Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 0x02, b, c, 0xff, 0xfe, d, e, f]);
    IpNet::new_assert(IpAddr::V6(address), 64)
}

fn tunnel(
    endpoint: &Endpoint,
    family: Family,
    view: &GatewayView,
    taken: &mut BTreeMap<CableVtep, String>,
) -> Result<Tunnel, Problem> {
    let refuse = |reason, what: String, remedy: &str| Problem {
        reason,
        object: format!("Endpoint {}", endpoint.object),
        field: "spec.private_ip".to_owned(),
        what,
        remedy: remedy.to_owned(),
    };
    let (Some(private), Some(way)) = (endpoint.private_ips.get(family), view.way_to(endpoint, family)) else {
        let what = format!("it has no {} address", name(family));
        return Err(refuse("MissingIP", what, "give that gateway node one"));
    };
    if Reach::of(way.address) == Reach::Public && view.local.in_clear == InClear::Private {
        return Err(in_clear_over_the_internet(endpoint, way.address));
    }
    let vtep = CableVtep::of(*private);
    if let Some(other) = taken.get(&vtep) {
        let what = format!("{private} gives the tunnel address {}, which {other} has", vtep.address());
        let bytes = if family == Family::V4 { "three" } else { "four" };
        let remedy = format!(
            "give the gateway nodes addresses that differ in their last {bytes} bytes, or use another cable driver"
        );
        return Err(refuse("TunnelAddressConflict", what, &remedy));
    }
    taken.insert(vtep, format!("cluster {}", endpoint.cluster));
    let from = plugin_address(view, family);
    let probe = endpoint.health_check_ips.get(family).map(|to| ProbeAddresses { to: *to, from });
    let networks = endpoint.subnet_set().of(family);
    let Way { address: using_ip, nat: using_nat } = way;
    Ok(Tunnel {
        endpoint: endpoint.clone(),
        networks,
        using_ip,
        using_nat,
        probe,
        peer: None,
        pairs: Vec::new(),
    })
}

/// Fails closed: whoever wants that says so.
fn in_clear_over_the_internet(endpoint: &Endpoint, address: IpAddr) -> Problem {
    Problem {
        reason: "PublicAddressInClear",
        object: format!("Endpoint {}", endpoint.object),
        field: if endpoint.nat_enabled { "spec.public_ip" } else { "spec.private_ip" }.to_owned(),
        what: format!(
            "{address} is an address of the internet, where everybody on the way would read what a vxlan cable carries, so there is none to cluster {}",
            endpoint.cluster
        ),
        remedy: "use a cable driver that encrypts, or set SUBMARINER_ALLOWCLEARTOPUBLIC=true on the gateways where the way is your own".to_owned(),
    }
}

pub(crate) fn plugin_address(view: &GatewayView, family: Family) -> Option<IpAddr> {
    view.facts.link_within(&view.local.pod_networks, family).map(|(_, address)| address)
}

/// Packets of this node to a gateway inside its own cluster's networks go out by the main table: a cable must not be
/// sent into itself. Pods reach the address through the cable, like any other of its network, and nobody gets addresses
/// of another cluster by calling them its gateway's.
pub(crate) fn outside_rules(tunnels: &BTreeMap<CableId, Tunnel>) -> BTreeSet<Rule> {
    let inside = tunnels.values().filter(|tunnel| tunnel.networks.contains(tunnel.using_ip));
    let rule = |tunnel: &Tunnel| {
        let (to, iif) = (Some(IpNet::from(tunnel.using_ip)), Some(IfName::constant("lo")));
        let selector = RuleSelector { to, iif, ..RuleSelector::default() };
        Rule { family: Family::of(tunnel.using_ip), priority: RULE_OUTSIDE, selector, table: TableId::MAIN }
    };
    inside.map(rule).collect()
}

#[cfg(test)]
#[path = "vxlan_tests.rs"]
mod tests;
