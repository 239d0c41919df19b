//! Sets of fields: which paths of an object someone owns, in the form of `fieldsV1`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::schema::{ListKind, Trail};

/// A set of paths as a tree: a node is in the set itself, or holds members, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    pub(crate) member: bool,
    pub(crate) children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    fn leaf() -> Self {
        Self { member: true, children: BTreeMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    /// Every leaf of a value.
    pub(crate) fn of(value: &Value, trail: Trail<'_>) -> Self {
        match value {
            Value::Object(entries) if !entries.is_empty() && !trail.is_atomic() => {
                let child = |(name, value): (&String, &Value)| {
                    let mut below = Self::of(value, trail.field(name));
                    // The keys of a map are owned themselves, declared fields only by what is in them.
                    below.member |= !trail.declares(name);
                    (format!("f:{name}"), below)
                };
                Self { member: false, children: entries.iter().map(child).collect() }
            }
            Value::Array(items) => Self::of_list(items, trail),
            Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Self::leaf()
            }
        }
    }

    fn of_list(items: &[Value], trail: Trail<'_>) -> Self {
        if *trail.list() == ListKind::Atomic || items.is_empty() {
            return Self::leaf();
        }
        let mut set = Self::default();
        for item in items {
            // An element without its key can be owned only together with the list.
            let Some(name) = trail.element(item) else { return Self::leaf() };
            let mut below =
                if *trail.list() == ListKind::Set { Self::leaf() } else { Self::of(item, trail.item()) };
            below.member = true;
            set.children.insert(name, below);
        }
        set
    }

    /// Everything that comes with a value that was not there: objects and lists themselves too.
    fn added(value: &Value, trail: Trail<'_>) -> Self {
        let mut set = Self::of(value, trail);
        set.include_inner();
        set
    }

    fn include_inner(&mut self) {
        self.member = true;
        self.children.values_mut().for_each(Self::include_inner);
    }

    /// The leaves of `new` that `old` has not, or has otherwise.
    pub(crate) fn changed(old: &Value, new: &Value, trail: Trail<'_>) -> Self {
        if old == new {
            return Self::default();
        }
        match (old, new) {
            (Value::Object(old), Value::Object(entries)) if !entries.is_empty() && !trail.is_atomic() => {
                let mut set = Self::default();
                for (name, value) in entries {
                    let trail = trail.field(name);
                    let below = old
                        .get(name)
                        .map_or_else(|| Self::added(value, trail), |old| Self::changed(old, value, trail));
                    set.add_child(format!("f:{name}"), below);
                }
                set
            }
            (Value::Array(old), Value::Array(items))
                if !items.is_empty() && *trail.list() != ListKind::Atomic =>
            {
                Self::changed_elements(old, items, trail)
            }
            _ => Self::of(new, trail),
        }
    }

    fn changed_elements(old: &[Value], items: &[Value], trail: Trail<'_>) -> Self {
        let mut set = Self::default();
        for item in items {
            let Some(name) = trail.element(item) else { return Self::leaf() };
            let before = old.iter().find(|old| trail.element(old).as_deref() == Some(&name));
            let below = before.map_or_else(
                || Self::added(item, trail.item()),
                |before| Self::changed(before, item, trail.item()),
            );
            set.add_child(name, below);
        }
        set
    }

    fn add_child(&mut self, name: String, child: Self) {
        if !child.is_empty() {
            self.children.insert(name, child);
        }
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.member |= other.member;
        for (name, child) in &other.children {
            let merged = all.children.get(name).map_or_else(|| child.clone(), |mine| mine.union(child));
            all.children.insert(name.clone(), merged);
        }
        all
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        let mut rest = Self { member: self.member && !other.member, children: BTreeMap::new() };
        for (name, child) in &self.children {
            let left = other.children.get(name).map_or_else(|| child.clone(), |theirs| child.minus(theirs));
            rest.add_child(name.clone(), left);
        }
        rest
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let mut both = Self { member: self.member && other.member, children: BTreeMap::new() };
        for (name, child) in &self.children {
            if let Some(theirs) = other.children.get(name) {
                both.add_child(name.clone(), child.intersection(theirs));
            }
        }
        both
    }

    /// The part of the set that a value still has.
    pub(crate) fn existing(&self, value: &Value, trail: Trail<'_>) -> Self {
        let mut rest = Self { member: self.member, children: BTreeMap::new() };
        for (name, child) in &self.children {
            if let Some((value, below)) = step(name, value, trail) {
                rest.add_child(name.clone(), child.existing(value, below));
            }
        }
        rest
    }

    /// The members' paths as `.spec.ports[port=80,protocol="TCP"]`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        if self.member {
            paths.push(prefix.to_owned());
        }
        for (name, child) in &self.children {
            let step = match name.split_once(':') {
                Some(("f", field)) => format!(".{field}"),
                Some(("k", keys)) => bracketed(keys),
                _ => format!("[={}]", name.trim_start_matches("v:")),
            };
            child.collect_paths(&format!("{prefix}{step}"), paths);
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        let mut entries = Map::new();
        if self.member && !self.children.is_empty() {
            entries.insert(".".to_owned(), json!({}));
        }
        for (name, child) in &self.children {
            entries.insert(name.clone(), child.to_value());
        }
        Value::Object(entries)
    }

    pub(crate) fn from_value(value: &Value) -> Self {
        let mut set = Self::default();
        for (name, child) in value.as_object().into_iter().flatten() {
            if name == "." {
                set.member = true;
            } else {
                let mut child = Self::from_value(child);
                child.member |= child.children.is_empty();
                set.children.insert(name.clone(), child);
            }
        }
        set
    }
}

fn bracketed(keys: &str) -> String {
    let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
    let pairs: Vec<_> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("[{}]", pairs.join(","))
}

/// The value one step below, by the name of the step.
fn step<'v, 't>(name: &str, value: &'v Value, trail: Trail<'t>) -> Option<(&'v Value, Trail<'t>)> {
    match (name.split_once(':'), value) {
        (Some(("f", field)), Value::Object(entries)) => {
            entries.get(field).map(|below| (below, trail.field(field)))
        }
        (Some(_), Value::Array(items)) => {
            let found = items.iter().find(|item| trail.element(item).as_deref() == Some(name))?;
            Some((found, trail.item()))
        }
        _ => None,
    }
}

/// Removes from a value what `gone` holds and `kept` does not.
pub(crate) fn prune(value: &mut Value, gone: &FieldSet, kept: &FieldSet, trail: Trail<'_>) {
    let nothing = FieldSet::default();
    for (name, child) in &gone.children {
        let kept = kept.children.get(name).unwrap_or(&nothing);
        match (name.split_once(':'), &mut *value) {
            (Some(("f", field)), Value::Object(entries)) => {
                let Some(below) = entries.get_mut(field) else { continue };
                if prune_below(below, child, kept, trail.field(field)) {
                    entries.remove(field);
                }
            }
            (Some(_), Value::Array(items)) => {
                let found = items.iter().position(|item| trail.element(item).as_deref() == Some(name));
                let Some(index) = found else { continue };
                if prune_below(&mut items[index], child, kept, trail.item()) {
                    items.remove(index);
                }
            }
            _ => {}
        }
    }
}

/// Whether the value goes altogether: nobody keeps it or anything in it.
fn prune_below(value: &mut Value, gone: &FieldSet, kept: &FieldSet, trail: Trail<'_>) -> bool {
    if gone.member && kept.is_empty() {
        return true;
    }
    prune(value, gone, kept, trail);
    let hollow = match value {
        Value::Object(entries) => entries.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    hollow && kept.is_empty()
}
