//! What a Service says about its addresses, completed before it is validated.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::range::{ServiceRanges, family};
use super::{has_addresses, has_node_ports, is_headless, ports, text};
use crate::schema::Cause;

/// Completes families and addresses of a Service's spec, and drops what belongs to a type that it no longer has.
pub(crate) fn prepare(spec: &mut Value, old: Option<&Value>, ranges: &ServiceRanges) -> Vec<Cause> {
    if let Some(old) = old {
        keep_what_was_given(spec, old);
        drop_what_goes_with_the_type(spec, old);
    }
    agree_on_addresses(spec, old);
    if !has_addresses(spec) {
        return Vec::new();
    }
    if let Some(old) = old.filter(|old| has_addresses(old)) {
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if spec[field].is_null() && !old[field].is_null() {
                spec[field] = old[field].clone();
            }
        }
        drop_second(spec, old);
    }
    complete_families(spec, ranges)
}

fn clear(spec: &mut Value, field: &str) {
    if let Some(fields) = spec.as_object_mut() {
        fields.remove(field);
    }
}

fn list<'a>(spec: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    spec.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

/// An update that leaves out what the server gave keeps it.
fn keep_what_was_given(spec: &mut Value, old: &Value) {
    if has_addresses(old) && has_addresses(spec) && text(spec, "clusterIP").is_empty() {
        let same = spec["clusterIPs"].is_null() || spec["clusterIPs"] == old["clusterIPs"];
        if same {
            spec["clusterIP"] = old["clusterIP"].clone();
            spec["clusterIPs"] = old["clusterIPs"].clone();
        }
    }
    if has_node_ports(old) && has_node_ports(spec) {
        let named = |port: &Value| (port["port"].as_i64(), text(port, "protocol").to_owned());
        let mut numbers = BTreeMap::new();
        for known in ports(old) {
            numbers.entry(named(known)).or_insert(&known["nodePort"]);
        }
        for port in list(spec, "ports").filter(|port| port["nodePort"].as_u64().unwrap_or_default() == 0) {
            if let Some(number) = numbers.get(&named(port)).filter(|number| !number.is_null()) {
                port["nodePort"] = (*number).clone();
            }
        }
    }
}

fn drop_what_goes_with_the_type(spec: &mut Value, old: &Value) {
    let same = |spec: &Value, field: &str| spec[field] == old[field];
    if has_addresses(old) && !has_addresses(spec) && same(spec, "clusterIP") && same(spec, "clusterIPs") {
        for field in ["clusterIP", "clusterIPs"] {
            clear(spec, field);
        }
    }
    if !has_addresses(spec) {
        for field in ["ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            if same(spec, field) {
                clear(spec, field);
            }
        }
    }
    if has_node_ports(old) && !has_node_ports(spec) {
        let numbers = |spec: &Value| ports(spec).map(|port| port["nodePort"].clone()).collect::<Vec<_>>();
        if numbers(spec) == numbers(old) {
            list(spec, "ports").for_each(|port| clear(port, "nodePort"));
        }
    }
    let balanced = |spec: &Value| text(spec, "type") == "LoadBalancer";
    if balanced(old) && !balanced(spec) {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass", "healthCheckNodePort"] {
            if same(spec, field) {
                clear(spec, field);
            }
        }
    }
    let external = has_node_ports(spec) || balanced(spec) || spec["externalIPs"].is_array();
    if !external && same(spec, "externalTrafficPolicy") {
        clear(spec, "externalTrafficPolicy");
    }
}

/// `clusterIP` is the first of `clusterIPs`, whichever of them a client knows.
fn agree_on_addresses(spec: &mut Value, old: Option<&Value>) {
    let first = text(spec, "clusterIP").to_owned();
    let listed = !spec["clusterIPs"].is_null();
    let Some(old) = old else {
        if !first.is_empty() && !listed {
            spec["clusterIPs"] = json!([first]);
        }
        return;
    };
    let changed = |field: &str| spec[field] != old[field];
    match (changed("clusterIP"), changed("clusterIPs")) {
        (true, false) if first.is_empty() => clear(spec, "clusterIPs"),
        (true, false) => spec["clusterIPs"] = json!([first]),
        _ if !first.is_empty() && !listed => spec["clusterIPs"] = json!([first]),
        _ => {}
    }
}

/// A Service that wants one family only gives its second address back.
fn drop_second(spec: &mut Value, old: &Value) {
    let was_dual = old["ipFamilyPolicy"] != "SingleStack";
    if !was_dual || spec["ipFamilyPolicy"] != "SingleStack" {
        return;
    }
    for field in ["ipFamilies", "clusterIPs"] {
        if spec[field] == old[field]
            && let Some(all) = spec.get_mut(field).and_then(Value::as_array_mut)
        {
            all.truncate(1);
        }
    }
}

fn complete_families(spec: &mut Value, ranges: &ServiceRanges) -> Vec<Cause> {
    let known: Vec<&'static str> = ranges.families().collect();
    let bare = is_headless(spec) && spec["selector"].as_object().is_none_or(serde_json::Map::is_empty);
    if spec["ipFamilyPolicy"].is_null() {
        spec["ipFamilyPolicy"] = json!(if bare { "RequireDualStack" } else { "SingleStack" });
    }
    let mut families = spec["ipFamilies"].as_array().cloned().unwrap_or_default();
    let addresses = spec["clusterIPs"].as_array().into_iter().flatten();
    let of_addresses: Vec<_> =
        addresses.filter_map(|text| Some(family(text.as_str()?.parse::<IpAddr>().ok()?))).collect();
    families.extend(of_addresses.iter().skip(families.len()).map(|family| json!(family)));
    if families.is_empty() {
        families.extend(known.first().map(|family| json!(family)));
    }
    let policy = text(spec, "ipFamilyPolicy").to_owned();
    let mut causes = Vec::new();
    if policy == "RequireDualStack" && known.len() < 2 && !bare {
        let detail = "this cluster is not configured for dual-stack services";
        causes.push(Cause::invalid("spec.ipFamilyPolicy", &json!(policy), detail));
    }
    let named = spec["ipFamilies"].as_array().map_or(0, Vec::len);
    for (index, family) in families.iter().enumerate().filter(|_| !bare) {
        if policy == "SingleStack" && families.len() > 1 || known.iter().any(|known| family == known) {
            continue;
        }
        if index < named {
            let field = format!("spec.ipFamilies[{index}]");
            causes.push(Cause::invalid(&field, family, "not configured on this cluster"));
        } else {
            let (field, detail) = (format!("spec.clusterIPs[{index}]"), "is not configured on this cluster");
            let detail = format!("{} {detail}", family.as_str().unwrap_or_default());
            causes.push(Cause::invalid_go(&field, &super::go_list(&spec["clusterIPs"]), detail));
        }
    }
    let dual = policy == "RequireDualStack" || policy == "PreferDualStack" && known.len() > 1;
    if families.len() == 1 && dual {
        let other = if families[0] == "IPv4" { "IPv6" } else { "IPv4" };
        families.push(json!(other));
    }
    if policy == "SingleStack" && families.len() > 1 {
        let detail =
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified";
        causes.push(Cause::invalid("spec.ipFamilyPolicy", &json!(policy), detail));
    }
    spec["ipFamilies"] = Value::Array(families);
    causes
}
