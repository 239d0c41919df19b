//! Garbage collection: what becomes of objects whose owners are deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Object, Store, Writer};
use crate::kinds::{KindId, ResourceKey};
use crate::metadata;

/// What a deletion does to the objects that the deleted one owns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after it.
    #[default]
    Background,
    /// They are deleted before it.
    Foreground,
    /// They are disowned.
    Orphan,
}

impl Propagation {
    /// The finalizer that holds the owner back until the dependents are dealt with.
    pub(super) fn finalizer(self) -> Option<&'static str> {
        match self {
            Self::Background => None,
            Self::Foreground => Some("foregroundDeletion"),
            Self::Orphan => Some("orphan"),
        }
    }
}

/// Which objects own which.
#[derive(Debug, Default)]
pub(super) struct Ownership {
    /// The objects that name an owner, by the owner's uid.
    dependents: BTreeMap<String, BTreeSet<Address>>,
    /// Owners that are gone or waiting, whose dependents have not been looked at yet.
    due: BTreeSet<String>,
    /// Objects that are deleted but held back, by their uids.
    waiting: BTreeMap<String, Address>,
}

/// The resource of an object, and its key there.
type Address = (ResourceKey, String);

impl Ownership {
    pub(super) fn note(&mut self, address: &Address, before: Option<&Object>, after: Option<&Object>) {
        for owner in before.into_iter().flat_map(Object::owners) {
            if let Some(dependents) = self.dependents.get_mut(&**owner) {
                dependents.remove(address);
            }
        }
        for owner in after.into_iter().flat_map(Object::owners) {
            self.dependents.entry(owner.to_string()).or_default().insert(address.clone());
        }
        match (before, after) {
            (Some(gone), None) => {
                self.waiting.remove(gone.uid());
                self.due.insert(gone.uid().to_owned());
                // An owner that waits for this one may have nothing to wait for any more.
                self.due.extend(gone.owners().iter().map(ToString::to_string));
            }
            (_, Some(waiting)) if waiting.is_terminating() => {
                self.waiting.insert(waiting.uid().to_owned(), address.clone());
                self.due.insert(waiting.uid().to_owned());
            }
            // The owners that a new object names may never have been there.
            (None, Some(new)) => self.due.extend(new.owners().iter().map(ToString::to_string)),
            _ => {}
        }
    }

    fn of(&self, uid: &str) -> Vec<Address> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }
}

impl Store {
    /// Deletes, disowns or lets go what depends on objects that were deleted since the last call.
    pub(super) fn collect(&mut self, writer: &Writer) {
        loop {
            while let Some(uid) = self.ownership.due.pop_first() {
                self.collect_of(&uid, writer);
            }
            self.end_what_waits();
            // A namespace that went may have owned something.
            if self.ownership.due.is_empty() {
                return;
            }
        }
    }

    fn collect_of(&mut self, uid: &str, writer: &Writer) {
        let dependents = self.ownership.of(uid);
        match self.by_uid(uid, &dependents) {
            Some(owner) => self.collect_of_waiting(&owner, &dependents, writer),
            None => self.collect_of_gone(uid, dependents, writer),
        }
        if self.ownership.dependents.get(uid).is_some_and(BTreeSet::is_empty) {
            self.ownership.dependents.remove(uid);
        }
    }

    fn at_address(&self, (resource, key): &Address) -> Option<&Arc<Object>> {
        self.collections.get(resource)?.objects.get(key)
    }

    /// The owner itself, if it is still there: found by what its dependents say of it, or among those that wait.
    fn by_uid(&self, uid: &str, dependents: &[Address]) -> Option<Arc<Object>> {
        if let Some(waiting) = self.ownership.waiting.get(uid) {
            return self.at_address(waiting).filter(|object| object.uid() == uid).cloned();
        }
        let dependent = dependents.iter().find_map(|address| self.at_address(address))?;
        self.owner(&dependent.value(), uid)
    }

    fn owner(&self, dependent: &Value, uid: &str) -> Option<Arc<Object>> {
        let references = references(dependent);
        let reference = references.into_iter().find(|reference| reference["uid"] == uid)?;
        let text = |field: &str| reference.get(field).and_then(Value::as_str);
        let kind = self.kinds.typed(text("apiVersion")?, text("kind")?)?;
        let namespace = if kind.is_namespaced() { metadata::text(dependent, "namespace") } else { "" };
        self.get(kind, namespace, text("name")?).filter(|owner| owner.uid() == uid).cloned()
    }

    fn is_resolvable(&self, dependent: &Value, uid: &str) -> bool {
        let text = |reference: &Value, field: &str| reference[field].as_str().unwrap_or_default().to_owned();
        references(dependent).into_iter().filter(|reference| reference["uid"] == uid).any(|reference| {
            self.kinds.typed(&text(reference, "apiVersion"), &text(reference, "kind")).is_some()
        })
    }

    fn collect_of_gone(&mut self, uid: &str, dependents: Vec<Address>, writer: &Writer) {
        for address in dependents {
            let Some(object) = self.at_address(&address).cloned() else { continue };
            let value = object.value();
            // COMPAT: an owner of a kind that is not served may be there for all that is known.
            if !self.is_resolvable(&value, uid) {
                continue;
            }
            let has_other =
                references(&value).iter().filter_map(|reference| reference["uid"].as_str()).any(|other| {
                    other != uid && self.owner(&value, other).is_some_and(|owner| !owner.is_terminating())
                });
            if has_other {
                self.disown(&object, uid);
            } else {
                self.condemn(&object, value, writer);
            }
        }
    }

    fn collect_of_waiting(&mut self, owner: &Arc<Object>, dependents: &[Address], writer: &Writer) {
        if !owner.is_terminating() {
            return;
        }
        let value = owner.value();
        if has_finalizer(&value, "orphan") {
            let left: Vec<_> =
                dependents.iter().filter_map(|address| self.at_address(address).cloned()).collect();
            for object in &left {
                self.disown(object, owner.uid());
            }
            return self.let_go(owner, "orphan");
        }
        if !has_finalizer(&value, "foregroundDeletion") {
            return;
        }
        for address in dependents {
            if let Some(object) = self.at_address(address).filter(|object| !object.is_terminating()).cloned()
            {
                let value = object.value();
                self.condemn(&object, value, writer);
            }
        }
        let blocks =
            |address: &Address| self.at_address(address).is_some_and(|object| blocks(object, owner.uid()));
        if !self.ownership.of(owner.uid()).iter().any(blocks) {
            self.let_go(owner, "foregroundDeletion");
        }
    }

    fn disown(&mut self, object: &Arc<Object>, uid: &str) {
        let mut value = object.value();
        let fields = metadata::fields(&mut value);
        if let Some(references) = fields.get_mut("ownerReferences").and_then(Value::as_array_mut) {
            references.retain(|reference| reference["uid"] != uid);
            if references.is_empty() {
                fields.remove("ownerReferences");
            }
        }
        self.insert(object.kind(), &value);
    }

    fn let_go(&mut self, owner: &Arc<Object>, finalizer: &str) {
        let mut value = owner.value();
        let fields = metadata::fields(&mut value);
        if let Some(finalizers) = fields.get_mut("finalizers").and_then(Value::as_array_mut) {
            finalizers.retain(|known| known != finalizer);
        }
        if metadata::has_finalizers(&value) {
            self.insert(owner.kind(), &value);
        } else {
            // A namespace may stay for what is in it, without the finalizer.
            let is_namespace = owner.kind() == KindId::namespaces();
            let free = if is_namespace { self.insert(owner.kind(), &value) } else { Arc::clone(owner) };
            self.finish_deletion(&free);
        }
    }

    /// Marks an object so that its dependents are dealt with first.
    pub(super) fn hold_for_dependents(value: &mut Value, propagation: Propagation) {
        let Some(finalizer) = propagation.finalizer() else { return };
        let fields = metadata::fields(value);
        let finalizers = fields.entry("finalizers").or_insert_with(|| json!([]));
        if let Some(finalizers) = finalizers.as_array_mut()
            && !finalizers.contains(&json!(finalizer))
        {
            finalizers.push(json!(finalizer));
        }
    }
}

/// Whether an object wants its owner to wait for it.
fn blocks(object: &Object, owner: &str) -> bool {
    let value = object.value();
    let wants = |reference: &&Value| reference["uid"] == owner && reference["blockOwnerDeletion"] == true;
    references(&value).iter().any(wants)
}

fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    finalizers.is_some_and(|finalizers| finalizers.iter().any(|known| known == finalizer))
}

/// The owners that an object names.
pub(super) fn references(object: &Value) -> Vec<&Value> {
    let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    references.into_iter().flatten().collect()
}
