//! Who owns which fields: `metadata.managedFields`.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::fields::FieldSet;
use crate::kinds::KindId;
use crate::patch::Part;
use crate::schema::{Cause, Trail};
use crate::store::Draft;

/// How a manager came to own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Apply,
    Update,
}

#[derive(Debug, Clone)]
struct Manager {
    name: String,
    operation: Operation,
    part: Part,
    api_version: String,
    time: String,
    fields: FieldSet,
}

/// Of more owners than this that a client writes, none is believed: those that are known stay.
const MOST_GIVEN: usize = 100;

/// The owners of an object's fields.
#[derive(Debug, Clone, Default)]
pub(crate) struct Managers(Vec<Manager>);

/// The identity under which a write owns fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) kind: KindId,
    pub(crate) name: &'a str,
    pub(crate) operation: Operation,
    pub(crate) part: Part,
    pub(crate) now: Timestamp,
}

impl Manager {
    /// The place among others: appliers first, then by time and name.
    fn order(&self) -> (bool, &str, &str, &str) {
        (self.operation == Operation::Update, &self.time, &self.name, self.part.word())
    }

    /// The manager in messages.
    fn described(&self) -> String {
        let part = match self.part {
            Part::Whole => String::new(),
            Part::Status | Part::Scale | Part::Binding => format!(" with subresource {:?}", self.part.word()),
        };
        let by_update = match self.operation {
            Operation::Apply => String::new(),
            Operation::Update => format!(" using {} at {}", self.api_version, self.time),
        };
        format!("{:?}{part}{by_update}", self.name)
    }

    fn is(&self, identity: &Identity<'_>) -> bool {
        self.name == identity.name && self.operation == identity.operation && self.part == identity.part
    }
}

impl Managers {
    pub(crate) fn of(object: &Value) -> Self {
        let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
        Self(entries.into_iter().flatten().filter_map(read).collect())
    }

    /// The owners that a client writes; none where it writes none, more than anybody has, or what cannot be read.
    pub(crate) fn given(object: &Value) -> Option<Self> {
        let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array)?;
        if entries.len() > MOST_GIVEN {
            return None;
        }
        let read = entries.iter().map(read).collect::<Option<Vec<_>>>()?;
        (!read.is_empty()).then_some(Self(read))
    }

    pub(crate) fn to_value(&self) -> Value {
        self.0.iter().map(write).collect()
    }

    /// Whether the same managers own the same fields, whenever they came.
    pub(crate) fn agree_with(&self, other: &Self) -> bool {
        let found = |one: &Manager| {
            other.0.iter().any(|other| {
                one.name == other.name
                    && one.operation == other.operation
                    && one.part == other.part
                    && one.fields == other.fields
            })
        };
        self.0.len() == other.0.len() && self.0.iter().all(found)
    }

    /// What this manager owned until now.
    pub(crate) fn owned_by(&self, identity: &Identity<'_>) -> FieldSet {
        self.0
            .iter()
            .find(|manager| manager.is(identity))
            .map(|manager| manager.fields.clone())
            .unwrap_or_default()
    }

    /// What all the others own.
    pub(crate) fn owned_by_others(&self, identity: &Identity<'_>) -> FieldSet {
        let others = self.0.iter().filter(|manager| !manager.is(identity));
        others.fold(FieldSet::default(), |all, manager| all.union(&manager.fields))
    }

    /// Who else owns fields that would change.
    pub(crate) fn conflicts(&self, identity: &Identity<'_>, changed: &FieldSet) -> Vec<Cause> {
        let others = self.0.iter().filter(|manager| !manager.is(identity));
        others.flat_map(|manager| contested(manager, changed)).collect()
    }

    /// Gives the changed fields to one manager alone.
    pub(crate) fn take_over(&mut self, identity: &Identity<'_>, changed: &FieldSet) {
        for manager in self.0.iter_mut().filter(|manager| !manager.is(identity)) {
            manager.fields = manager.fields.minus(changed);
        }
    }

    /// Sets what a manager owns, and drops from all what the object no longer has.
    /// COMPAT: an apply that changes nothing in the object leaves no time.
    pub(crate) fn settle(
        &mut self,
        identity: &Identity<'_>,
        fields: FieldSet,
        object: &Value,
        touched: bool,
    ) {
        let time = if touched { Draft::time(identity.now) } else { String::new() };
        let trail = Trail::root(identity.kind.schema());
        match self.0.iter_mut().find(|manager| manager.is(identity)) {
            Some(manager) if manager.fields == fields => {}
            Some(manager) => {
                manager.fields = fields;
                if touched {
                    manager.time = time;
                }
            }
            None => self.0.push(Manager {
                name: identity.name.to_owned(),
                operation: identity.operation,
                part: identity.part,
                api_version: identity.kind.api_version(),
                time,
                fields,
            }),
        }
        for manager in &mut self.0 {
            manager.fields = manager.fields.existing(object, trail);
        }
        self.0.retain(|manager| !manager.fields.is_empty());
        self.fold_oldest();
        self.0.sort_by(|one, other| one.order().cmp(&other.order()));
    }

    /// COMPAT: of more managers by update than this, the oldest become one.
    fn fold_oldest(&mut self) {
        const MOST_UPDATERS: usize = 10;
        let (mut updaters, appliers): (Vec<_>, Vec<_>) =
            self.0.drain(..).partition(|manager| manager.operation == Operation::Update);
        self.0 = appliers;
        updaters.sort_by(|one, other| one.time.cmp(&other.time));
        let surplus = updaters.len().saturating_sub(MOST_UPDATERS);
        if surplus > 0 {
            let rest = updaters.split_off(surplus + 1);
            let fields = updaters.iter().fold(FieldSet::default(), |all, old| all.union(&old.fields));
            let youngest =
                updaters.pop().map(|old| Manager { name: "ancient-changes".to_owned(), fields, ..old });
            updaters = youngest.into_iter().chain(rest).collect();
        }
        self.0.extend(updaters);
    }

    /// Accounts for a write other than apply: what it changed is its own.
    pub(crate) fn note_update(&mut self, identity: &Identity<'_>, old: &Value, new: &Value) {
        let trail = Trail::root(identity.kind.schema());
        let blank = identity.kind.blank_object(identity.kind.schema());
        let old = if old.is_null() { &blank } else { old };
        let changed = ownable(FieldSet::changed(old, new, trail));
        let own = self.owned_by(identity).union(&changed);
        self.take_over(identity, &changed);
        self.settle(identity, own, new, true);
    }
}

fn contested(manager: &Manager, changed: &FieldSet) -> Vec<Cause> {
    let paths = manager.fields.intersection(changed).paths().into_iter();
    let message = format!("conflict with {}", manager.described());
    let cause = |field| Cause { reason: "FieldManagerConflict", message: message.clone(), field };
    paths.map(cause).collect()
}

/// Leaves out what only the server writes.
pub(crate) fn ownable(mut fields: FieldSet) -> FieldSet {
    fields.children.remove("f:apiVersion");
    fields.children.remove("f:kind");
    if let Some(metadata) = fields.children.get_mut("f:metadata") {
        metadata.member = false;
        for name in [
            "name",
            "namespace",
            "generateName",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "managedFields",
            "selfLink",
        ] {
            metadata.children.remove(&format!("f:{name}"));
        }
        if metadata.children.is_empty() {
            fields.children.remove("f:metadata");
        }
    }
    fields
}

fn read(entry: &Value) -> Option<Manager> {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
    Some(Manager {
        name: text("manager").to_owned(),
        operation: match text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        },
        part: match text("subresource") {
            "status" => Part::Status,
            "scale" => Part::Scale,
            "binding" => Part::Binding,
            _ => Part::Whole,
        },
        api_version: text("apiVersion").to_owned(),
        time: text("time").to_owned(),
        fields: FieldSet::from_value(entry.get("fieldsV1")?),
    })
}

fn write(manager: &Manager) -> Value {
    let operation = match manager.operation {
        Operation::Apply => "Apply",
        Operation::Update => "Update",
    };
    let mut entry = json!({
        "manager": manager.name,
        "operation": operation,
        "apiVersion": manager.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": manager.fields.to_value(),
    });
    if !manager.time.is_empty() {
        entry["time"] = json!(manager.time);
    }
    if manager.part != Part::Whole {
        entry["subresource"] = json!(manager.part.word());
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: usize) -> Value {
        let time = format!("2026-01-01T00:{:02}:{:02}Z", name / 60, name % 60);
        json!({"manager": format!("m{name}"), "operation": "Update", "apiVersion": "v1", "time": time,
            "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {format!("f:{name}"): {}}}})
    }

    fn object(count: usize) -> Value {
        json!({"metadata": {"managedFields": (0..count).map(entry).collect::<Value>()}})
    }

    #[test]
    fn the_oldest_of_many_updaters_become_one_and_keep_what_they_own() {
        let mut managers = Managers::given(&object(100)).unwrap();
        managers.fold_oldest();
        assert_eq!(managers.0.len(), 10);
        assert_eq!(
            (managers.0[0].name.as_str(), managers.0[0].time.as_str()),
            ("ancient-changes", "2026-01-01T00:01:30Z")
        );
        let owned = managers.0[0].fields.to_value();
        assert_eq!(owned["f:data"].as_object().unwrap().len(), 91);
        assert_eq!(managers.0[9].name, "m99");
        assert!(Managers::given(&object(101)).is_none(), "nobody has so many");
    }
}
