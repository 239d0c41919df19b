//! Kinds that make Pods, and how many of these may be away.

use serde_json::Value;

use super::{Change, go_map, not_negative, pod, selector, text};
use crate::patch::Part;
use crate::schema::{Cause, Path};
use crate::selector::selects;

pub(in crate::kinds) fn deployment(change: &Change<'_>, causes: &mut Vec<Cause>) {
    let spec = &change.new["spec"];
    if change.part == Part::Status {
        return counts(&change.new["status"], causes);
    }
    pods(change, "deployment", causes);
    numbers(spec, &["replicas", "minReadySeconds", "revisionHistoryLimit"], causes);
    let strategy = &spec["strategy"];
    let update = &strategy["rollingUpdate"];
    if text(strategy, "type") == "Recreate" && !update.is_null() {
        let detail = "may not be specified when strategy `type` is 'Recreate'";
        causes.push(Cause::forbidden("spec.strategy.rollingUpdate", detail));
    } else {
        let zero = |value: &Value| *value == 0 || *value == "0%";
        if zero(&update["maxUnavailable"]) && zero(&update["maxSurge"]) {
            let detail = "may not be 0 when `maxSurge` is 0";
            let field = "spec.strategy.rollingUpdate.maxUnavailable";
            causes.push(Cause::invalid(field, &update["maxUnavailable"], detail));
        }
        for field in ["maxUnavailable", "maxSurge"] {
            share(&update[field], &format!("spec.strategy.rollingUpdate.{field}"), causes);
        }
    }
    let deadline = &spec["progressDeadlineSeconds"];
    let ready = spec["minReadySeconds"].as_i64().unwrap_or_default();
    if deadline.as_i64().is_some_and(|seconds| seconds <= ready) {
        let detail = "must be greater than minReadySeconds";
        causes.push(Cause::invalid("spec.progressDeadlineSeconds", deadline, detail));
    }
}

pub(in crate::kinds) fn replica_set(change: &Change<'_>, causes: &mut Vec<Cause>) {
    if change.part == Part::Status {
        return counts(&change.new["status"], causes);
    }
    pods(change, "replica set", causes);
    numbers(&change.new["spec"], &["replicas", "minReadySeconds"], causes);
}

pub(in crate::kinds) fn daemon_set(change: &Change<'_>, causes: &mut Vec<Cause>) {
    if change.part == Part::Status {
        return counts(&change.new["status"], causes);
    }
    pods(change, "daemonset", causes);
    let spec = &change.new["spec"];
    numbers(spec, &["minReadySeconds", "revisionHistoryLimit"], causes);
    let update = &spec["updateStrategy"]["rollingUpdate"];
    for field in ["maxUnavailable", "maxSurge"] {
        share(&update[field], &format!("spec.updateStrategy.rollingUpdate.{field}"), causes);
    }
}

pub(in crate::kinds) fn stateful_set(change: &Change<'_>, causes: &mut Vec<Cause>) {
    /// What may change.
    const LOOSE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let spec = &change.new["spec"];
    if change.part == Part::Status {
        return counts(&change.new["status"], causes);
    }
    numbers(spec, &["replicas", "minReadySeconds", "revisionHistoryLimit"], causes);
    let frozen = |spec: &Value| {
        let mut fields = spec.as_object().cloned().unwrap_or_default();
        fields.retain(|field, _| !LOOSE.contains(&field.as_str()));
        fields
    };
    if change.old.is_some_and(|old| frozen(&old["spec"]) != frozen(spec)) {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                      'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                      'minReadySeconds' are forbidden";
        return causes.push(Cause::forbidden("spec", detail));
    }
    pods(&Change { old: None, ..*change }, "statefulset", causes);
}

/// Selector and template, which go together for good.
fn pods(change: &Change<'_>, kind: &str, causes: &mut Vec<Cause>) {
    let spec = &change.new["spec"];
    let root = Path::root("spec");
    let chosen = &spec["selector"];
    let empty = |field: &str| {
        chosen[field].as_object().is_none_or(serde_json::Map::is_empty)
            && chosen[field].as_array().is_none_or(Vec::is_empty)
    };
    selector(chosen, root.field("selector"), causes);
    let labels = &spec["template"]["metadata"]["labels"];
    if !chosen.is_null() && empty("matchLabels") && empty("matchExpressions") {
        let detail = format!("empty selector is invalid for {kind}");
        causes.push(Cause::invalid_go("spec.selector", GO_EMPTY_SELECTOR, &detail));
    } else if chosen.is_null() || !selects(chosen, &crate::store::labels_of(&spec["template"])) {
        let detail = "`selector` does not match template `labels`";
        causes.push(Cause::invalid_go("spec.template.metadata.labels", &go_labels(labels), detail));
    }
    pod::template(&spec["template"], root.field("template"), causes);
    let policy = &spec["template"]["spec"]["restartPolicy"];
    if policy.is_string() && *policy != "Always" {
        causes.push(Cause::unsupported("spec.template.spec.restartPolicy", policy, ["Always"].iter()));
    }
    if !spec["template"]["spec"]["activeDeadlineSeconds"].is_null() {
        let detail = format!("activeDeadlineSeconds in {} is not Supported", kind_name(kind));
        causes.push(Cause::forbidden("spec.template.spec.activeDeadlineSeconds", &detail));
    }
    if change.old.is_some_and(|old| old["spec"]["selector"] != *chosen) {
        causes.push(Cause::invalid_go("spec.selector", &go_selector(chosen), super::IMMUTABLE));
    }
}

fn kind_name(kind: &str) -> &'static str {
    match kind {
        "deployment" => "Deployment",
        "daemonset" => "DaemonSet",
        "statefulset" => "StatefulSet",
        _ => "ReplicaSet",
    }
}

const GO_EMPTY_SELECTOR: &str = "v1.LabelSelector{MatchLabels:map[string]string(nil), MatchExpressions:[]v1.LabelSelectorRequirement(nil)}";

fn go_selector(selector: &Value) -> String {
    let labels = &selector["matchLabels"];
    let labels = go_labels(labels);
    format!("v1.LabelSelector{{MatchLabels:{labels}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}}")
}

fn go_labels(labels: &Value) -> String {
    if labels.is_null() { "map[string]string(nil)".to_owned() } else { go_map(labels) }
}

fn numbers(spec: &Value, fields: &[&str], causes: &mut Vec<Cause>) {
    for field in fields {
        not_negative(&spec[*field], &format!("spec.{field}"), causes);
    }
}

/// A status counts things, and never fewer than none.
fn counts(status: &Value, causes: &mut Vec<Cause>) {
    for (field, value) in status.as_object().into_iter().flatten() {
        not_negative(value, &format!("status.{field}"), causes);
    }
}

/// A number, or a share of all.
fn share(value: &Value, field: &str, causes: &mut Vec<Cause>) {
    if let Some(text) = value.as_str() {
        let percent = text.strip_suffix('%').is_some_and(|number| number.parse::<u32>().is_ok());
        if !percent {
            let detail = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or \
                          '93%', regex used for validation is '[0-9]+%')";
            causes.push(Cause::invalid(field, value, detail));
        }
        return;
    }
    not_negative(value, field, causes);
}

pub(in crate::kinds) fn budget(change: &Change<'_>, causes: &mut Vec<Cause>) {
    let spec = &change.new["spec"];
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        causes.push(Cause::invalid("spec", spec, detail));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        share(&spec[field], &format!("spec.{field}"), causes);
    }
    selector(&spec["selector"], Path::root("spec").field("selector"), causes);
}
