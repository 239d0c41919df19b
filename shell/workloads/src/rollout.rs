//! How far a Deployment is.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::deployments::Rollout;
use crate::object::{condition, is_true, number, text, time, with_condition, written};
use crate::replicas::set_count;

/// The status of a Deployment.
pub(crate) fn status(rollout: &Rollout<'_>, now: Timestamp) -> Option<Value> {
    let deployment = rollout.deployment;
    let sets = || rollout.old.iter().chain(&rollout.new);
    let sum = |field: &str| sets().map(|set| number(set, field)).sum::<i64>();
    let (replicas, ready) = (sum("/status/replicas"), sum("/status/readyReplicas"));
    let available = sum("/status/availableReplicas");
    let updated = rollout.new.map_or(0, |set| number(set, "/status/replicas"));
    let missing = (sum("/spec/replicas").max(rollout.wanted()) - available).max(0);
    let mut status = deployment["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    status["observedGeneration"] = deployment["metadata"]["generation"].clone();
    for (field, count) in [
        ("replicas", replicas),
        ("updatedReplicas", updated),
        ("readyReplicas", ready),
        ("availableReplicas", available),
        ("unavailableReplicas", missing),
    ] {
        set_count(&mut status, field, usize::try_from(count).unwrap_or_default());
    }
    let enough = available >= rollout.wanted() - rollout.unavailable();
    let available_now = if enough {
        json!({"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "Deployment has minimum availability."})
    } else {
        json!({"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable", "message": "Deployment does not have minimum availability."})
    };
    let known = crate::object::list(deployment, "/status/conditions");
    let conditions = with_condition(known, stamped(available_now, now), now);
    let done = updated == rollout.wanted() && replicas == updated && available == updated;
    let progress = progress(rollout, done, available, now);
    let conditions = with_condition(conditions.as_array()?, stamped(progress, now), now);
    status["conditions"] = conditions;
    Some(status)
}

fn stamped(mut condition: Value, now: Timestamp) -> Value {
    condition["lastUpdateTime"] = json!(written(now));
    condition
}

fn progress(rollout: &Rollout<'_>, done: bool, available: i64, now: Timestamp) -> Value {
    let name = rollout.new.map_or("", |set| text(set, "/metadata/name"));
    let told = |status: &str, reason: &str, message: String| json!({"type": "Progressing", "status": status, "reason": reason, "message": message});
    if done {
        let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
        return told("True", "NewReplicaSetAvailable", message);
    }
    let deployment = rollout.deployment;
    if is_late(deployment, available, now) {
        let message = format!("ReplicaSet \"{name}\" has timed out progressing.");
        return told("False", "ProgressDeadlineExceeded", message);
    }
    match rollout.new {
        None => told("True", "NewReplicaSetCreated", "Created new replica set".to_owned()),
        Some(_) => told("True", "ReplicaSetUpdated", format!("ReplicaSet \"{name}\" is progressing.")),
    }
}

/// Whether nothing moved for as long as the Deployment gives it.
fn is_late(deployment: &Value, available: i64, now: Timestamp) -> bool {
    let Some(limit) = deployment["spec"]["progressDeadlineSeconds"].as_i64() else { return false };
    let Some(progressing) = condition(deployment, "Progressing") else { return false };
    let moved = number(deployment, "/status/availableReplicas") != available
        || deployment["status"]["observedGeneration"] != deployment["metadata"]["generation"];
    // What was available once is not late because a Pod ended.
    let complete = progressing["reason"] == "NewReplicaSetAvailable";
    if moved || complete {
        return false;
    }
    if !is_true(deployment, "Progressing") {
        return true;
    }
    let since = time(progressing, "/lastUpdateTime");
    let until = since.and_then(|since| since.checked_add(SignedDuration::from_secs(limit)).ok());
    until.is_some_and(|until| now > until)
}
