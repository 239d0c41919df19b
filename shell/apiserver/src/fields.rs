//! Sets of fields: which paths of an object someone owns, in the form of `fieldsV1`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::schema::{Fields, ListKind, Trail};

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
        let places = places(old, trail);
        for item in items {
            let Some(name) = trail.element(item) else { return Self::leaf() };
            let below = places.get(&name).map_or_else(
                || Self::added(item, trail.item()),
                |before| Self::changed(&old[*before], item, trail.item()),
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

    pub(crate) fn union(mut self, other: &Self) -> Self {
        self.absorb(other);
        self
    }

    fn absorb(&mut self, other: &Self) {
        self.member |= other.member;
        for (name, child) in &other.children {
            match self.children.get_mut(name) {
                Some(mine) => mine.absorb(child),
                None => {
                    self.children.insert(name.clone(), child.clone());
                }
            }
        }
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
        let places = places_in(value, self, trail);
        for (name, child) in &self.children {
            if let Some((value, below)) = step(name, value, &places, trail) {
                rest.add_child(name.clone(), child.existing(value, below));
            }
        }
        rest
    }

    /// The members' paths as `.spec.ports[port=80,protocol="TCP"]`, as many as anybody reads.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Fields::default();
        self.collect_paths(&mut String::new(), &mut paths);
        paths.into_paths()
    }

    fn collect_paths(&self, path: &mut String, paths: &mut Fields) {
        if self.member {
            paths.push(path.clone());
        }
        let above = path.len();
        for (name, child) in &self.children {
            let step = match name.split_once(':') {
                Some(("f", field)) => format!(".{field}"),
                Some(("k", keys)) => bracketed(keys),
                _ => format!("[={}]", name.trim_start_matches("v:")),
            };
            if paths.is_full() {
                return;
            }
            path.push_str(&step);
            child.collect_paths(path, paths);
            path.truncate(above);
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

/// Where in a list the elements of each name stand first.
pub(crate) fn places(items: &[Value], trail: Trail<'_>) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    for (place, item) in items.iter().enumerate() {
        if let Some(name) = trail.element(item) {
            places.entry(name).or_insert(place);
        }
    }
    places
}

/// The same of a value that may be a list in which a set has members.
fn places_in(value: &Value, set: &FieldSet, trail: Trail<'_>) -> BTreeMap<String, usize> {
    let items = value.as_array().filter(|_| !set.children.is_empty());
    items.map_or_else(BTreeMap::new, |items| places(items, trail))
}

/// The value one step below, by the name of the step.
fn step<'v, 't>(
    name: &str,
    value: &'v Value,
    places: &BTreeMap<String, usize>,
    trail: Trail<'t>,
) -> Option<(&'v Value, Trail<'t>)> {
    match (name.split_once(':'), value) {
        (Some(("f", field)), Value::Object(entries)) => {
            entries.get(field).map(|below| (below, trail.field(field)))
        }
        (Some(_), Value::Array(items)) => places.get(name).map(|place| (&items[*place], trail.item())),
        _ => None,
    }
}

/// Removes from a value what `gone` holds and `kept` does not.
pub(crate) fn prune(value: &mut Value, gone: &FieldSet, kept: &FieldSet, trail: Trail<'_>) {
    let nothing = FieldSet::default();
    let places = places_in(value, gone, trail);
    let mut removed = BTreeSet::new();
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
                let Some(place) = places.get(name) else { continue };
                if prune_below(&mut items[*place], child, kept, trail.item()) {
                    removed.insert(*place);
                }
            }
            _ => {}
        }
    }
    if let Value::Array(items) = value {
        let mut place = 0..;
        items.retain(|_| place.next().is_none_or(|place| !removed.contains(&place)));
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
