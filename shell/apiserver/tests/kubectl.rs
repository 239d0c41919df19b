//! kubectl works against the server. These tests need `kubectl` in the path; where it is missing they are to be left
//! out by filter.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::{Command, Output};

use serde_json::json;

#[path = "api/harness.rs"]
#[expect(dead_code, reason = "shared with the tests that use kube")]
mod harness;

use harness::{BROKER, Served, config_map, endpoint};

struct Kubectl {
    served: Served,
    home: tempfile::TempDir,
}

impl Kubectl {
    async fn start() -> Self {
        let served = Served::start().await;
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config"), served.kubeconfig("admin")).unwrap();
        Self { served, home }
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new("kubectl");
        command.args(arguments.split_whitespace()).current_dir(self.home.path());
        command.env("HOME", self.home.path()).env("KUBECONFIG", self.home.path().join("config"));
        command
    }

    async fn output(&self, arguments: &str) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("kubectl is in the path")
    }

    /// What a command prints; it must succeed.
    async fn run(&self, arguments: &str) -> String {
        let output = self.output(arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "kubectl {arguments}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command complains about; it must fail.
    async fn fail(&self, arguments: &str) -> String {
        let output = self.output(arguments).await;
        assert!(!output.status.success(), "kubectl {arguments} succeeded");
        String::from_utf8(output.stderr).unwrap()
    }

    fn write(&self, name: &str, object: &serde_json::Value) {
        std::fs::write(self.home.path().join(name), object.to_string()).unwrap();
    }
}

fn columns(text: &str) -> Vec<Vec<String>> {
    text.lines()
        .map(|line| {
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_applied_shown_and_deleted() {
    let kubectl = Kubectl::start().await;
    kubectl.write("map.json", &config_map("a", "1"));
    let apply = "apply --server-side --validate=false -f map.json";
    assert_eq!(kubectl.run(apply).await, "configmap/a serverside-applied\n");
    kubectl.write("map.json", &config_map("a", "2"));
    kubectl.run(apply).await;
    assert_eq!(kubectl.run("get configmap a -o jsonpath={.data.key}").await, "2");
    let table = columns(&kubectl.run("get cm").await);
    assert_eq!(table[0], ["NAME", "DATA", "AGE"]);
    assert_eq!(table[1][..2], ["a", "1"]);
    let all = columns(&kubectl.run("get configmaps -A").await);
    assert_eq!(all[1][..2], ["default", "a"]);
    kubectl.served.server.store().create(config_map("b", "1")).unwrap();
    let followed = kubectl.output("get configmaps --watch --request-timeout=2s").await;
    let followed = columns(&String::from_utf8(followed.stdout).unwrap());
    let names: Vec<_> = followed.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(names, ["NAME", "a", "b"]);
    assert_eq!(kubectl.run("delete configmap a").await, "configmap \"a\" deleted\n");
    assert!(kubectl.fail("get configmap a").await.contains("(NotFound): configmaps \"a\" not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_show_their_ha_status_and_are_waited_for() {
    let kubectl = Kubectl::start().await;
    let gateway = json!({
        "apiVersion": "submariner.io/v1", "kind": "Gateway",
        "metadata": {"name": "gw", "namespace": "default"},
        "status": {
            "version": "v", "haStatus": "passive", "statusFailure": "", "connections": [],
            "localEndpoint": endpoint("east")["spec"],
        },
    });
    kubectl.write("gateway.json", &gateway);
    kubectl.run("apply --server-side --validate=false -f gateway.json").await;
    let table = columns(&kubectl.run("get gateways.submariner.io").await);
    assert_eq!(table[0], ["NAME", "HA STATUS"]);
    assert_eq!(table[1][..2], ["gw", "passive"]);
    let waiting = kubectl
        .command("wait gateways.submariner.io/gw --for=jsonpath={.status.haStatus}=active --timeout=20s")
        .spawn();
    let mut waiting = waiting.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let active = json!({"status": {"haStatus": "active"}});
    kubectl.served.server.store().merge("gateways.submariner.io", "default", "gw", active).unwrap();
    let waited = tokio::task::spawn_blocking(move || waiting.wait()).await.unwrap().unwrap();
    assert!(waited.success());

    let mut gone =
        kubectl.command("wait gateways.submariner.io/gw --for=delete --timeout=20s").spawn().unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    kubectl.run("delete gateways.submariner.io gw").await;
    assert!(tokio::task::spawn_blocking(move || gone.wait()).await.unwrap().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_of_nodes_are_waited_for() {
    let kubectl = Kubectl::start().await;
    kubectl.write("node.json", &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}));
    kubectl.run("create --validate=false -f node.json").await;
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    kubectl.write("ready.json", &ready);
    kubectl.run("patch node n --subresource=status --type=strategic --patch-file=ready.json").await;
    kubectl.run("wait node/n --for=condition=Ready --timeout=10s").await;
    let table = columns(&kubectl.run("get nodes").await);
    assert_eq!(table[1][..2], ["n", "Ready"]);
    kubectl.run("label node n submariner.io/gateway=true").await;
    kubectl.run("annotate node n example.com/note=x").await;
    assert_eq!(kubectl.run("get nodes -l submariner.io/gateway=true -o name").await, "node/n\n");
    assert!(kubectl.run("describe node n").await.contains("submariner.io/gateway=true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_are_made_and_taken_away_with_their_content() {
    let kubectl = Kubectl::start().await;
    // Commands such as `create namespace NAME` send protobuf, manifests are sent as JSON.
    kubectl.run("create namespace other").await;
    assert_eq!(kubectl.run("get namespace other -o jsonpath={.status.phase}").await, "Active");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    let mut map = config_map("settings", "1");
    map["metadata"]["namespace"] = json!("shop");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [namespace, map]});
    kubectl.write("shop.json", &list);
    kubectl.run("create --validate=false -f shop.json").await;
    assert_eq!(kubectl.run("-n shop get configmap settings -o jsonpath={.data.key}").await, "1");
    kubectl.run("-n shop patch configmap settings -p {\"data\":{\"key\":\"2\"}}").await;
    assert_eq!(kubectl.run("-n shop get configmap settings -o jsonpath={.data.key}").await, "2");
    kubectl.run("delete namespace shop --timeout=20s").await;
    assert!(kubectl.fail("get namespace shop").await.contains("NotFound"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_told_what_it_may_not_do() {
    let kubectl = Kubectl::start().await;
    std::fs::write(kubectl.home.path().join("config"), kubectl.served.kubeconfig("east")).unwrap();
    let secrets = kubectl.fail(&format!("-n {BROKER} get secrets")).await;
    assert!(
        secrets.contains("(Forbidden)") && secrets.contains("cannot list resource \"secrets\""),
        "{secrets}"
    );
    kubectl.write("west.json", &endpoint("west"));
    let write = kubectl.fail("apply --server-side --validate=false -f west.json").await;
    assert!(write.contains("submariner-io/clusterID must be \"east\""), "{write}");
    kubectl.write("east.json", &endpoint("east"));
    kubectl.run("apply --server-side --validate=false -f east.json").await;
    let table = columns(&kubectl.run(&format!("-n {BROKER} get endpoints.submariner.io")).await);
    assert_eq!(table[1][0], "east-submariner-cable-east-10-0-0-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_and_events_are_shown() {
    let kubectl = Kubectl::start().await;
    let resources = kubectl.run("api-resources").await;
    for name in ["endpoints", "gateways", "leases", "endpointslices"] {
        assert!(resources.lines().any(|line| line.starts_with(name)), "{name} in {resources}");
    }
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": {"kind": "Node", "name": "n"},
        "reason": "Joined", "message": "hello", "type": "Normal", "lastTimestamp": "2026-01-01T00:00:00Z",
    });
    kubectl.served.server.store().create(event).unwrap();
    assert!(kubectl.run("get events").await.contains("hello"));
    assert!(kubectl.run("version").await.contains("Server Version: v1.33.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_are_explained() {
    let kubectl = Kubectl::start().await;
    let ports = kubectl.run("explain service.spec.ports").await;
    assert!(ports.contains("FIELD: ports <[]ServicePort>") && ports.contains("targetPort"), "{ports}");
    let gateway = kubectl.run("explain gateways.submariner.io --recursive").await;
    assert!(gateway.contains("GROUP:      submariner.io") && gateway.contains("haStatus"), "{gateway}");
    assert!(kubectl.fail("explain service.spec.nothing").await.contains("does not exist"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_refused_or_warned_of() {
    let kubectl = Kubectl::start().await;
    let mut map = config_map("a", "1");
    map["odd"] = json!(1);
    kubectl.write("map.json", &map);
    for command in ["create", "apply"] {
        let refused = kubectl.fail(&format!("{command} -f map.json")).await;
        assert!(refused.contains(r#"strict decoding error: unknown field "odd""#), "{command}: {refused}");
    }
    let warned = kubectl.output("create --validate=warn -f map.json").await;
    assert!(
        String::from_utf8_lossy(&warned.stderr).contains(r#"Warning: unknown field "odd""#),
        "{warned:?}"
    );
    assert_eq!(kubectl.run("get configmap a -o jsonpath={.data.key}{.odd}").await, "1");
    let applied = kubectl.fail("apply --server-side -f map.json").await;
    assert!(applied.contains(".odd: field not declared in schema"), "{applied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_side_apply_merges_lists_by_their_keys() {
    let kubectl = Kubectl::start().await;
    let service = |ports: serde_json::Value| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"selector": {"app": "s"}, "ports": ports}})
    };
    kubectl.write("s.json", &service(json!([{"name": "a", "port": 1}, {"name": "b", "port": 2}])));
    assert_eq!(kubectl.run("apply -f s.json").await, "service/s created\n");
    // Somebody else adds a port; the applier takes away one of its own.
    let added = json!({"spec": {"ports": [{"name": "c", "port": 3}]}});
    kubectl.write("added.json", &added);
    kubectl.run("patch service s --type=strategic --patch-file=added.json").await;
    kubectl.write("s.json", &service(json!([{"name": "a", "port": 1}])));
    assert_eq!(kubectl.run("apply -f s.json").await, "service/s configured\n");
    let ports = kubectl.run("get service s -o jsonpath={.spec.ports[*].name}").await;
    let mut ports: Vec<_> = ports.split_whitespace().collect();
    ports.sort_unstable();
    assert_eq!(ports, ["a", "c"]);
    let version = "get service s -o jsonpath={.metadata.resourceVersion}";
    let before = kubectl.run(version).await;
    kubectl.run("apply -f s.json").await;
    assert_eq!(kubectl.run(version).await, before, "the same again changes nothing");
    assert!(kubectl.run("diff -f s.json").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_are_defined_and_scaled() {
    let kubectl = Kubectl::start().await;
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"replicas": {"type": "integer", "default": 1}}},
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
    }});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "ships.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "ships", "kind": "Ship", "shortNames": ["sh"]},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": {"scale": {
                    "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
                "additionalPrinterColumns": [
                    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]}]},
    });
    kubectl.write("definition.json", &definition);
    kubectl.run("apply -f definition.json").await;
    kubectl.run("wait crd ships.example.com --for=condition=Established --timeout=10s").await;
    let ship = json!({"apiVersion": "example.com/v1", "kind": "Ship", "metadata": {"name": "a"}, "spec": {}});
    kubectl.write("ship.json", &ship);
    kubectl.run("apply -f ship.json").await;
    kubectl.run("scale sh/a --replicas=3").await;
    let table = columns(&kubectl.run("get ships").await);
    assert_eq!(
        (&table[0], &table[1][..2]),
        (&vec!["NAME".into(), "REPLICAS".into(), "AGE".into()], &["a".into(), "3".into()][..])
    );
    kubectl.run("delete crd ships.example.com --timeout=10s").await;
    assert!(kubectl.fail("get ships").await.contains("could not find the requested resource"));
}
