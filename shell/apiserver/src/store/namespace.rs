//! Namespaces that end: what is in them goes first, and what does not go is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::definitions::set_condition;
use super::{Deletion, Draft, Object, Store, Writer};
use crate::kinds::KindId;
use crate::metadata;

impl Store {
    /// Marks a namespace, deletes what is in it, and then itself unless something is held back.
    pub(super) fn end_namespace(&mut self, namespace: &Arc<Object>, writer: &Writer) -> Deletion {
        let marked = self.condemn(namespace, namespace.value(), writer);
        self.collect(writer);
        marked
    }

    /// Looks at the namespaces that something was taken from: they may have waited for it.
    pub(super) fn end_what_waits(&mut self) {
        while let Some(name) = self.left.pop_first() {
            self.continue_ending(&name);
        }
    }

    /// Removes a namespace that is ending if nothing is in it any more, or says in it what still is.
    fn continue_ending(&mut self, name: &str) {
        let Some(namespace) = self.get(KindId::namespaces(), "", name).cloned() else { return };
        if !namespace.is_terminating() {
            return;
        }
        let left = self.left_in(name);
        let mut value = namespace.value();
        if left.is_empty() && !metadata::has_finalizers(&value) {
            self.remove(namespace.kind(), &namespace);
            return;
        }
        for condition in conditions(&left) {
            set_condition(&mut value, condition);
        }
        if value["status"] != namespace.value()["status"] {
            self.insert(namespace.kind(), &value);
        }
    }

    pub(super) fn empty_namespace(&mut self, name: &str, writer: &Writer) {
        let kinds: Vec<_> = self.kinds().stored().filter(|kind| kind.is_namespaced()).collect();
        for kind in kinds {
            let content: Vec<_> = self.list(kind, Some(name)).cloned().collect();
            for object in content {
                let value = object.value();
                self.condemn(&object, value, writer);
            }
        }
    }

    fn left_in(&self, name: &str) -> Left {
        let mut left = Left::default();
        for kind in self.kinds().stored().filter(|kind| kind.is_namespaced()) {
            for object in self.list(kind, Some(name)) {
                *left.resources.entry(kind.resource()).or_default() += 1;
                left.count_finalizers(object);
            }
        }
        left
    }
}

/// What is in a namespace, by resource and by finalizer.
#[derive(Default)]
struct Left {
    resources: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
}

impl Left {
    fn count_finalizers(&mut self, object: &Object) {
        for finalizer in object.finalizers() {
            *self.finalizers.entry(finalizer.to_string()).or_default() += 1;
        }
    }

    fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }
}

fn conditions(left: &Left) -> [Value; 5] {
    let now = Draft::time(Timestamp::now());
    let condition = |kind: &str, status: &str, reason: &str, message: &str| json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now});
    let listed = |counts: &BTreeMap<String, usize>, between: &str| {
        let counts = counts.iter().map(|(name, count)| format!("{name}{between}{count} resource instances"));
        counts.collect::<Vec<_>>().join(", ")
    };
    let resources = if left.resources.is_empty() {
        condition("NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed")
    } else {
        let message = format!("Some resources are remaining: {}", listed(&left.resources, ". has "));
        condition("NamespaceContentRemaining", "True", "SomeResourcesRemain", &message)
    };
    let finalizers = if left.finalizers.is_empty() {
        let message = "All content-preserving finalizers finished";
        condition("NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers", message)
    } else {
        let message = format!(
            "Some content in the namespace has finalizers remaining: {}",
            listed(&left.finalizers, " in ")
        );
        condition("NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", &message)
    };
    [
        condition(
            "NamespaceDeletionDiscoveryFailure",
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        condition(
            "NamespaceDeletionContentFailure",
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        resources,
        finalizers,
    ]
}
