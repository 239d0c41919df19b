//! `EndpointSlices`: where connections to a Service with a selector may go.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::object::{is_ending, is_over, is_true, list, number, owner_reference, selects, text, uid};
use crate::plan::Plan;
use crate::step::Step;
use crate::view::{Kind, View};

const SERVICE: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";
/// COMPAT: as many endpoints as a slice has in Kubernetes.
const MOST: usize = 100;

pub(crate) fn plan(view: &View, plan: &mut Plan) {
    for service in view.all(Kind::Service).filter(|service| !is_ending(service)) {
        let selected = service["spec"]["selector"].as_object().is_some_and(|selector| !selector.is_empty());
        if selected && service["spec"]["type"] != "ExternalName" {
            of_service(view, service, plan);
        }
    }
}

fn of_service(view: &View, service: &Value, plan: &mut Plan) {
    let mut wanted: Vec<Value> =
        families(service).iter().flat_map(|family| slices(view, service, family)).collect();
    let namespace = text(service, "/metadata/namespace");
    let own = |slice: &&Value| {
        let labels = &slice["metadata"]["labels"];
        labels[SERVICE] == service["metadata"]["name"]
            && labels[MANAGED_BY] == CONTROLLER
            && !is_ending(slice)
    };
    let present: Vec<&Value> = view.within(Kind::EndpointSlice, namespace).filter(own).collect();
    let mut left = Vec::new();
    // What is as it should be stays; the others are changed to what is missing.
    for slice in present {
        match wanted.iter().position(|wanted| same(slice, wanted)) {
            Some(index) => drop(wanted.swap_remove(index)),
            None => left.push(slice),
        }
    }
    for slice in left {
        let fitting = wanted.iter().position(|wanted| wanted["addressType"] == slice["addressType"]);
        match fitting {
            Some(index) => plan
                .steps
                .push(Step::replace(Kind::EndpointSlice, changed(slice, &wanted.swap_remove(index)))),
            None => plan.steps.push(Step::delete(Kind::EndpointSlice, slice)),
        }
    }
    plan.steps.extend(wanted.into_iter().map(|slice| Step::create(Kind::EndpointSlice, slice)));
}

fn same(slice: &Value, wanted: &Value) -> bool {
    let within = |name: &str| {
        let wanted = wanted["metadata"][name].as_object().into_iter().flatten();
        wanted.into_iter().all(|(key, value)| slice["metadata"][name].get(key) == Some(value))
    };
    slice["addressType"] == wanted["addressType"]
        && list(slice, "/ports") == list(wanted, "/ports")
        && list(slice, "/endpoints") == list(wanted, "/endpoints")
        && slice["metadata"]["ownerReferences"] == wanted["metadata"]["ownerReferences"]
        && within("labels")
}

fn changed(slice: &Value, wanted: &Value) -> Value {
    let mut slice = slice.clone();
    for field in ["ports", "endpoints"] {
        slice[field] = wanted[field].clone();
    }
    for field in ["labels", "ownerReferences"] {
        slice["metadata"][field] = wanted["metadata"][field].clone();
    }
    slice
}

fn families(service: &Value) -> Vec<&str> {
    let named: Vec<&str> = list(service, "/spec/ipFamilies").iter().filter_map(Value::as_str).collect();
    if named.is_empty() { vec!["IPv4"] } else { named }
}

/// The slices of one family: Pods whose ports have the same numbers stand together.
fn slices(view: &View, service: &Value, family: &str) -> Vec<Value> {
    let namespace = text(service, "/metadata/namespace");
    let selector = json!({"matchLabels": service["spec"]["selector"]});
    let pods = view.within(Kind::Pod, namespace);
    let pods = pods.filter(|pod| !is_over(pod) && selects(&selector, &pod["metadata"]["labels"]));
    let mut groups: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
    for pod in pods {
        let Some(endpoint) = endpoint(pod, service, family) else { continue };
        let ports = ports(service, pod);
        groups.entry(ports.to_string()).or_insert_with(|| (ports, Vec::new())).1.push(endpoint);
    }
    if groups.is_empty() {
        // COMPAT: a Service without endpoints has a slice that says so.
        return vec![slice(service, family, &json!([]), &[])];
    }
    let chunks = |(ports, endpoints): (Value, Vec<Value>)| -> Vec<Value> {
        endpoints.chunks(MOST).map(|chunk| slice(service, family, &ports, chunk)).collect()
    };
    groups.into_values().flat_map(chunks).collect()
}

fn slice(service: &Value, family: &str, ports: &Value, endpoints: &[Value]) -> Value {
    let mut labels = json!({});
    if let Some(own) = service["metadata"]["labels"].as_object() {
        labels = json!(own);
    }
    labels[SERVICE] = service["metadata"]["name"].clone();
    labels[MANAGED_BY] = json!(CONTROLLER);
    if service["spec"]["clusterIP"] == "None" {
        labels[HEADLESS] = json!("");
    }
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": text(service, "/metadata/namespace"),
            "generateName": format!("{}-", text(service, "/metadata/name")),
            "labels": labels,
            "ownerReferences": owner_reference("Service", "v1", service),
        },
        "addressType": family,
        "ports": ports,
        "endpoints": endpoints,
    })
}

/// A Pod as an endpoint; none without an address of the family.
fn endpoint(pod: &Value, service: &Value, family: &str) -> Option<Value> {
    let listed = list(pod, "/status/podIPs").iter().map(|ip| text(ip, "/ip"));
    let single = std::iter::once(text(pod, "/status/podIP"));
    let of_family = |address: &&str| !address.is_empty() && address.contains(':') == (family == "IPv6");
    let address = listed.chain(single).find(of_family)?;
    let (serving, terminating) = (is_true(pod, "Ready"), is_ending(pod));
    let always = service["spec"]["publishNotReadyAddresses"] == true;
    let mut endpoint = json!({
        "addresses": [address],
        "conditions": {"ready": always || serving && !terminating, "serving": serving, "terminating": terminating},
        "targetRef": {
            "kind": "Pod",
            "namespace": text(pod, "/metadata/namespace"),
            "name": text(pod, "/metadata/name"),
            "uid": uid(pod),
        },
    });
    let node = text(pod, "/spec/nodeName");
    if !node.is_empty() {
        endpoint["nodeName"] = json!(node);
    }
    let (host, subdomain) = (text(pod, "/spec/hostname"), text(pod, "/spec/subdomain"));
    if !host.is_empty() && subdomain == text(service, "/metadata/name") {
        endpoint["hostname"] = json!(host);
    }
    Some(endpoint)
}

/// The ports of a Service on a Pod; those that the Pod has no number for are left out.
fn ports(service: &Value, pod: &Value) -> Value {
    let port = |spec: &Value| {
        let protocol = if text(spec, "/protocol").is_empty() { "TCP" } else { text(spec, "/protocol") };
        let target = &spec["targetPort"];
        let number = match target.as_str() {
            Some(name) => named_port(pod, name, protocol)?,
            None => target.as_i64().filter(|number| *number != 0).unwrap_or_else(|| number(spec, "/port")),
        };
        let mut port = json!({"name": text(spec, "/name"), "port": number, "protocol": protocol});
        if let Some(application) = spec["appProtocol"].as_str() {
            port["appProtocol"] = json!(application);
        }
        Some(port)
    };
    list(service, "/spec/ports").iter().filter_map(port).collect()
}

fn named_port(pod: &Value, name: &str, protocol: &str) -> Option<i64> {
    let ports = list(pod, "/spec/containers").iter().flat_map(|container| list(container, "/ports"));
    let mut named = ports.filter(|port| {
        let of = text(port, "/protocol");
        port["name"] == name && (of == protocol || of.is_empty() && protocol == "TCP")
    });
    named.next().map(|port| number(port, "/containerPort"))
}
