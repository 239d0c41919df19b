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

/// Pods beside the daemons: one that counts, one that ends, one whose probe fails when told to, and two that cannot be.
const PODS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: greeting}
data: {hello: world}
---
apiVersion: v1
kind: Pod
metadata: {name: counter, labels: {app: counter}}
spec:
  nodeName: east-worker
  containers:
  - name: main
    image: machine
    command: [sh, -c, "n=0; while true; do n=$((n+1)); echo run $GREETING $n; sleep 0.2; done"]
    env: [{name: GREETING, valueFrom: {configMapKeyRef: {name: greeting, key: hello}}}]
    readinessProbe: {exec: {command: [test, "!", -e, /run/subm-test/sick]}, periodSeconds: 1, failureThreshold: 1}
    volumeMounts: [{name: scratch, mountPath: /run/subm-test}]
    securityContext: {capabilities: {drop: [ALL]}}
  volumes: [{name: scratch, emptyDir: {}}]
---
apiVersion: v1
kind: Pod
metadata: {name: crash}
spec:
  nodeName: east-worker
  containers: [{name: main, image: machine, command: [sh, -c, "echo about to end; exit 3"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: imageless}
spec: {nodeName: east-worker, containers: [{name: main, image: example.com/none}]}
---
apiVersion: v1
kind: Pod
metadata: {name: programless}
spec: {nodeName: east-worker, containers: [{name: main, image: machine, command: [no-such-program]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: idle}
spec:
  replicas: 3
  selector: {matchLabels: {app: idle}}
  template:
    metadata: {labels: {app: idle}}
    spec: {containers: [{name: main, image: machine, command: [sleep, infinity]}]}
"#;

#[test]
fn pods_run_and_are_looked_into() -> Result<()> {
    let playground = Playground::up(&program("subctl")?, &["--workers", "1", "--pods", "1"])?;
    let kubectl = |words: &str| playground.ask("east", &["sh", "-c", &format!("kubectl {words}")]);
    kubectl(&format!("apply -f - <<'END'\n{PODS}\nEND"))?;
    kubectl("wait --for=condition=Ready --timeout=60s pod/counter")?;

    let greeting = kubectl("exec counter -- sh -c 'echo $GREETING'")?;
    ensure!(greeting.trim() == "world", "{greeting}");
    let seven = playground.exec("east", &["kubectl", "exec", "counter", "--", "sh", "-c", "exit 7"])?;
    ensure!(seven.status.code() == Some(7), "exec ends with {:?}, not 7", seven.status.code());
    let echoed = kubectl("exec -i counter -- tr a-z A-Z <<'END'\nhello\nEND")?;
    ensure!(echoed.trim() == "HELLO", "{echoed}");
    let capabilities = kubectl("exec counter -- grep CapEff /proc/self/status")?;
    ensure!(capabilities.trim().ends_with("\t0000000000000000"), "{capabilities}");

    let followed = kubectl("logs -f counter | head -n 20")?;
    ensure!(followed.lines().count() == 20 && followed.starts_with("run world 1\n"), "{followed}");
    let tail = kubectl("logs counter --tail=1 --timestamps")?;
    ensure!(tail.lines().count() == 1 && tail.starts_with("20"), "{tail}");

    kubectl("exec counter -- touch /run/subm-test/sick")?;
    kubectl("wait --for=condition=Ready=false --timeout=60s pod/counter")?;
    kubectl("exec counter -- rm /run/subm-test/sick")?;
    kubectl("wait --for=condition=Ready --timeout=60s pod/counter")?;

    kubectl("rollout status deployment/idle --timeout=60s")?;
    kubectl(r#"patch deployment/idle --type=merge -p '{"spec":{"replicas":1}}'"#)?;
    until("two Pods are gone", || {
        let pods = kubectl("get pods -l app=idle -o name")?;
        ensure!(pods.lines().count() == 1, "{pods}");
        Ok(())
    })?;
    playground.down()
}

#[test]
fn pods_that_cannot_run_say_why() -> Result<()> {
    let playground = Playground::up(&program("subctl")?, &["--workers", "1", "--pods", "1"])?;
    let kubectl = |words: &str| playground.ask("east", &["sh", "-c", &format!("kubectl {words}")]);
    kubectl(&format!("apply -f - <<'END'\n{PODS}\nEND"))?;
    for (pod, path, wanted) in [
        ("crash", "state.waiting.reason", "CrashLoopBackOff"),
        ("crash", "lastState.terminated.exitCode", "3"),
        ("imageless", "state.waiting.message", "example.com/none"),
        ("programless", "lastState.terminated.message", "no-such-program"),
    ] {
        until("its status tells it", || {
            let path = format!("-o jsonpath='{{.status.containerStatuses[0].{path}}}'");
            let found = kubectl(&format!("get pod {pod} {path}"))?;
            ensure!(found.contains(wanted), "{pod} says {found:?}, not {wanted:?}");
            Ok(())
        })?;
    }
    let before = until("its last words are told", || kubectl("logs crash --previous"))?;
    ensure!(before.contains("about to end"), "{before}");
    until("an event tells it", || {
        let events = kubectl("get events --field-selector involvedObject.name=imageless")?;
        ensure!(events.contains("example.com/none"), "{events}");
        Ok(())
    })?;
    playground.down()
}

#[test]
fn the_daemons_are_pods_of_daemon_sets() -> Result<()> {
    let playground = Playground::up(&program("subctl")?, &["--workers", "1", "--pods", "1"])?;
    let kubectl = |words: &str| {
        playground.ask("east", &["sh", "-c", &format!("kubectl -n submariner-operator {words}")])
    };
    for set in ["submariner-gateway", "submariner-routeagent"] {
        kubectl(&format!("rollout status daemonset/{set} --timeout=60s"))?;
    }
    let wide = kubectl("get pods -A -o wide")?;
    ensure!(wide.contains("submariner-routeagent-") && wide.contains("east-gateway-pod-1"), "{wide}");
    let pod = || kubectl("get pods -l app=submariner-gateway -o jsonpath={.items[0].metadata.name}");
    let first = pod()?;
    ensure!(!kubectl(&format!("logs {first}"))?.is_empty(), "the gateway says nothing");
    kubectl(&format!("exec {first} -- submariner --version"))?;

    let restarts =
        || kubectl(&format!("get pod {first} -o jsonpath={{.status.containerStatuses[0].restartCount}}"));
    ensure!(restarts()? == "0", "{}", restarts()?);
    let gateway =
        playground.status()?.daemons.into_iter().find(|daemon| daemon.path == "east/gateway/gateway");
    let pid = gateway.and_then(|daemon| daemon.pid);
    ensure!(pid.is_some(), "the gateway does not run");
    playground.ask("east", &["kill", "-9", &pid.unwrap_or_default().to_string()])?;
    until("it is started again", || {
        ensure!(restarts()? == "1", "{}", restarts()?);
        Ok(())
    })?;

    kubectl(&format!("delete pod {first} --wait --timeout=60s"))?;
    until("another Pod is there", || {
        let next = pod()?;
        ensure!(!next.is_empty() && next != first, "{next}");
        Ok(())
    })?;
    kubectl("rollout status daemonset/submariner-gateway --timeout=60s")?;
    let before = kubectl("get pods -l app=submariner-routeagent -o name")?;
    kubectl("rollout restart daemonset/submariner-routeagent")?;
    kubectl("rollout status daemonset/submariner-routeagent --timeout=60s")?;
    let after = kubectl("get pods -l app=submariner-routeagent -o name")?;
    ensure!(after.lines().all(|pod| !before.contains(pod)), "{before} became {after}");
    playground.down()
}
