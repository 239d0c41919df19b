//! Nodes for Pods that have none.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object::{is_active, is_over, is_true, list, text, with_condition};
use crate::placement::{Unfit, selects_node, share_port, tolerates};
use crate::plan::Plan;
use crate::step::Step;
use crate::view::{Kind, View};

const OWN_NAME: &str = "default-scheduler";

pub(crate) fn plan(view: &View, now: Timestamp, plan: &mut Plan) {
    let mut given: Vec<(&Value, &str)> = Vec::new();
    for pod in view.all(Kind::Pod).filter(|pod| waits(pod)) {
        match choose(view, pod, &given) {
            Ok(node) => {
                given.push((pod, node));
                plan.steps.push(Step::bind(pod, node));
            }
            Err(reasons) => plan.steps.extend(tell(pod, &reasons, now)),
        }
    }
}

fn waits(pod: &Value) -> bool {
    let scheduler = text(pod, "/spec/schedulerName");
    is_active(pod)
        && text(pod, "/spec/nodeName").is_empty()
        && (scheduler.is_empty() || scheduler == OWN_NAME)
        && list(pod, "/spec/schedulingGates").is_empty()
}

/// The node with the fewest Pods of those that take the Pod, or what is wrong with how many of them.
fn choose<'a>(
    view: &'a View,
    pod: &Value,
    given: &[(&'a Value, &'a str)],
) -> Result<&'a str, BTreeMap<Unfit, usize>> {
    let mut reasons = BTreeMap::new();
    let mut best: Option<(usize, &str)> = None;
    for node in view.all(Kind::Node) {
        let name = text(node, "/metadata/name");
        let placed = view.all(Kind::Pod).filter(|other| text(other, "/spec/nodeName") == name);
        let given = given.iter().filter(|(_, on)| *on == name).map(|(other, _)| *other);
        let others: Vec<&Value> = placed.filter(|other| !is_over(other)).chain(given).collect();
        match fit(&pod["spec"], node, &others) {
            Ok(()) if best.is_none_or(|(fewest, _)| others.len() < fewest) => {
                best = Some((others.len(), name));
            }
            Ok(()) => {}
            Err(reason) => *reasons.entry(reason).or_default() += 1,
        }
    }
    best.map(|(_, name)| name).ok_or(reasons)
}

fn fit(spec: &Value, node: &Value, others: &[&Value]) -> Result<(), Unfit> {
    if !selects_node(spec, node) {
        return Err(Unfit::Selector);
    }
    if !tolerates(spec, node, &["NoSchedule", "NoExecute"]) {
        return Err(Unfit::Taint);
    }
    let not_ready =
        json!({"spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]}});
    if !is_true(node, "Ready") && !tolerates(spec, &not_ready, &["NoExecute"]) {
        return Err(Unfit::NotReady);
    }
    if others.iter().any(|other| share_port(spec, &other["spec"])) {
        return Err(Unfit::Port);
    }
    Ok(())
}

/// Says in the Pod's status why it has no node.
fn tell(pod: &Value, reasons: &BTreeMap<Unfit, usize>, now: Timestamp) -> Option<Step> {
    let nodes: usize = reasons.values().sum();
    let words = |(reason, count): (&Unfit, &usize)| {
        let reason = match reason {
            Unfit::Selector => "node(s) didn't match Pod's node affinity/selector",
            Unfit::Taint => "node(s) had untolerated taint(s)",
            Unfit::Port => "node(s) didn't have free ports for the requested pod ports",
            Unfit::NotReady => "node(s) were not ready",
        };
        format!("{count} {reason}")
    };
    let words: Vec<String> = reasons.iter().map(words).collect();
    let message = match nodes {
        0 => "no nodes available to schedule pods".to_owned(),
        _ => format!("0/{nodes} nodes are available: {}.", words.join(", ")),
    };
    let condition =
        json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
    let mut status = pod["status"].clone();
    status["conditions"] = with_condition(list(pod, "/status/conditions"), condition, now);
    Step::status(Kind::Pod, pod, status)
}
