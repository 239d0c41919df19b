//! `ReplicaSets`: so many Pods of a template.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::budget::is_available;
use crate::object::{
    controller, is_active, is_ending, is_true, key, list, number, owner_reference, selects, text, uid,
};
use crate::plan::Plan;
use crate::step::{Step, Verb};
use crate::template;
use crate::view::{Kind, View};

/// No more Pods than this are made or deleted at a time.
const AT_ONCE: usize = 500;

pub(crate) fn plan(view: &View, now: Timestamp, plan: &mut Plan) {
    for set in view.all(Kind::ReplicaSet).filter(|set| !is_ending(set)) {
        of_set(view, set, now, plan);
    }
}

fn of_set(view: &View, set: &Value, now: Timestamp, plan: &mut Plan) {
    adopt(view, set, plan);
    let mut pods = view.controlled(Kind::Pod, set);
    pods.retain(|pod| is_active(pod));
    let wanted = usize::try_from(number(set, "/spec/replicas")).unwrap_or_default();
    let before = plan.steps.len();
    if pods.len() < wanted {
        let references = owner_reference("ReplicaSet", "apps/v1", set);
        let missing = (wanted - pods.len()).min(AT_ONCE);
        plan.steps
            .extend((0..missing).map(|_| Step::create(Kind::Pod, template::pod(set, &references, None))));
    }
    if pods.len() > wanted {
        let mut surplus = pods.clone();
        surplus.sort_by_cached_key(|pod| worth(pod));
        let surplus = surplus.into_iter().take((pods.len() - wanted).min(AT_ONCE));
        plan.steps.extend(surplus.map(|pod| Step::delete(Kind::Pod, pod)));
    }
    // A status is told of what is there, so it waits for what is being changed.
    if plan.steps[before..].is_empty() {
        let status = status(set, &pods, now, plan);
        // A replaced set is written with its version, so both writes in one plan would conflict.
        let written = plan
            .steps
            .iter()
            .any(|step| step.kind == Kind::ReplicaSet && step.key == key(set) && step.verb != Verb::Create);
        if !written {
            plan.steps.extend(Step::status(Kind::ReplicaSet, set, status));
        }
    }
}

/// Pods that nobody controls and that the set selects become its own.
fn adopt(view: &View, set: &Value, plan: &mut Plan) {
    for pod in view.within(Kind::Pod, text(set, "/metadata/namespace")).filter(|pod| is_active(pod)) {
        let free = controller(pod).is_empty();
        if free && selects(&set["spec"]["selector"], &pod["metadata"]["labels"]) {
            let mut owners = list(pod, "/metadata/ownerReferences").to_vec();
            owners.extend(list(&owner_reference("ReplicaSet", "apps/v1", set), "").to_vec());
            let mut pod = pod.clone();
            pod["metadata"]["ownerReferences"] = Value::Array(owners);
            plan.steps.push(Step::replace(Kind::Pod, pod));
        }
    }
}

/// Pods without a node, then those that are not ready, then the youngest go first.
fn worth(pod: &Value) -> (bool, bool, bool, std::cmp::Reverse<String>, String) {
    let placed = !text(pod, "/spec/nodeName").is_empty();
    let running = text(pod, "/status/phase") == "Running";
    let age = std::cmp::Reverse(text(pod, "/metadata/creationTimestamp").to_owned());
    (placed, running, is_true(pod, "Ready"), age, uid(pod).to_owned())
}

fn status(set: &Value, pods: &[&Value], now: Timestamp, plan: &mut Plan) -> Value {
    let ready = pods.iter().filter(|pod| is_true(pod, "Ready")).count();
    let available = pods.iter().filter(|pod| is_available(pod, set, now, plan)).count();
    let labels = set["spec"]["template"]["metadata"]["labels"].as_object();
    let labelled = pods.iter().filter(|pod| {
        let mut wanted = labels.into_iter().flatten();
        wanted.all(|(name, value)| pod["metadata"]["labels"].get(name) == Some(value))
    });
    let mut status = set["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    status["replicas"] = json!(pods.len());
    status["observedGeneration"] = set["metadata"]["generation"].clone();
    for (field, count) in [
        ("fullyLabeledReplicas", labelled.count()),
        ("readyReplicas", ready),
        ("availableReplicas", available),
    ] {
        set_count(&mut status, field, count);
    }
    status
}

/// COMPAT: counts of zero are left out.
pub(crate) fn set_count(status: &mut Value, field: &str, count: usize) {
    if let Some(fields) = status.as_object_mut() {
        match count {
            0 => fields.remove(field),
            _ => fields.insert(field.to_owned(), json!(count)),
        };
    }
}
