//! A service proxy: what kube-proxy makes of Services and EndpointSlices.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service, ServicePort as PortSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use subm_plan::nft::{
    AddressTest, At, Chain, ChainName, Hook, HookType, L4, Match, Policy, PortTest, Rule, Side, Table,
    Verdict, priority,
};
use subm_plan::{NodePlan, Owner, RouteProtocol, Scope};
use subm_types::{Family, PerFamily};

/// What the proxy owns on a node.
pub(crate) fn scope() -> Scope {
    Scope::of(Owner("playground-proxy"), RouteProtocol(87), &[])
}

/// A port of a service, and where connections to it may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServicePort {
    name: String,
    address: IpAddr,
    protocol: L4,
    port: u16,
    endpoints: Vec<(IpAddr, u16)>,
}

/// The label of an `EndpointSlice` that names its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Joins Services with their `EndpointSlices`; what is not complete is left out.
pub(crate) fn services<'a>(
    services: impl Iterator<Item = &'a Service>,
    slices: impl Iterator<Item = &'a EndpointSlice>,
) -> Vec<ServicePort> {
    let slices: Vec<&EndpointSlice> = slices.collect();
    let mut ports: Vec<ServicePort> = services.flat_map(|service| ports(service, &slices)).collect();
    ports.sort_by(|one, other| one.name.cmp(&other.name));
    ports
}

/// The ports of a service at each of its addresses.
fn ports(service: &Service, slices: &[&EndpointSlice]) -> Vec<ServicePort> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let (name, namespace) = (&service.metadata.name, &service.metadata.namespace);
    let own = |slice: &&&EndpointSlice| {
        let label = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_LABEL));
        slice.metadata.namespace == *namespace && label == name.as_ref()
    };
    let slices: Vec<&EndpointSlice> = slices.iter().filter(own).copied().collect();
    let prefix =
        format!("{}-{}", namespace.as_deref().unwrap_or_default(), name.as_deref().unwrap_or_default());
    let addresses = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    let addresses = PerFamily::of(addresses.filter_map(|address| address.parse().ok()));
    let at = |(family, address): (Family, &IpAddr)| -> Vec<ServicePort> {
        let port = |spec: &PortSpec| port(spec, (family, *address), &prefix, &slices);
        spec.ports.iter().flatten().filter_map(port).collect()
    };
    addresses.iter().flat_map(at).collect()
}

fn port(
    spec: &PortSpec,
    (family, address): (Family, IpAddr),
    prefix: &str,
    slices: &[&EndpointSlice],
) -> Option<ServicePort> {
    let protocol = match spec.protocol.as_deref() {
        None | Some("TCP") => L4::Tcp,
        Some("UDP") => L4::Udp,
        Some(_) => return None,
    };
    let of_family = slices.iter().filter(|slice| slice.address_type == address_type(family));
    let mut endpoints: Vec<_> = of_family.flat_map(|slice| endpoints(slice, spec.name.as_deref())).collect();
    endpoints.sort_unstable();
    let name = format!("{prefix}-{}-{family}", spec.name.as_deref().unwrap_or_default());
    Some(ServicePort { name, address, protocol, port: u16::try_from(spec.port).ok()?, endpoints })
}

/// The type of slices with addresses of a family.
const fn address_type(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

fn endpoints(slice: &EndpointSlice, port: Option<&str>) -> Vec<(IpAddr, u16)> {
    let named = slice.ports.iter().flatten().find(|candidate| candidate.name.as_deref() == port);
    let Some(port) = named.and_then(|port| u16::try_from(port.port?).ok()) else { return Vec::new() };
    let ready = slice.endpoints.iter().flatten().filter(|endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
    });
    ready.filter_map(|endpoint| Some((endpoint.addresses.first()?.parse().ok()?, port))).collect()
}

/// One chain per service port that draws an endpoint, called for packets that arrive and for the node's own.
///
/// KERNEL: a pod's answer to a pod of its own node crosses the bridge without being seen by the packet filter, so it
/// would come from the wrong address; what goes from the bridge to the bridge comes from the node. Packets that are
/// bridged only never pass here.
pub(crate) fn plan(own: PerFamily<IpNet>, services: &[ServicePort]) -> NodePlan {
    let mut table = Table::new(scope().table);
    let mut dispatch = Vec::new();
    for service in services.iter().filter(|service| !service.endpoints.is_empty()) {
        let chain = ChainName(service.name.clone());
        let matches = [to(service.address), to_port(service.protocol, service.port)];
        dispatch.push(Rule::new(matches, Verdict::Jump(chain.clone()), service.name.clone()));
        table.chains.insert(chain, draw(service));
    }
    for (name, at) in [("prerouting", At::Prerouting), ("output", At::Output)] {
        let hook = Hook { kind: HookType::Nat, at, priority: priority::DSTNAT, policy: Policy::Accept };
        table.chains.insert(ChainName(name.to_owned()), Chain { hook: Some(hook), rules: dispatch.clone() });
    }
    let hook =
        Hook { kind: HookType::Nat, at: At::Postrouting, priority: priority::SRCNAT, policy: Policy::Accept };
    let within = |net: IpNet, side: Side| Match::Address(side, AddressTest::Net(net));
    let hairpin = |net: IpNet| [within(net, Side::Source), within(net, Side::Destination)];
    let rule = |net| Rule::new(hairpin(net), Verdict::Masquerade, "a service's pod on the caller's own node");
    let rules = own.iter().map(|(_, net)| rule(*net)).collect();
    table.chains.insert(ChainName("postrouting".to_owned()), Chain { hook: Some(hook), rules });
    NodePlan { table: Some(table), ..NodePlan::default() }
}

fn draw(service: &ServicePort) -> Chain {
    let count = u32::try_from(service.endpoints.len()).unwrap_or(u32::MAX);
    // Each rule draws among those that are left, so that all have one chance.
    let rules = service.endpoints.iter().zip(0..count).map(|((address, port), index)| {
        let chance = (count - index > 1).then_some(Match::Random { of: count - index, is: 0 });
        let matches = std::iter::once(to_port(service.protocol, service.port)).chain(chance);
        Rule::new(matches, Verdict::Dnat(*address, Some(*port)), service.name.clone())
    });
    Chain { hook: None, rules: rules.collect() }
}

fn to(address: IpAddr) -> Match {
    Match::Address(Side::Destination, AddressTest::Net(address.into()))
}

fn to_port(protocol: L4, port: u16) -> Match {
    Match::Port(protocol, Side::Destination, PortTest::Is(port))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(name: &str, addresses: &[&str], port: &serde_json::Value) -> Service {
        serde_json::from_value(json!({
            "metadata": {"namespace": "default", "name": name},
            "spec": {"clusterIP": addresses[0], "clusterIPs": addresses, "ports": [port]},
        }))
        .unwrap()
    }

    fn slice(service: &str, kind: &str, endpoints: &serde_json::Value) -> EndpointSlice {
        serde_json::from_value(json!({
            "metadata": {"namespace": "default", "name": "a", "labels": {SERVICE_LABEL: service}},
            "addressType": kind,
            "ports": [{"name": "web", "port": 8080}],
            "endpoints": endpoints,
        }))
        .unwrap()
    }

    fn own() -> PerFamily<IpNet> {
        PerFamily { v4: Some("10.1.0.0/24".parse().unwrap()), v6: Some("fd00:10:1::/64".parse().unwrap()) }
    }

    #[test]
    fn ready_endpoints_have_equal_chances() {
        let web = service("web", &["100.65.0.80", "fd00:100:65::80"], &json!({"name": "web", "port": 80}));
        let v6 = slice("web", "IPv6", &json!([{"addresses": ["fd00:10:1::2"]}]));
        let slice = slice(
            "web",
            "IPv4",
            &json!([
                {"addresses": ["10.1.1.2"]},
                {"addresses": ["10.1.0.2"], "conditions": {"ready": true}},
                {"addresses": ["10.1.0.3"], "conditions": {"ready": false}},
            ]),
        );
        let services = services([&web].into_iter(), [&slice, &v6].into_iter());
        insta::assert_snapshot!(plan(own(), &services), @r#"
        table inet submariner-playground-proxy {
          chain default-web-web-v4 {
            tcp dport 80 numgen random mod 2 0 counter dnat ip to 10.1.0.2:8080 comment "default-web-web-v4"
            tcp dport 80 counter dnat ip to 10.1.1.2:8080 comment "default-web-web-v4"
          }
          chain default-web-web-v6 {
            tcp dport 80 counter dnat ip6 to [fd00:10:1::2]:8080 comment "default-web-web-v6"
          }
          chain output {
            type nat hook output priority -100; policy accept;
            ip daddr 100.65.0.80/32 tcp dport 80 counter jump default-web-web-v4 comment "default-web-web-v4"
            ip6 daddr fd00:100:65::80/128 tcp dport 80 counter jump default-web-web-v6 comment "default-web-web-v6"
          }
          chain postrouting {
            type nat hook postrouting priority 100; policy accept;
            ip saddr 10.1.0.0/24 ip daddr 10.1.0.0/24 counter masquerade comment "a service's pod on the caller's own node"
            ip6 saddr fd00:10:1::/64 ip6 daddr fd00:10:1::/64 counter masquerade comment "a service's pod on the caller's own node"
          }
          chain prerouting {
            type nat hook prerouting priority -100; policy accept;
            ip daddr 100.65.0.80/32 tcp dport 80 counter jump default-web-web-v4 comment "default-web-web-v4"
            ip6 daddr fd00:100:65::80/128 tcp dport 80 counter jump default-web-web-v6 comment "default-web-web-v6"
          }
        }
        "#);
    }

    #[test]
    fn what_is_not_complete_has_no_chain() {
        let none = service("none", &["100.65.0.81"], &json!({"name": "web", "port": 80}));
        let headless = service("web", &["None"], &json!({"name": "web", "port": 80}));
        let sctp = service("web", &["100.65.0.82"], &json!({"name": "web", "port": 80, "protocol": "SCTP"}));
        let slice = slice("web", "IPv4", &json!([{"addresses": ["10.1.0.2"]}]));
        let services = services([&none, &headless, &sctp].into_iter(), [&slice].into_iter());
        let plan = plan(own(), &services);
        let chains = plan.table.unwrap().chains;
        let names: Vec<_> = chains.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["output", "postrouting", "prerouting"]);
        assert!(
            chains.values().flat_map(|chain| &chain.rules).all(|rule| rule.verdict == Verdict::Masquerade)
        );
    }
}
