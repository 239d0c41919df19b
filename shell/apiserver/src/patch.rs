//! Patches other than server-side apply, and which part of an object a write is about.

use json_patch::PatchOperation;
use serde_json::Value;

use crate::kinds::KindId;
use crate::metadata::{DEEPEST, is_within};
use crate::refusal::{Refusal, Subject};

/// COMPAT: as many as Kubernetes takes.
const MOST_OPERATIONS: usize = 10_000;
/// So many bytes may be copied and moved by one patch: each copy can double an object.
const MOST_COPIED: usize = 3 * 1024 * 1024;

/// The part of an object that a write may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything; without `.status` where that is a subresource.
    Whole,
    /// `.status` alone.
    Status,
    /// The number of replicas.
    Scale,
    /// The node of a Pod.
    Binding,
}

impl Part {
    /// The name of the subresource, empty for the whole.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Whole => "",
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Binding => "binding",
        }
    }
}

/// A change to an object.
#[derive(Debug, Clone)]
pub enum Patch {
    /// JSON merge patch, RFC 7386.
    Merge(Value),
    /// JSON patch, RFC 6902.
    Json(json_patch::Patch),
    /// Strategic merge patch: lists of built-in kinds are merged by their keys.
    Strategic(Value),
}

impl Patch {
    /// The object after the patch.
    pub(crate) fn applied_to(&self, kind: KindId, name: &str, object: &Value) -> Result<Value, Refusal> {
        let mut object = object.clone();
        match self {
            Self::Merge(patch) => json_patch::merge(&mut object, patch),
            Self::Strategic(patch) => crate::strategic::merge(kind, &mut object, patch)?,
            Self::Json(patch) => apply(patch, &mut object, &Subject::new(kind, name))?,
        }
        Ok(object)
    }
}

/// INVARIANT: what grows is measured before it is made, because a patch of a few bytes can ask for more than there is
/// memory, or for an object so deep that freeing it overflows the stack.
fn apply(patch: &json_patch::Patch, object: &mut Value, subject: &Subject) -> Result<(), Refusal> {
    let wrong = |message: String| Refusal::invalid(subject.clone(), "patch", "FieldValueInvalid", message);
    if patch.0.len() > MOST_OPERATIONS {
        return Err(wrong(format!("{} operations, more than {MOST_OPERATIONS}", patch.0.len())));
    }
    let mut copied = 0;
    for operation in &patch.0 {
        let added = match operation {
            PatchOperation::Add(add) => Some(&add.value),
            PatchOperation::Replace(replace) => Some(&replace.value),
            PatchOperation::Copy(copy) => counted(object, copy.from.as_str(), &mut copied).map_err(wrong)?,
            PatchOperation::Move(from) => counted(object, from.from.as_str(), &mut copied).map_err(wrong)?,
            PatchOperation::Remove(_) | PatchOperation::Test(_) => None,
        };
        let room = DEEPEST.checked_sub(operation.path().count());
        if added.is_some_and(|added| !room.is_some_and(|room| is_within(added, room))) {
            return Err(wrong(format!("{} would lie deeper than {DEEPEST} levels", operation.path())));
        }
        // COMPAT: Kubernetes does not say what the error is.
        json_patch::patch(object, std::slice::from_ref(operation)).map_err(|_| Refusal::FailedPatch)?;
    }
    Ok(())
}

fn counted<'a>(object: &'a Value, from: &str, copied: &mut usize) -> Result<Option<&'a Value>, String> {
    let Some(value) = object.pointer(from) else { return Ok(None) };
    *copied += value.to_string().len();
    if *copied > MOST_COPIED {
        return Err(format!("it copies more than {MOST_COPIED} bytes"));
    }
    Ok(Some(value))
}
