//! Server-side apply.

use serde_json::{Map, Value};

use crate::fields::{FieldSet, prune};
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
    let configuration = relevant(kind, configuration, identity.part);
    let mut managers = Managers::of(live);
    let wanted = ownable(FieldSet::of(&configuration, trail));
    let mut value = live.clone();
    merge(&mut value, &configuration, trail);

    let changed = FieldSet::changed(live, &value, trail);
    let conflicts = managers.conflicts(identity, &changed);
    if !conflicts.is_empty() && force == Force::No {
        return Err(Refusal::ApplyConflict(subject.clone(), conflicts));
    }
    managers.take_over(identity, &changed);

    let gone = managers.owned_by(identity).minus(&wanted);
    let kept = managers.owned_by_others(identity).union(&wanted);
    prune(&mut value, &gone, &kept, trail);
    managers.settle(identity, wanted, &value);
    Ok(Applied { value, managers })
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
            Part::Scale => {}
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
    for item in items {
        let name = trail.element(item);
        match present.iter_mut().find(|present| trail.element(present) == name) {
            Some(found) => merge(found, item, trail.item()),
            None => present.push(item.clone()),
        }
    }
}
