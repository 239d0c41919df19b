//! Where Services lead to, and who may reach whom.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Change, address, distinct, dns_label, fixed, items, port, port_or_name, selector, text};
use crate::metadata::{SUBDOMAIN, is_dns_label};
use crate::schema::{Cause, Path, is_cidr};

const MOST_ENDPOINTS: usize = 1000;
const MOST_ADDRESSES: usize = 100;
const MOST_PORTS: usize = 20_000;

pub(in crate::kinds) fn slice(change: &Change<'_>, causes: &mut Vec<Cause>) {
    let slice = change.new;
    let kind = text(slice, "addressType");
    limit(&slice["endpoints"], "endpoints", MOST_ENDPOINTS, causes);
    for (index, endpoint) in items(slice, "endpoints") {
        let list = Path::root("endpoints");
        let path = list.index(index);
        limit(&endpoint["addresses"], &path.field("addresses").to_string(), MOST_ADDRESSES, causes);
        if items(endpoint, "addresses").next().is_none() {
            let detail = "must contain at least 1 address";
            causes.push(Cause::required(&path.field("addresses").to_string(), detail));
        }
        for (index, value) in items(endpoint, "addresses") {
            slice_address(kind, value, (path.field("addresses"), index), causes);
        }
        if !text(endpoint, "hostname").is_empty() {
            dns_label(&endpoint["hostname"], path.field("hostname"), causes);
        }
    }
    limit(&slice["ports"], "ports", MOST_PORTS, causes);
    slice_ports(slice, causes);
    fixed(change, "addressType", causes);
}

fn slice_ports(slice: &Value, causes: &mut Vec<Cause>) {
    let mut seen = BTreeSet::new();
    for (index, entry) in items(slice, "ports") {
        let list = Path::root("ports");
        let name = &entry["name"];
        if !seen.insert(name.to_string()) {
            causes.push(Cause::duplicate(&format!("ports[{index}].name"), name));
        }
        if !text(entry, "name").is_empty() {
            dns_label(name, list.index(index).field("name"), causes);
        }
    }
}

fn limit(list: &Value, field: &str, most: usize, causes: &mut Vec<Cause>) {
    let count = list.as_array().map_or(0, Vec::len);
    if count > most {
        causes.push(Cause::too_many(field, count, most));
    }
}

fn slice_address(kind: &str, value: &Value, (list, index): (Path<'_>, usize), causes: &mut Vec<Cause>) {
    let path = list.index(index);
    if kind == "FQDN" {
        if !value.as_str().unwrap_or_default().split('.').all(is_dns_label) {
            causes.push(Cause::invalid(&path.to_string(), value, SUBDOMAIN));
        }
        return;
    }
    let Some(found) = address(value) else {
        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        return causes.push(Cause::invalid(&path.to_string(), value, detail));
    };
    if ["IPv4", "IPv6"].contains(&kind) && found.is_ipv4() != (kind == "IPv4") {
        let detail = format!("must be an {kind} address");
        return causes.push(Cause::invalid(&list.to_string(), value, detail));
    }
    special(value, path, causes);
}

/// Addresses that no endpoint can have.
fn special(value: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    let Some(address) = address(value) else { return };
    let linked = match address {
        std::net::IpAddr::V4(address) => address.is_link_local(),
        std::net::IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let detail = match () {
        () if address.is_unspecified() => format!("may not be unspecified ({address})"),
        () if address.is_loopback() => "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned(),
        () if linked => "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned(),
        () if address.is_multicast() => {
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()
        }
        () => return,
    };
    causes.push(Cause::invalid(&path.to_string(), value, detail));
}

pub(in crate::kinds) fn endpoints(change: &Change<'_>, causes: &mut Vec<Cause>) {
    for (index, subset) in items(change.new, "subsets") {
        let list = Path::root("subsets");
        self::subset(subset, list.index(index), causes);
    }
}

fn subset(subset: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    for field in ["addresses", "notReadyAddresses"] {
        for (index, entry) in items(subset, field) {
            let list = path.field(field);
            let path = list.index(index);
            subset_address(&entry["ip"], path.field("ip"), causes);
        }
    }
    let none = |field: &str| items(subset, field).next().is_none();
    if none("addresses") && none("notReadyAddresses") {
        let detail = "must specify `addresses` or `notReadyAddresses`";
        causes.push(Cause::required(&path.to_string(), detail));
    }
    let several = subset["ports"].as_array().is_some_and(|ports| ports.len() > 1);
    for (index, entry) in items(subset, "ports") {
        let list = path.field("ports");
        let path = list.index(index);
        let nameless = text(entry, "name").is_empty();
        if nameless && several {
            causes.push(Cause::required(&path.field("name").to_string(), ""));
        } else if !nameless {
            dns_label(&entry["name"], path.field("name"), causes);
        }
        port(&entry["port"], path.field("port"), causes);
    }
}

fn subset_address(value: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    if address(value).is_some() {
        return special(value, path, causes);
    }
    let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    causes.push(Cause::invalid(&path.to_string(), value, detail));
}

pub(in crate::kinds) fn network_policy(change: &Change<'_>, causes: &mut Vec<Cause>) {
    let spec = &change.new["spec"];
    let root = Path::root("spec");
    selector(&spec["podSelector"], root.field("podSelector"), causes);
    for (way, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in items(spec, way) {
            let path = root.field(way);
            let path = path.index(index);
            for (index, entry) in items(rule, "ports").filter(|(_, entry)| !entry["port"].is_null()) {
                let path = path.field("ports");
                let path = path.index(index);
                port_or_name(&entry["port"], path.field("port"), causes);
            }
            for (index, entry) in items(rule, peers) {
                let path = path.field(peers);
                peer(entry, path.index(index), causes);
            }
        }
    }
    let types = items(spec, "policyTypes").map(|(index, kind)| (kind, format!("spec.policyTypes[{index}]")));
    distinct(types.collect(), causes);
}

fn peer(peer: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    let block = &peer["ipBlock"];
    let selects = !peer["podSelector"].is_null() || !peer["namespaceSelector"].is_null();
    if block.is_null() && !selects {
        causes.push(Cause::required(&path.to_string(), "must specify a peer"));
    }
    if !block.is_null() && selects {
        let detail = "may not specify both ipBlock and another peer";
        causes.push(Cause::forbidden(&path.to_string(), detail));
    }
    for field in ["podSelector", "namespaceSelector"] {
        selector(&peer[field], path.field(field), causes);
    }
    let path = path.field("ipBlock");
    let bad = |value: &Value| !is_cidr(value.as_str().unwrap_or_default());
    let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    if !block.is_null() && !text(block, "cidr").is_empty() && bad(&block["cidr"]) {
        causes.push(Cause::invalid(&path.field("cidr").to_string(), &block["cidr"], detail));
    }
    for (index, except) in items(block, "except").filter(|(_, except)| bad(except)) {
        let path = path.field("except");
        causes.push(Cause::invalid(&path.index(index).to_string(), except, detail));
    }
}
