//! Services.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Change, address, distinct, dns_label, items, labels, port, port_or_name, text};
use crate::patch::Part;
use crate::schema::{Cause, Path};
use crate::services::{go_list, has_addresses, is_headless};

pub(in crate::kinds) fn service(change: &Change<'_>, causes: &mut Vec<Cause>) {
    let spec = &change.new["spec"];
    if change.part == Part::Status {
        return status(change.new, causes);
    }
    ports(spec, causes);
    labels(&spec["selector"], Path::root("spec").field("selector"), causes);
    match text(spec, "type") {
        "ExternalName" => external_name(spec, causes),
        "ClusterIP" | "NodePort" | "LoadBalancer" => addresses(spec, causes),
        _ => {}
    }
    for (index, value) in items(spec, "externalIPs") {
        let field = format!("spec.externalIPs[{index}]");
        match address(value) {
            None => causes.push(Cause::invalid(&field, value, NO_ADDRESS)),
            Some(address) if address.is_loopback() || address.is_unspecified() || address.is_multicast() => {
                let detail = "may not be an unspecified, loopback or multicast address";
                causes.push(Cause::invalid(&field, value, detail));
            }
            Some(_) => {}
        }
    }
    if let Some(old) = change.old {
        changes(spec, &old["spec"], causes);
    }
}

const NO_ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

fn ports(spec: &Value, causes: &mut Vec<Cause>) {
    let several = spec["ports"].as_array().map_or(0, Vec::len);
    if several == 0 && !is_headless(spec) && text(spec, "type") != "ExternalName" {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (index, entry) in items(spec, "ports") {
        let list = Path::root("spec");
        let list = list.field("ports");
        let path = list.index(index);
        if text(entry, "name").is_empty() {
            if several > 1 {
                causes.push(Cause::required(&path.field("name").to_string(), ""));
            }
        } else {
            dns_label(&entry["name"], path.field("name"), causes);
        }
        port(&entry["port"], path.field("port"), causes);
        port_or_name(&entry["targetPort"], path.field("targetPort"), causes);
        let number = entry["nodePort"].as_u64().unwrap_or_default();
        if number > 0 && ["ClusterIP", "ExternalName"].contains(&text(spec, "type")) {
            let detail = format!("may not be used when `type` is '{}'", text(spec, "type"));
            causes.push(Cause::forbidden(&path.field("nodePort").to_string(), &detail));
        }
    }
    let names =
        items(spec, "ports").map(|(index, port)| (&port["name"], format!("spec.ports[{index}].name")));
    distinct(names.collect(), causes);
    distinct_numbers(spec, causes);
}

/// No number stands twice for one protocol.
fn distinct_numbers(spec: &Value, causes: &mut Vec<Cause>) {
    let (mut seen, mut of_nodes) = (BTreeSet::new(), BTreeSet::new());
    for (index, entry) in items(spec, "ports") {
        let protocol = text(entry, "protocol");
        let node_port = entry["nodePort"].as_u64().filter(|number| *number > 0);
        if node_port.is_some_and(|number| !of_nodes.insert((protocol, number))) {
            causes.push(Cause::duplicate(&format!("spec.ports[{index}].nodePort"), &entry["nodePort"]));
        }
        if !seen.insert((protocol, entry["port"].as_i64())) {
            let found = format!(
                "core.ServicePort{{Name:\"\", Protocol:{}, AppProtocol:(*string)(nil), Port:{}, \
                 TargetPort:intstr.IntOrString{{Type:0, IntVal:0, StrVal:\"\"}}, NodePort:0}}",
                entry["protocol"], entry["port"]
            );
            causes.push(Cause {
                reason: "FieldValueDuplicate",
                message: format!("Duplicate value: {found}"),
                field: format!("spec.ports[{index}]"),
            });
        }
    }
}

fn external_name(spec: &Value, causes: &mut Vec<Cause>) {
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if spec[field].as_array().is_some_and(|all| !all.is_empty()) || spec[field].is_string() {
            causes
                .push(Cause::forbidden(&format!("spec.{field}"), "may not be set for ExternalName services"));
        }
    }
    if text(spec, "externalName").is_empty() {
        causes.push(Cause::required("spec.externalName", ""));
    }
}

fn addresses(spec: &Value, causes: &mut Vec<Cause>) {
    let mut families = BTreeSet::new();
    for (index, family) in items(spec, "ipFamilies") {
        if !families.insert(family.as_str()) {
            causes.push(Cause::duplicate(&format!("spec.ipFamilies[{index}]"), family));
        }
    }
    let first = text(spec, "clusterIP");
    let listed = &spec["clusterIPs"];
    let count = listed.as_array().map_or(0, Vec::len);
    if count > 2 {
        causes.push(Cause::invalid_go("spec.clusterIPs", &go_list(listed), "may only hold up to 2 values"));
    }
    if count > 0 && first.is_empty() {
        let detail = "must be empty when `clusterIP` is not specified";
        causes.push(Cause::invalid_go("spec.clusterIPs", &go_list(listed), detail));
    } else if count > 0 && listed[0] != first {
        let detail = "first value must match `clusterIP`";
        causes.push(Cause::invalid_go("spec.clusterIPs", &go_list(listed), detail));
    }
    if is_headless(spec) {
        if count > 1 {
            let detail = "must be a single value or empty when `clusterIPs[0]` is 'None'";
            causes.push(Cause::invalid_go("spec.clusterIPs", &go_list(listed), detail));
        }
        if text(spec, "type") != "ClusterIP" {
            let detail = format!("may not be set to 'None' for {} services", text(spec, "type"));
            causes.push(Cause::invalid("spec.clusterIPs[0]", &listed[0], detail));
        }
        return;
    }
    for (index, value) in items(spec, "clusterIPs") {
        let field = format!("spec.clusterIPs[{index}]");
        let family = spec["ipFamilies"][index].as_str().unwrap_or_default();
        match address(value) {
            None => causes.push(Cause::invalid(&field, value, NO_ADDRESS)),
            Some(address) if !family.is_empty() && address.is_ipv4() != (family == "IPv4") => {
                let detail = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
                causes.push(Cause::invalid(&field, value, detail));
            }
            Some(_) => {}
        }
    }
}

fn changes(spec: &Value, old: &Value, causes: &mut Vec<Cause>) {
    if !has_addresses(spec) || !has_addresses(old) {
        return;
    }
    for field in ["clusterIPs", "ipFamilies"] {
        let (before, after) = (&old[field][0], &spec[field][0]);
        if !before.is_null() && before != after {
            let place = format!("spec.{field}[0]");
            causes.push(Cause::invalid_go(&place, &go_list(&spec[field]), "may not change once set"));
        }
    }
    if !old["loadBalancerClass"].is_null()
        && text(spec, "type") == "LoadBalancer"
        && old["loadBalancerClass"] != spec["loadBalancerClass"]
    {
        let detail = "may not change once set";
        causes.push(Cause::invalid("spec.loadBalancerClass", &spec["loadBalancerClass"], detail));
    }
}

fn status(service: &Value, causes: &mut Vec<Cause>) {
    let balancer = &service["status"]["loadBalancer"];
    let of_type = text(&service["spec"], "type") == "LoadBalancer";
    if !of_type && balancer["ingress"].as_array().is_some_and(|all| !all.is_empty()) {
        let detail = "may only be used when `spec.type` is 'LoadBalancer'";
        causes.push(Cause::forbidden("status.loadBalancer.ingress", detail));
    }
    for (index, ingress) in items(balancer, "ingress") {
        let ip = &ingress["ip"];
        if !ip.is_null() && *ip != json!("") && address(ip).is_none() {
            let field = format!("status.loadBalancer.ingress[{index}].ip");
            causes.push(Cause::invalid(&field, ip, NO_ADDRESS));
        }
    }
}
