//! Columns of Pods and of what makes them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    AGE, Column, NAME, Table, at, items, labels, number, path, rough, selector, text, whole, wide, with,
};

pub(super) const TABLES: &[Table] = &[
    ("", "pods", POD),
    (
        "apps",
        "deployments",
        &[
            NAME,
            with("Ready", ready_of_wanted),
            number("Up-to-date", |object| count(object, "updatedReplicas")),
            number("Available", |object| count(object, "availableReplicas")),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
    ),
    (
        "apps",
        "replicasets",
        &[
            NAME,
            number("Desired", |set| json!(whole(set, "/spec/replicas"))),
            number("Current", |set| count(set, "replicas")),
            number("Ready", |set| count(set, "readyReplicas")),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
    ),
    (
        "apps",
        "daemonsets",
        &[
            NAME,
            number("Desired", |set| count(set, "desiredNumberScheduled")),
            number("Current", |set| count(set, "currentNumberScheduled")),
            number("Ready", |set| count(set, "numberReady")),
            number("Up-to-date", |set| count(set, "updatedNumberScheduled")),
            number("Available", |set| count(set, "numberAvailable")),
            with("Node Selector", |set| labels(set, "/spec/template/spec/nodeSelector")),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
    ),
    ("apps", "statefulsets", &[NAME, with("Ready", ready_of_wanted), AGE, CONTAINERS, IMAGES]),
    (
        "policy",
        "poddisruptionbudgets",
        &[
            NAME,
            with("Min Available", |budget| bound(budget, "minAvailable")),
            with("Max Unavailable", |budget| bound(budget, "maxUnavailable")),
            number("Allowed Disruptions", |budget| count(budget, "disruptionsAllowed")),
            AGE,
        ],
    ),
    (
        "apps",
        "controllerrevisions",
        &[NAME, with("Controller", controller), path("Revision", "revision"), AGE],
    ),
];

const CONTAINERS: Column = wide(with("Containers", |object| of_containers(object, "/name")));
const IMAGES: Column = wide(with("Images", |object| of_containers(object, "/image")));
const SELECTOR: Column = wide(with("Selector", |object| json!(selector(&object["spec"]["selector"]))));

const POD: &[Column] = &[
    NAME,
    with("Ready", |pod| json!(Seen::of(pod).ready)),
    with("Status", |pod| json!(Seen::of(pod).reason)),
    at("Restarts", restarts),
    AGE,
    wide(with("IP", |pod| or_none(text(pod, "/status/podIPs/0/ip")))),
    wide(with("Node", |pod| or_none(text(pod, "/spec/nodeName")))),
    wide(with("Nominated Node", |pod| or_none(text(pod, "/status/nominatedNodeName")))),
    wide(with("Readiness Gates", readiness_gates)),
];

fn or_none(text: &str) -> Value {
    json!(if text.is_empty() { "<none>" } else { text })
}

fn count(object: &Value, field: &str) -> Value {
    json!(object["status"][field].as_i64().unwrap_or_default())
}

/// A number of Pods, or a share of them.
fn bound(budget: &Value, field: &str) -> Value {
    json!(match &budget["spec"][field] {
        Value::Null => "N/A".to_owned(),
        Value::String(share) => share.clone(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    })
}

fn ready_of_wanted(object: &Value) -> Value {
    json!(format!("{}/{}", whole(object, "/status/readyReplicas"), whole(object, "/spec/replicas")))
}

fn of_containers(object: &Value, field: &str) -> Value {
    let containers = items(object, "/spec/template/spec/containers");
    json!(containers.map(|container| text(container, field)).collect::<Vec<_>>().join(","))
}

fn controller(revision: &Value) -> Value {
    let owner = items(revision, "/metadata/ownerReferences").find(|owner| owner["controller"] == true);
    let Some(owner) = owner else { return json!("<none>") };
    let kind = text(owner, "/kind").to_lowercase();
    let name = text(owner, "/name");
    json!(match text(owner, "/apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{name}"),
        None => format!("{kind}/{name}"),
    })
}

/// What a Pod's statuses say in one word and two numbers.
#[derive(Debug, Default)]
struct Seen {
    reason: String,
    ready: String,
    restarts: i64,
    /// When a container last ended before it was started again.
    restarted: Option<Timestamp>,
}

fn ended(status: &Value) -> Option<Timestamp> {
    text(status, "/lastState/terminated/finishedAt").parse().ok()
}

/// Why a container ended, where it has no word for it.
fn exit(terminated: &Value) -> String {
    match (text(terminated, "/reason"), whole(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", whole(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    items(pod, "/status/conditions").find(|condition| text(condition, "/type") == kind)
}

fn is_true(pod: &Value, kind: &str) -> bool {
    condition(pod, kind).is_some_and(|condition| text(condition, "/status") == "True")
}

impl Seen {
    fn of(pod: &Value) -> Self {
        let phase = text(pod, "/status/phase");
        let told = text(pod, "/status/reason");
        let mut reason = if told.is_empty() { phase } else { told }.to_owned();
        let gated = condition(pod, "PodScheduled");
        if gated.is_some_and(|condition| text(condition, "/reason") == "SchedulingGated") {
            "SchedulingGated".clone_into(&mut reason);
        }
        let mut seen = Self { reason, ..Self::default() };
        let sidecars = items(pod, "/spec/initContainers").filter(|container| is_sidecar(container)).count();
        let all = items(pod, "/spec/containers").count() + sidecars;
        let mut ready = 0;
        let initialising = seen.read_initial(pod, &mut ready);
        if !initialising || is_true(pod, "Initialized") {
            seen.read_containers(pod, &mut ready);
        }
        seen.ready = format!("{ready}/{all}");
        if pod.pointer("/metadata/deletionTimestamp").is_some() {
            if told == "NodeLost" {
                "Unknown".clone_into(&mut seen.reason);
            } else if !["Succeeded", "Failed"].contains(&phase) {
                "Terminating".clone_into(&mut seen.reason);
            }
        }
        seen
    }

    fn note(&mut self, status: &Value) {
        self.restarts += whole(status, "/restartCount");
        self.restarted = self.restarted.max(ended(status));
    }

    /// Reads the containers that run first; tells whether one of them still holds the others back.
    fn read_initial(&mut self, pod: &Value, ready: &mut usize) -> bool {
        let declared: Vec<_> = items(pod, "/spec/initContainers").collect();
        let mut sidecars = Self::default();
        for (index, status) in items(pod, "/status/initContainerStatuses").enumerate() {
            let sidecar = declared
                .iter()
                .any(|container| text(container, "/name") == text(status, "/name") && is_sidecar(container));
            self.note(status);
            if sidecar {
                sidecars.note(status);
            }
            let terminated = &status["state"]["terminated"];
            let waiting = text(status, "/state/waiting/reason");
            if terminated.is_object() && whole(terminated, "/exitCode") == 0 {
                continue;
            }
            if sidecar && status["started"] == true {
                *ready += usize::from(status["ready"] == true);
                continue;
            }
            self.reason = if terminated.is_object() {
                format!("Init:{}", exit(terminated))
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                format!("Init:{waiting}")
            } else {
                format!("Init:{index}/{}", declared.len())
            };
            if is_true(pod, "Initialized") {
                (self.restarts, self.restarted) = (sidecars.restarts, sidecars.restarted);
            }
            return true;
        }
        (self.restarts, self.restarted) = (sidecars.restarts, sidecars.restarted);
        false
    }

    fn read_containers(&mut self, pod: &Value, ready: &mut usize) {
        let mut running = false;
        for status in items(pod, "/status/containerStatuses").rev() {
            self.note(status);
            let waiting = text(status, "/state/waiting/reason");
            let terminated = &status["state"]["terminated"];
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.reason);
            } else if terminated.is_object() {
                self.reason = exit(terminated);
            } else if status["ready"] == true && status["state"]["running"].is_object() {
                running = true;
                *ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            let word = if is_true(pod, "Ready") { "Running" } else { "NotReady" };
            word.clone_into(&mut self.reason);
        }
    }
}

fn is_sidecar(container: &Value) -> bool {
    text(container, "/restartPolicy") == "Always"
}

fn restarts(pod: &Value, now: Timestamp) -> Value {
    let seen = Seen::of(pod);
    json!(match seen.restarted.filter(|_| seen.restarts > 0) {
        Some(last) => format!("{} ({} ago)", seen.restarts, rough(now.duration_since(last))),
        None => seen.restarts.to_string(),
    })
}

fn readiness_gates(pod: &Value) -> Value {
    let gates: Vec<_> = items(pod, "/spec/readinessGates").collect();
    let open = gates.iter().filter(|gate| is_true(pod, text(gate, "/conditionType"))).count();
    json!(if gates.is_empty() { "<none>".to_owned() } else { format!("{open}/{}", gates.len()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(status: &Value) -> (String, String) {
        let pod = json!({"metadata": {"name": "p"}, "status": status,
            "spec": {"initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
                "containers": [{"name": "a"}, {"name": "b"}]}});
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        let seen = Seen::of(&pod);
        (
            format!("{} {}", seen.ready, seen.reason),
            restarts(&pod, now).as_str().unwrap_or_default().to_owned(),
        )
    }

    #[test]
    fn a_pod_says_what_its_containers_do() {
        let is = |status: Value, text: &str| assert_eq!(seen(&status).0, text, "{status}");
        is(json!({"phase": "Pending"}), "0/3 Pending");
        is(
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
            "0/3 Init:0/2",
        );
        let done = json!({"name": "i", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
        let beside = json!({"name": "s", "started": true, "ready": true, "state": {"running": {}}});
        is(
            json!({"phase": "Running", "initContainerStatuses": [done, beside], "containerStatuses": [
                {"name": "a", "ready": true, "state": {"running": {}}},
                {"name": "b", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
            "2/3 CrashLoopBackOff",
        );
        is(
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 2}}}]}),
            "0/3 Init:ExitCode:2",
        );
        let (_, restarts) = seen(&json!({"phase": "Running", "containerStatuses": [
            {"name": "a", "restartCount": 3, "lastState": {"terminated": {"finishedAt": "2026-01-01T00:00:00Z"}}}]}));
        assert_eq!(restarts, "3 (60s ago)");
    }
}
