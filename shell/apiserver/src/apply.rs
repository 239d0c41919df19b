//! Server-side apply.

use std::collections::btree_map::Entry;

use serde_json::{Map, Value};

use crate::fields::{FieldSet, places, prune};
use crate::kinds::KindId;
use crate::managers::{Identity, Managers, ownable};
use crate::patch::Part;
use crate::refusal::{Refusal, Subject};
use crate::schema::{ListKind, Trail};

/// Whether an apply may take over fields of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Conflicts refuse the request.
    No,
    /// The applier becomes the owner.
    Yes,
}

/// The object and its owners after a configuration was applied to it.
pub(crate) struct Applied {
    pub(crate) value: Value,
    pub(crate) managers: Managers,
}

/// Merges a configuration into the live object (`Null` where there is none).
pub(crate) fn apply(
    subject: &Subject,
    live: &Value,
    configuration: &Value,
    force: Force,
    identity: &Identity<'_>,
) -> Result<Applied, Refusal> {
    let kind = subject.kind;
    let trail = Trail::root(kind.schema());
    let applied = configuration;
    let configuration = relevant(kind, applied, identity.part);
    let mut managers = Managers::of(live);
    let wanted = ownable(FieldSet::of(&configuration, trail));
    let mut value = live.clone();
    merge(&mut value, &configuration, trail);

    let changed = FieldSet::changed(live, &value, trail);
    let conflicts = managers.conflicts(identity, &changed.minus(&applied_by_client(live, identity)));
    if !conflicts.is_empty() && force == Force::No {
        return Err(Refusal::ApplyConflict(subject.clone(), conflicts));
    }
    managers.take_over(identity, &changed);

    let gone = managers.owned_by(identity).minus(&wanted);
    let kept = managers.owned_by_others(identity).union(&wanted);
    prune(&mut value, &gone, &kept, trail);
    let touched = value != *live;
    managers.settle(identity, wanted, &value, touched);
    if identity.name == KUBECTL && value.pointer(LAST_APPLIED).is_some() {
        value["metadata"]["annotations"][ANNOTATION] = Value::String(last_applied(applied));
    }
    Ok(Applied { value, managers })
}

/// COMPAT: from the manager of this name, configurations that were applied by the client are taken over without
/// conflict, and its record of them is kept up.
const KUBECTL: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
const LAST_APPLIED: &str = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";

/// The fields that kubectl applied before the server knew how to.
fn applied_by_client(live: &Value, identity: &Identity<'_>) -> FieldSet {
    let text = live.pointer(LAST_APPLIED).and_then(Value::as_str).filter(|_| identity.name == KUBECTL);
    let applied = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let fields = applied.map(|applied| FieldSet::of(&applied, Trail::root(identity.kind.schema())));
    fields.unwrap_or_default()
}

/// A configuration as kubectl records it.
fn last_applied(configuration: &Value) -> String {
    let mut recorded = configuration.clone();
    if let Some(annotations) = recorded.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(ANNOTATION);
    }
    if let Some(metadata) = recorded.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    format!("{recorded}\n")
}

/// The configuration without nulls and without the part that this write may not change.
fn relevant(kind: KindId, configuration: &Value, part: Part) -> Value {
    let mut configuration = without_nulls(configuration);
    if let (Value::Object(entries), true) = (&mut configuration, kind.has_status_subresource()) {
        match part {
            Part::Whole => {
                entries.remove("status");
            }
            Part::Status => entries.retain(|name, _| name == "status"),
            Part::Scale | Part::Binding => {}
        }
    }
    configuration
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let present = entries.iter().filter(|(_, value)| !value.is_null());
            Value::Object(present.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn merge(target: &mut Value, configuration: &Value, trail: Trail<'_>) {
    match configuration {
        Value::Object(_) if trail.is_atomic() => *target = configuration.clone(),
        Value::Object(entries) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            let Value::Object(fields) = target else { return };
            for (name, value) in entries {
                merge(fields.entry(name).or_insert(Value::Null), value, trail.field(name));
            }
        }
        Value::Array(items) => {
            let mergeable =
                *trail.list() != ListKind::Atomic && items.iter().all(|item| trail.element(item).is_some());
            match (target, mergeable) {
                (Value::Array(present), true) => merge_list(present, items, trail),
                (target, _) => *target = configuration.clone(),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => *target = configuration.clone(),
    }
}

fn merge_list(present: &mut Vec<Value>, items: &[Value], trail: Trail<'_>) {
    let mut places = places(present, trail);
    for item in items {
        let Some(name) = trail.element(item) else { continue };
        match places.entry(name) {
            Entry::Occupied(place) => merge(&mut present[*place.get()], item, trail.item()),
            Entry::Vacant(free) => {
                free.insert(present.len());
                present.push(item.clone());
            }
        }
    }
}
