//! How lists are merged and owned: by keys, as sets, or as one value.

use serde_json::{Map, Value, json};

use crate::kinds::KindId;

/// How the elements of a list are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// The list is one value.
    Atomic,
    /// Elements are scalars, each at most once.
    Set,
    /// Elements are objects told apart by these fields.
    Map(&'static [&'static str]),
}

use ListKind::{Atomic, Map as Keyed, Set};

/// Lists of every kind.
const COMMON: &[(&str, ListKind)] = &[
    ("metadata.finalizers", Set),
    ("metadata.ownerReferences", Keyed(&["uid"])),
    ("status.conditions", Keyed(&["type"])),
];

pub(super) const NODE: &[(&str, ListKind)] =
    &[("spec.podCIDRs", Set), ("status.addresses", Keyed(&["type"]))];

pub(super) const SERVICE: &[(&str, ListKind)] = &[("spec.ports", Keyed(&["port", "protocol"]))];

pub(super) const SERVICE_ACCOUNT: &[(&str, ListKind)] =
    &[("secrets", Keyed(&["name"])), ("imagePullSecrets", Keyed(&["name"]))];

pub(super) const POD: &[(&str, ListKind)] = &[
    ("spec.containers", Keyed(&["name"])),
    ("spec.containers[].env", Keyed(&["name"])),
    ("spec.containers[].ports", Keyed(&["containerPort", "protocol"])),
    ("spec.containers[].volumeMounts", Keyed(&["mountPath"])),
    ("spec.initContainers", Keyed(&["name"])),
    ("spec.initContainers[].env", Keyed(&["name"])),
    ("spec.initContainers[].ports", Keyed(&["containerPort", "protocol"])),
    ("spec.initContainers[].volumeMounts", Keyed(&["mountPath"])),
    ("spec.volumes", Keyed(&["name"])),
    ("spec.imagePullSecrets", Keyed(&["name"])),
    ("spec.hostAliases", Keyed(&["ip"])),
    ("status.podIPs", Keyed(&["ip"])),
    ("status.hostIPs", Keyed(&["ip"])),
];

/// Where in an object a walk is, from the field back to the root.
#[derive(Clone, Copy)]
pub(crate) struct Trail<'a> {
    kind: KindId,
    last: Option<(&'a str, &'a Trail<'a>)>,
}

impl<'a> Trail<'a> {
    pub(crate) fn root(kind: KindId) -> Self {
        Self { kind, last: None }
    }

    pub(crate) fn field(&'a self, name: &'a str) -> Self {
        Self { kind: self.kind, last: Some((name, self)) }
    }

    /// The way to any element of the list here.
    pub(crate) fn item(&'a self) -> Self {
        self.field("[]")
    }

    fn text(&self) -> String {
        let Some((name, parent)) = self.last else { return String::new() };
        let mut text = parent.text();
        if !text.is_empty() && name != "[]" {
            text.push('.');
        }
        text.push_str(name);
        text
    }
}

/// How the list at this place is merged.
pub(crate) fn list_kind(trail: &Trail<'_>) -> ListKind {
    let text = trail.text();
    let known = trail.kind.lists.iter().chain(COMMON);
    known.into_iter().find(|(path, _)| *path == text).map_or(Atomic, |(_, kind)| *kind)
}

/// What names an element of a list in managed fields: `k:{…}` or `v:…`; none where it lacks a key.
pub(crate) fn element(kind: ListKind, item: &Value) -> Option<String> {
    match kind {
        Atomic => None,
        Set => Some(format!("v:{item}")),
        Keyed(keys) => {
            let mut found = Map::new();
            for key in keys {
                let value = item.get(*key).cloned().or_else(|| default_of_key(key))?;
                found.insert((*key).to_owned(), value);
            }
            Some(format!("k:{}", Value::Object(found)))
        }
    }
}

fn default_of_key(key: &str) -> Option<Value> {
    (key == "protocol").then(|| json!("TCP"))
}
