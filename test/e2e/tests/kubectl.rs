//! kubectl against the clusters of a playground; it needs the program.

use anyhow::{Result, ensure};
use subm_e2e::{Playground, program, until};

const WANTED: &str = r#"{
  "apiVersion": "v1", "kind": "ConfigMap",
  "metadata": {"name": "greeting", "namespace": "default", "labels": {"of": "a-person"}},
  "data": {"hello": "world"}
}"#;

#[test]
fn kubectl_works_inside_a_playground() -> Result<()> {
    let playground = Playground::up(&program("subctl")?, &["--workers", "1", "--pods", "1"])?;
    let kubectl =
        |place: &str, words: &str| playground.ask(place, &["sh", "-c", &format!("kubectl {words}")]);

    let nodes = kubectl("east", "get nodes -o name")?;
    ensure!(nodes.lines().eq(["node/east-gateway", "node/east-worker"]), "{nodes}");
    // From a pod the API is reached over the LAN.
    let nodes = kubectl("west/worker/pod-1", "get nodes -o name")?;
    ensure!(nodes.contains("node/west-worker"), "{nodes}");
    let gateways = until("the Gateway is active", || {
        let table = kubectl("east", "-n submariner-operator get gateways.submariner.io")?;
        ensure!(table.contains("active"), "{table}");
        Ok(table)
    })?;
    ensure!(gateways.contains("east-gateway") && gateways.contains("HA STATUS"), "{gateways}");
    kubectl("hub", "-n submariner-k8s-broker get clusters.submariner.io,endpoints.submariner.io")?;
    kubectl(
        "east",
        "-n submariner-operator wait --for=condition=Ready --timeout=60s routeagents.submariner.io --all",
    )?;

    let apply = format!("apply --server-side --validate=false -f - <<'END'\n{WANTED}\nEND");
    kubectl("east", &apply)?;
    let again = kubectl("east", &apply)?;
    ensure!(again.contains("serverside-applied"), "{again}");
    let value = kubectl("east", "get configmap greeting -o jsonpath={.data.hello}")?;
    ensure!(value == "world", "{value}");
    let chosen = kubectl("east", "get configmaps -l of=a-person -o name")?;
    ensure!(chosen.trim() == "configmap/greeting", "{chosen}");
    kubectl("east", "delete configmap greeting --wait")?;
    let gone = playground.exec("east", &["kubectl", "get", "configmap", "greeting"])?;
    ensure!(!gone.status.success() && String::from_utf8_lossy(&gone.stderr).contains("NotFound"));
    playground.down()
}
