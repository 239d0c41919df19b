//! Columns of Services and what stands behind them.

use serde_json::{Value, json};

use super::{AGE, Column, NAME, Table, first_three, items, joined, labels, path, selector, text, wide, with};

pub(super) const TABLES: &[Table] = &[
    ("", "services", SERVICE),
    ("", "endpoints", &[NAME, with("Endpoints", endpoints), AGE]),
    (
        "discovery.k8s.io",
        "endpointslices",
        &[
            NAME,
            path("AddressType", "addressType"),
            with("Ports", slice_ports),
            with("Endpoints", slice_endpoints),
            AGE,
        ],
    ),
    ("networking.k8s.io", "networkpolicies", &[NAME, with("Pod-Selector", pod_selector), AGE]),
];

const SERVICE: &[Column] = &[
    NAME,
    path("Type", "spec.type"),
    with("Cluster-IP", cluster_ip),
    with("External-IP", external_ip),
    with("Port(s)", service_ports),
    AGE,
    wide(with("Selector", |service| labels(service, "/spec/selector"))),
];

fn pod_selector(policy: &Value) -> Value {
    let written = selector(&policy["spec"]["podSelector"]);
    json!(if written.is_empty() { "<none>" } else { &written })
}

fn cluster_ip(service: &Value) -> Value {
    let first = items(service, "/spec/clusterIPs").find_map(Value::as_str);
    let only = Some(text(service, "/spec/clusterIP")).filter(|address| !address.is_empty());
    json!(first.or(only).unwrap_or("<none>"))
}

fn external_ip(service: &Value) -> Value {
    let external = items(service, "/spec/externalIPs").filter_map(Value::as_str).map(str::to_owned);
    match text(service, "/spec/type") {
        "LoadBalancer" => {
            let balanced = items(service, "/status/loadBalancer/ingress").map(|ingress| {
                let address = text(ingress, "/ip");
                if address.is_empty() { text(ingress, "/hostname").to_owned() } else { address.to_owned() }
            });
            joined(balanced.chain(external), "<pending>")
        }
        "ExternalName" => json!(text(service, "/spec/externalName")),
        "ClusterIP" | "NodePort" => joined(external, "<none>"),
        _ => json!("<unknown>"),
    }
}

fn service_ports(service: &Value) -> Value {
    let ports = items(service, "/spec/ports").map(|port| {
        let number = port.get("port").and_then(Value::as_u64).unwrap_or_default();
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
        match port.get("nodePort").and_then(Value::as_u64).filter(|port| *port > 0) {
            Some(node_port) => format!("{number}:{node_port}/{protocol}"),
            None => format!("{number}/{protocol}"),
        }
    });
    joined(ports, "<none>")
}

fn endpoints(object: &Value) -> Value {
    let of_subset = |subset: &Value| {
        let addresses: Vec<_> =
            items(subset, "/addresses").map(|known| text(known, "/ip").to_owned()).collect();
        let ports: Vec<_> = items(subset, "/ports").map(|port| port["port"].to_string()).collect();
        if ports.is_empty() {
            return addresses;
        }
        let joined = |address: &String, port: &String| {
            if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
        };
        ports.iter().flat_map(|port| addresses.iter().map(move |address| joined(address, port))).collect()
    };
    let all: Vec<String> = items(object, "/subsets").flat_map(of_subset).collect();
    if all.is_empty() { json!("<none>") } else { first_three(all.into_iter()) }
}

fn slice_ports(slice: &Value) -> Value {
    let port = |port: &Value| match (port["port"].as_i64(), port["name"].as_str()) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "*".to_owned(),
    };
    first_three(items(slice, "/ports").map(port))
}

fn slice_endpoints(slice: &Value) -> Value {
    let addresses = items(slice, "/endpoints").flat_map(|endpoint| items(endpoint, "/addresses"));
    first_three(addresses.filter_map(Value::as_str).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_by_the_type_of_a_service() {
        let service = |kind: &str| {
            json!({"spec": {"type": kind, "externalIPs": ["192.0.2.1"], "clusterIP": "10.0.0.1", "externalName": "a.b"},
                "status": {"loadBalancer": {"ingress": [{"hostname": "lb"}]}}})
        };
        assert_eq!(external_ip(&service("ClusterIP")), "192.0.2.1");
        assert_eq!(external_ip(&service("LoadBalancer")), "lb,192.0.2.1");
        assert_eq!(external_ip(&service("ExternalName")), "a.b");
        assert_eq!(external_ip(&json!({"spec": {"type": "LoadBalancer"}})), "<pending>");
        assert_eq!(cluster_ip(&service("ClusterIP")), "10.0.0.1");
        assert_eq!(cluster_ip(&json!({})), "<none>");
        let object = json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": [{"port": 80}]}]});
        assert_eq!(endpoints(&object), "10.0.0.1:80,[fd00::1]:80");
    }
}
