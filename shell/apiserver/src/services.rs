//! Addresses and node ports of Services. What is taken is what stored Services have: nothing else is remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::schema::Cause;
use crate::store::Object;

mod prepare;
mod range;

pub(crate) use prepare::prepare;
pub use range::ServiceRanges;
use range::draw_from;

/// The ports of nodes that Services may have.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// What the stored Services have, each with the key of its Service.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    addresses: BTreeMap<IpAddr, String>,
    ports: BTreeMap<NodePort, String>,
}

/// A protocol and a port of all nodes.
type NodePort = (String, u16);

impl Taken {
    /// Follows a Service from one state to the next.
    pub(crate) fn note(&mut self, key: &str, before: Option<&Object>, after: Option<&Object>) {
        let spec = |object: &Object| object.value()["spec"].take();
        if let Some(before) = before.map(spec) {
            // What another Service holds by the same number stays its own.
            for address in
                addresses(&before).filter(|address| !self.has_address(*address, key)).collect::<Vec<_>>()
            {
                self.addresses.remove(&address);
            }
            for port in node_ports(&before).filter(|port| !self.has_port(port, key)).collect::<Vec<_>>() {
                self.ports.remove(&port);
            }
        }
        if let Some(after) = after.map(spec) {
            for address in addresses(&after) {
                self.addresses.entry(address).or_insert_with(|| key.to_owned());
            }
            for port in node_ports(&after) {
                self.ports.entry(port).or_insert_with(|| key.to_owned());
            }
        }
    }

    fn has_address(&self, address: IpAddr, key: &str) -> bool {
        self.addresses.get(&address).is_some_and(|owner| owner != key)
    }

    fn has_port(&self, port: &NodePort, key: &str) -> bool {
        self.ports.get(port).is_some_and(|owner| owner != key)
    }
}

fn addresses(spec: &Value) -> impl Iterator<Item = IpAddr> + '_ {
    let listed = spec["clusterIPs"].as_array();
    listed.into_iter().flatten().filter_map(|address| address.as_str()?.parse().ok())
}

fn ports(spec: &Value) -> impl Iterator<Item = &Value> {
    spec["ports"].as_array().into_iter().flatten()
}

fn node_port(port: &Value) -> Option<NodePort> {
    let number = port["nodePort"].as_u64().filter(|number| *number > 0)?;
    Some((port["protocol"].as_str()?.to_owned(), u16::try_from(number).ok()?))
}

fn node_ports(spec: &Value) -> impl Iterator<Item = NodePort> + '_ {
    ports(spec).filter_map(node_port)
}

fn text<'a>(spec: &'a Value, field: &str) -> &'a str {
    spec[field].as_str().unwrap_or_default()
}

/// Whether a Service of this type has addresses of the cluster.
pub(crate) fn has_addresses(spec: &Value) -> bool {
    ["ClusterIP", "NodePort", "LoadBalancer"].contains(&text(spec, "type"))
}

/// Whether a Service has names only.
pub(crate) fn is_headless(spec: &Value) -> bool {
    text(spec, "clusterIP") == "None"
}

fn has_node_ports(spec: &Value) -> bool {
    text(spec, "type") == "NodePort"
        || text(spec, "type") == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != false
}

/// Where a Service gets what it lacks.
pub(crate) struct Allocator<'a> {
    pub(crate) taken: &'a Taken,
    pub(crate) ranges: &'a ServiceRanges,
    /// The key of the Service.
    pub(crate) key: &'a str,
    /// Bytes that nobody can foretell.
    pub(crate) lot: [u8; 16],
}

impl Allocator<'_> {
    /// Gives a Service that was prepared and validated its addresses and node ports.
    pub(crate) fn allocate(&self, spec: &mut Value) -> Result<(), Cause> {
        if has_addresses(spec) && !is_headless(spec) {
            self.give_addresses(spec)?;
        }
        self.give_node_ports(spec)
    }

    fn give_addresses(&self, spec: &mut Value) -> Result<(), Cause> {
        let families = spec["ipFamilies"].as_array().cloned().unwrap_or_default();
        let mut given = spec["clusterIPs"].as_array().cloned().unwrap_or_default();
        for (index, family) in families.iter().filter_map(Value::as_str).enumerate() {
            let asked = given.get(index).and_then(Value::as_str).filter(|text| !text.is_empty());
            let address = match asked.map(str::parse::<IpAddr>) {
                Some(Ok(address)) => self.claim(address, &given)?,
                Some(Err(_)) => continue,
                None => self.free_address(family)?,
            };
            match given.get_mut(index) {
                Some(place) => *place = json!(address),
                None => given.push(json!(address)),
            }
        }
        spec["clusterIP"] = given.first().cloned().unwrap_or_default();
        spec["clusterIPs"] = Value::Array(given);
        Ok(())
    }

    fn claim(&self, address: IpAddr, given: &[Value]) -> Result<IpAddr, Cause> {
        let given: Vec<_> = given.iter().filter_map(Value::as_str).collect();
        let wrong = |why: &str| {
            let detail = format!("failed to allocate IP {address}: {why}");
            Err(Cause::invalid_go("spec.clusterIPs", &format!("[]string{{{}}}", quoted(&given)), &detail))
        };
        let Some(net) = self.ranges.of(address) else {
            return wrong("the provided network does not match the current range");
        };
        if !net.contains(&address) || range::is_reserved(net, address) {
            return wrong("the provided network does not match the current range");
        }
        if self.taken.has_address(address, self.key) {
            return wrong("provided IP is already allocated");
        }
        Ok(address)
    }

    fn free_address(&self, family: &str) -> Result<IpAddr, Cause> {
        let net = self.ranges.family(family);
        let free = net.and_then(|net| {
            range::candidates(net, self.lot).find(|address| !self.taken.has_address(*address, self.key))
        });
        free.ok_or_else(|| {
            let why = "failed to allocate a serviceIP: range is full";
            Cause {
                reason: "InternalError",
                message: format!("Internal error: {why}"),
                field: "spec.clusterIPs".to_owned(),
            }
        })
    }

    fn give_node_ports(&self, spec: &mut Value) -> Result<(), Cause> {
        let wants = has_node_ports(spec);
        let mut own: Vec<NodePort> = Vec::new();
        let mut claimed = BTreeSet::new();
        let mut draws = BTreeMap::new();
        let Some(list) = spec.get_mut("ports").and_then(Value::as_array_mut) else { return Ok(()) };
        for (index, port) in list.iter().enumerate() {
            let Some(asked) = node_port(port) else { continue };
            let field = format!("spec.ports[{index}].nodePort");
            let wrong = |why: &str| Err(Cause::invalid(&field, &json!(asked.1), why));
            if !NODE_PORTS.contains(&asked.1) {
                return wrong(
                    "provided port is not in the valid range. The range of valid ports is 30000-32767",
                );
            }
            if self.taken.has_port(&asked, self.key) {
                return wrong("provided port is already allocated");
            }
            claimed.insert(asked.clone());
            own.push(asked);
        }
        for port in list.iter_mut().filter(|_| wants) {
            if node_port(port).is_some() {
                continue;
            }
            let protocol = port["protocol"].as_str().unwrap_or("TCP").to_owned();
            // COMPAT: the same number for both protocols of one port, as for DNS.
            let twin = own.iter().find(|(other, _)| *other != protocol).map(|(_, number)| *number);
            let free = |number: &u16| {
                let port = (protocol.clone(), *number);
                !claimed.contains(&port) && !self.taken.has_port(&port, self.key)
            };
            let draw = draws.entry(protocol.clone()).or_insert_with(|| draw_from(NODE_PORTS, self.lot));
            let number = twin.filter(free).or_else(|| draw.find(free));
            let Some(number) = number else {
                let message = "Internal error: failed to allocate a nodePort: range is full".to_owned();
                return Err(Cause { reason: "InternalError", message, field: "spec.ports".to_owned() });
            };
            port["nodePort"] = json!(number);
            claimed.insert((protocol.clone(), number));
            own.push((protocol, number));
        }
        Ok(())
    }
}

/// A list of texts as Go writes it.
pub(crate) fn go_list(list: &Value) -> String {
    let texts = list.as_array().into_iter().flatten().map(Value::to_string).collect::<Vec<_>>();
    if texts.is_empty() { "[]string(nil)".to_owned() } else { format!("[]string{{{}}}", texts.join(", ")) }
}

/// Texts as Go writes them.
fn quoted(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", ")
}

/// The spec of an object, made if need be.
pub(crate) fn spec_of(object: &mut Value) -> &mut Value {
    if !object["spec"].is_object() {
        object["spec"] = Value::Object(Map::new());
    }
    &mut object["spec"]
}
