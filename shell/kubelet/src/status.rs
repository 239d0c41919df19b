//! A Pod's status from how its containers are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::{list, text};
use crate::state::{Now, State, written};

/// How the containers of a Pod are, by name.
pub(crate) type States = BTreeMap<String, State>;

/// What is known of a Pod beside its manifest.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Known {
    pub(crate) states: States,
    pub(crate) host_addresses: Vec<String>,
    /// Empty before the Pod has a network.
    pub(crate) addresses: Vec<String>,
}

impl Known {
    fn state(&self, container: &Value) -> State {
        self.states.get(text(container, "/name")).cloned().unwrap_or_default()
    }
}

/// The status of a Pod, whole.
pub(crate) fn status(pod: &Value, known: &Known, now: Timestamp) -> Value {
    let (init, main) = (list(pod, "/spec/initContainers"), list(pod, "/spec/containers"));
    let shown = |containers: &[Value]| -> Vec<Value> {
        containers.iter().map(|container| known.state(container).shown(pod, container)).collect()
    };
    let mut status = pod["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    let each: Vec<State> = main.iter().map(|container| known.state(container)).collect();
    let init_failed =
        init.iter().any(|container| known.state(container).code().is_some_and(|code| code != 0));
    let phase = phase(&each, init_failed);
    status["phase"] = json!(phase);
    if status["startTime"].is_null() {
        status["startTime"] = json!(written(now));
    }
    let ips = |addresses: &[String]| -> Value { addresses.iter().map(|ip| json!({"ip": ip})).collect() };
    status["hostIP"] = json!(known.host_addresses.first());
    status["hostIPs"] = ips(&known.host_addresses);
    if let Some(first) = known.addresses.first() {
        status["podIP"] = json!(first);
        status["podIPs"] = ips(&known.addresses);
    }
    if !init.is_empty() {
        status["initContainerStatuses"] = json!(shown(init));
    }
    status["containerStatuses"] = json!(shown(main));
    let done = matches!(phase, "Succeeded" | "Failed");
    status["conditions"] = conditions(pod, known, done, now);
    status
}

fn conditions(pod: &Value, known: &Known, done: bool, now: Timestamp) -> Value {
    let (init, main) = (list(pod, "/spec/initContainers"), list(pod, "/spec/containers"));
    let initialized = init.iter().all(|container| known.state(container).code() == Some(0));
    let is_ready = |container: &&Value| {
        let state = known.state(container);
        state.ready && state.is_running()
    };
    let ready = !done && main.iter().all(|container| is_ready(&container));
    let unready =
        main.iter().filter(|container| !is_ready(container)).map(|container| text(container, "/name"));
    let message = format!("containers with unready status: [{}]", unready.collect::<Vec<_>>().join(" "));
    let reason = if done { "PodCompleted" } else { "ContainersNotReady" };
    let mut conditions = list(pod, "/status/conditions").to_vec();
    for (kind, holds) in [
        ("PodReadyToStartContainers", !known.addresses.is_empty() && !done),
        ("Initialized", initialized),
        ("Ready", ready),
        ("ContainersReady", ready),
        ("PodScheduled", true),
    ] {
        let mut condition = json!({"type": kind, "status": if holds { "True" } else { "False" }});
        if !holds && kind.ends_with("Ready") {
            condition["reason"] = json!(reason);
            condition["message"] = json!(message);
        }
        set_condition(&mut conditions, condition, now);
    }
    Value::Array(conditions)
}

fn phase(main: &[State], init_failed: bool) -> &'static str {
    let codes: Option<Vec<i32>> = main.iter().map(State::code).collect();
    match codes {
        _ if init_failed => "Failed",
        Some(codes) if codes.iter().all(|code| *code == 0) => "Succeeded",
        Some(_) => "Failed",
        None => {
            let begun = |state: &State| {
                state.restarts > 0 || state.last.is_some() || !matches!(state.now, Now::Waiting { .. })
            };
            if main.iter().all(begun) { "Running" } else { "Pending" }
        }
    }
}

/// Sets a condition; its time changes only where its word does.
pub(crate) fn set_condition(conditions: &mut Vec<Value>, mut wanted: Value, now: Timestamp) {
    wanted["lastTransitionTime"] = json!(written(now));
    match conditions.iter_mut().find(|condition| condition["type"] == wanted["type"]) {
        Some(found) => {
            if found["status"] == wanted["status"] && !found["lastTransitionTime"].is_null() {
                wanted["lastTransitionTime"] = found["lastTransitionTime"].clone();
            }
            if !found["observedGeneration"].is_null() {
                wanted["observedGeneration"] = found["observedGeneration"].clone();
            }
            *found = wanted;
        }
        None => conditions.push(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Ended;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn of(states: &[(&str, State)]) -> Value {
        let pod = json!({"metadata": {"uid": "u"}, "spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}});
        let states = states.iter().map(|(name, state)| ((*name).to_owned(), state.clone())).collect();
        let known = Known {
            states,
            host_addresses: vec!["10.0.0.1".to_owned()],
            addresses: vec!["10.1.0.2".to_owned()],
        };
        status(&pod, &known, at(100))
    }

    fn ready(status: &Value) -> &Value {
        list(status, "/conditions").iter().find(|condition| condition["type"] == "Ready").unwrap()
    }

    fn running(ready: bool) -> State {
        State { now: Now::Running { since: at(50) }, ready, started: true, ..State::default() }
    }

    fn ended(code: i32) -> State {
        let ended = Ended {
            code,
            signal: None,
            reason: "Error",
            message: String::new(),
            started: at(1),
            finished: at(2),
        };
        State { now: Now::Ended(ended), over: true, ..State::default() }
    }

    #[test]
    fn a_pod_is_ready_when_all_its_containers_are() {
        let one = of(&[("a", running(true)), ("b", running(false))]);
        assert_eq!((&one["phase"], &ready(&one)["status"]), (&json!("Running"), &json!("False")));
        assert_eq!(ready(&one)["message"], "containers with unready status: [b]");
        let both = of(&[("a", running(true)), ("b", running(true))]);
        assert_eq!(ready(&both)["status"], "True");
        assert_eq!(both["podIP"], "10.1.0.2");
    }

    #[test]
    fn phases_follow_the_containers() {
        assert_eq!(of(&[])["phase"], "Pending");
        assert_eq!(of(&[("a", ended(0)), ("b", ended(0))])["phase"], "Succeeded");
        assert_eq!(of(&[("a", ended(0)), ("b", ended(3))])["phase"], "Failed");
        assert_eq!(of(&[("a", ended(0)), ("b", running(true))])["phase"], "Running");
        let waiting = Now::Waiting { reason: "CrashLoopBackOff", message: String::new() };
        let crashed = State { now: waiting, restarts: 2, ..State::default() };
        let status = of(&[("a", crashed), ("b", running(true))]);
        assert_eq!(status["phase"], "Running");
        assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "CrashLoopBackOff");
    }
}
