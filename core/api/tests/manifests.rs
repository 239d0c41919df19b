//! The committed manifests are those of the types, and say what the Go implementation's say.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use serde_json::{Value, json};
use subm_api::{crd_manifests, crds};

const COMMITTED: [(&str, &str); 4] = [
    ("submariner.io_clusters.yaml", include_str!("../../../manifests/crds/submariner.io_clusters.yaml")),
    ("submariner.io_endpoints.yaml", include_str!("../../../manifests/crds/submariner.io_endpoints.yaml")),
    ("submariner.io_gateways.yaml", include_str!("../../../manifests/crds/submariner.io_gateways.yaml")),
    (
        "submariner.io_routeagents.yaml",
        include_str!("../../../manifests/crds/submariner.io_routeagents.yaml"),
    ),
];

fn definition(plural: &str) -> Value {
    let crd = crds().into_iter().find(|crd| crd.spec.names.plural == plural).unwrap();
    serde_json::to_value(crd).unwrap()
}

fn body(plural: &str, field: &str) -> Value {
    let root = definition(plural)["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    root["properties"][field].clone()
}

fn required(schema: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

fn properties(schema: &Value) -> Vec<&str> {
    let mut names: Vec<_> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn committed_manifests_are_fresh() {
    for ((name, text), (committed_name, committed)) in crd_manifests().iter().zip(COMMITTED) {
        assert_eq!(name, committed_name);
        assert!(text == committed, "manifests/crds/{name} is stale: write it again with `make crds`");
    }
    assert_eq!(crd_manifests().len(), COMMITTED.len());
}

#[test]
fn a_manifest_reads_back_as_its_definition() {
    for ((_, text), crd) in crd_manifests().iter().zip(crds()) {
        let value: Value = serde_saphyr::from_str(text).unwrap();
        assert_eq!(value, serde_json::to_value(crd).unwrap());
    }
}

#[test]
fn no_kind_has_a_status_subresource_and_names_are_those_of_the_reference() {
    for (plural, singular, kind) in [
        ("clusters", "cluster", "Cluster"),
        ("endpoints", "endpoint", "Endpoint"),
        ("gateways", "gateway", "Gateway"),
        ("routeagents", "routeagent", "RouteAgent"),
    ] {
        let crd = definition(plural);
        assert_eq!(crd["metadata"]["name"], json!(format!("{plural}.submariner.io")));
        let names =
            json!({"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular});
        assert_eq!(crd["spec"]["names"], names);
        assert_eq!(
            (&crd["spec"]["group"], &crd["spec"]["scope"]),
            (&json!("submariner.io"), &json!("Namespaced"))
        );
        let versions = crd["spec"]["versions"].as_array().unwrap();
        assert_eq!(versions.len(), 1);
        let version = versions[0].as_object().unwrap();
        assert!(!version.contains_key("subresources"));
        assert_eq!(
            (&version["name"], &version["served"], &version["storage"]),
            (&json!("v1"), &json!(true), &json!(true))
        );
        assert_eq!(version.contains_key("additionalPrinterColumns"), plural == "gateways");
    }
    let columns = definition("gateways")["spec"]["versions"][0]["additionalPrinterColumns"].clone();
    let description = "High availability status of the Gateway";
    let column = json!({"name": "HA Status", "type": "string", "jsonPath": ".status.haStatus", "description": description});
    assert_eq!(columns, json!([column]));
}

#[test]
fn required_fields_are_those_of_the_reference() {
    let cluster = body("clusters", "spec");
    assert_eq!(required(&cluster), ["cluster_cidr", "cluster_id", "global_cidr", "service_cidr"]);
    assert_eq!(cluster["properties"]["cluster_id"]["minLength"], 1);
    assert_eq!(cluster["properties"]["cluster_id"]["maxLength"], 63);
    let endpoint = body("endpoints", "spec");
    let fields = [
        "backend",
        "cable_name",
        "cluster_id",
        "hostname",
        "nat_enabled",
        "private_ip",
        "public_ip",
        "subnets",
    ];
    assert_eq!(required(&endpoint), fields);
    let gateway = body("gateways", "status");
    assert_eq!(required(&gateway), ["connections", "haStatus", "localEndpoint", "statusFailure", "version"]);
    let connection = &gateway["properties"]["connections"]["items"];
    assert_eq!(required(connection), ["endpoint", "status", "statusMessage"]);
    assert_eq!(required(&connection["properties"]["endpoint"]), fields);
    let remote = &body("routeagents", "status")["properties"]["remoteEndpoints"]["items"];
    assert_eq!(required(remote), ["spec", "status", "statusMessage"]);
    for (plural, field, wanted) in [
        ("clusters", "spec", true),
        ("endpoints", "spec", true),
        ("gateways", "status", true),
        ("routeagents", "status", false),
    ] {
        let root = definition(plural)["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        let found = root.get("required").is_some_and(|names| names == &json!([field]));
        assert_eq!(found, wanted, "{plural}");
    }
}

#[test]
fn optional_fields_are_those_of_the_reference() {
    let endpoint = body("endpoints", "spec");
    let names = [
        "backend",
        "backend_config",
        "cable_name",
        "cluster_id",
        "healthCheckIP",
        "healthCheckIPs",
        "hostname",
        "nat_enabled",
        "privateIPs",
        "private_ip",
        "publicIPs",
        "public_ip",
        "subnets",
    ];
    assert_eq!(properties(&endpoint), names);
    for list in ["healthCheckIPs", "privateIPs", "publicIPs"] {
        assert_eq!(endpoint["properties"][list]["maxItems"], 2, "{list}");
    }
    let map = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let config = &endpoint["properties"]["backend_config"];
    assert_eq!(
        (&config["type"], &config["additionalProperties"]),
        (&map["type"], &map["additionalProperties"])
    );
    let clusters = body("clusters", "spec");
    assert_eq!(
        properties(&clusters),
        ["cluster_cidr", "cluster_id", "color_codes", "global_cidr", "service_cidr"]
    );
    let gateway = body("gateways", "status");
    let names = ["conditions", "connections", "haStatus", "localEndpoint", "statusFailure", "version"];
    assert_eq!(properties(&gateway), names);
    assert_eq!(gateway["properties"]["haStatus"]["type"], "string");
    let connection = &gateway["properties"]["connections"]["items"];
    let names = ["endpoint", "latencyRTT", "status", "statusMessage", "usingIP", "usingNAT"];
    assert_eq!(properties(connection), names);
    let latency = &connection["properties"]["latencyRTT"];
    assert_eq!(properties(latency), ["average", "last", "max", "min", "stdDev"]);
    assert!(latency["properties"].as_object().unwrap().values().all(|field| field["type"] == "string"));
    let agent = body("routeagents", "status");
    assert_eq!(properties(&agent), ["conditions", "remoteEndpoints", "statusFailure", "version"]);
    let names = ["lastTransitionTime", "message", "reason", "status", "type"];
    assert_eq!(required(&agent["properties"]["conditions"]["items"]), names);
}

#[test]
fn schemas_are_structural() {
    fn walk(path: &str, schema: &Value) {
        let object = schema.as_object().unwrap_or_else(|| panic!("{path} is no schema"));
        assert!(object["type"].is_string(), "{path} has no single type");
        let allowed = [
            "type",
            "description",
            "properties",
            "required",
            "items",
            "additionalProperties",
            "minLength",
            "maxLength",
            "maxItems",
            "format",
        ];
        for key in object.keys() {
            assert!(allowed.contains(&key.as_str()), "{path} has {key}");
        }
        for (name, child) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
            walk(&format!("{path}.{name}"), child);
        }
        for key in ["items", "additionalProperties"] {
            if let Some(child) = object.get(key) {
                walk(&format!("{path}[]"), child);
            }
        }
    }
    for crd in crds() {
        let version = serde_json::to_value(&crd.spec.versions[0]).unwrap();
        walk(&crd.spec.names.kind, &version["schema"]["openAPIV3Schema"]);
    }
}
