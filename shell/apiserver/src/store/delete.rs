//! Deleting objects, and namespaces with what is in them.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::kinds::KindId;
use crate::metadata;
use crate::refusal::{Refusal, Stale};
use crate::selector::Selector;
use crate::store::{Draft, Effect, Object, Place, Propagation, Store, Writer};

/// The namespaces of the system itself.
const FOR_GOOD: [&str; 3] = ["default", "kube-public", "kube-system"];

/// What must hold for a deletion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// The uid that the object must have.
    pub uid: Option<String>,
    /// The resource version that the object must have.
    pub version: Option<String>,
    /// What becomes of the objects that it owns.
    pub propagation: Propagation,
    /// How many seconds a Pod may take to end; without it as many as the Pod says.
    pub grace: Option<u64>,
}

/// What a deletion of many is about.
#[derive(Debug, Clone, Copy)]
pub struct Selected<'a> {
    /// The kind of the objects.
    pub kind: KindId,
    /// Their namespace; all of them without one.
    pub namespace: Option<&'a str>,
    /// What they must be like.
    pub selector: &'a Selector,
}

/// How far a deletion came.
#[derive(Debug, Clone)]
pub enum Deletion {
    /// The object is gone; this was its last state.
    Done(Arc<Object>),
    /// Finalizers hold it back.
    Pending(Arc<Object>),
}

impl Store {
    /// Deletes one object, at once or when its finalizers are gone.
    pub fn delete(
        &mut self,
        place: &Place,
        preconditions: &Preconditions,
        writer: &Writer,
    ) -> Result<Deletion, Refusal> {
        let object = self.find(place)?;
        let mut value = object.value();
        writer.admission.check(self, place, Some(&value), None)?;
        check(place, preconditions, &object, &value)?;
        if place.kind == KindId::namespaces() && FOR_GOOD.contains(&object.name()) {
            return Err(Refusal::Forbidden(place.subject(), "this namespace may not be deleted".to_owned()));
        }
        if writer.effect == Effect::DryRun {
            return Ok(Deletion::Done(object));
        }
        let deletion = if place.kind == KindId::definitions() {
            self.retire(&object, writer);
            self.find(place).map_or(Deletion::Done(object), Deletion::Pending)
        } else if place.kind == KindId::namespaces() {
            self.end_namespace(&object, writer)
        } else {
            Self::hold_for_dependents(&mut value, preconditions.propagation);
            match grace(&object, &value, preconditions) {
                Some(seconds) => self.let_end(&object, value, seconds, writer),
                None => self.condemn(&object, value, writer),
            }
        };
        self.collect(writer);
        Ok(deletion)
    }

    /// Deletes what is selected and may be deleted, and answers with the first refusal of what may not.
    pub fn delete_selected(
        &mut self,
        selected: &Selected<'_>,
        preconditions: &Preconditions,
        writer: &Writer,
    ) -> Result<(), Refusal> {
        let found = self.list(selected.kind, selected.namespace);
        let found = found.filter(|object| selected.selector.matches(object));
        let places: Vec<_> =
            found.map(|object| Place::new(selected.kind, object.namespace(), object.name())).collect();
        let mut answer = Ok(());
        for place in places {
            match self.delete(&place, preconditions, writer) {
                // Some go with those before them.
                Ok(_) | Err(Refusal::NotFound(_)) => {}
                Err(refusal) => answer = answer.and(Err(refusal)),
            }
        }
        answer
    }

    pub(super) fn condemn(&mut self, object: &Arc<Object>, mut value: Value, writer: &Writer) -> Deletion {
        let is_namespace = object.kind() == KindId::namespaces();
        if !is_namespace && !metadata::has_finalizers(&value) {
            return Deletion::Done(self.finish_deletion(object));
        }
        if object.is_terminating() {
            if is_namespace {
                self.left.insert(object.name().to_owned());
            }
            return Deletion::Pending(Arc::clone(object));
        }
        let fields = metadata::fields(&mut value);
        fields.insert("deletionTimestamp".to_owned(), json!(Draft::time(writer.now)));
        fields.insert("deletionGracePeriodSeconds".to_owned(), json!(0));
        if is_namespace {
            value["status"]["phase"] = json!("Terminating");
        }
        let marked = self.insert(object.kind(), &value);
        if is_namespace {
            self.empty_namespace(object.name(), writer);
            self.left.insert(object.name().to_owned());
        }
        Deletion::Pending(marked)
    }

    /// Marks a Pod that its kubelet ends and then deletes at once.
    fn let_end(&mut self, pod: &Arc<Object>, mut value: Value, seconds: u64, writer: &Writer) -> Deletion {
        let fields = metadata::fields(&mut value);
        let before = fields.get("deletionGracePeriodSeconds").and_then(Value::as_u64);
        if pod.is_terminating() && before.is_none_or(|before| before <= seconds) {
            return Deletion::Pending(Arc::clone(pod));
        }
        let until = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        let until = writer.now.checked_add(until).unwrap_or(writer.now);
        fields.insert("deletionTimestamp".to_owned(), json!(Draft::time(until)));
        fields.insert("deletionGracePeriodSeconds".to_owned(), json!(seconds));
        Deletion::Pending(self.insert(pod.kind(), &value))
    }

    /// Removes an object that nothing holds back, and its namespace if that waited for it alone. A namespace goes when
    /// nothing is in it any more: the next collection looks.
    pub(super) fn finish_deletion(&mut self, object: &Arc<Object>) -> Arc<Object> {
        if object.kind() == KindId::namespaces() {
            self.left.insert(object.name().to_owned());
            return Arc::clone(object);
        }
        let gone = self.remove(object.kind(), object);
        if object.kind().is_custom() {
            self.finish_definition(object.kind().key());
        }
        if !gone.namespace().is_empty() {
            self.left.insert(gone.namespace().to_owned());
        }
        gone
    }
}

/// How long a Pod may take to end; none where nobody runs it, or it is to go at once.
fn grace(object: &Object, value: &Value, preconditions: &Preconditions) -> Option<u64> {
    if object.kind().key() != ("", "pods") {
        return None;
    }
    let placed = value["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let over = matches!(value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let own = || value["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
    let seconds = preconditions.grace.unwrap_or_else(own);
    (placed && !over && seconds > 0).then_some(seconds)
}

fn check(
    place: &Place,
    preconditions: &Preconditions,
    object: &Object,
    value: &Value,
) -> Result<(), Refusal> {
    let found = metadata::text(value, "uid");
    if let Some(asked) = preconditions.uid.as_ref().filter(|asked| *asked != found) {
        let stale = Stale::Uid { asked: asked.clone(), found: found.to_owned() };
        return Err(Refusal::Conflict(place.subject(), stale));
    }
    let found = object.version();
    if let Some(asked) = preconditions.version.as_ref().filter(|asked| **asked != found.to_string()) {
        return Err(Refusal::Conflict(place.subject(), Stale::Version { asked: asked.clone(), found }));
    }
    Ok(())
}
