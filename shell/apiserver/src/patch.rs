//! Patches other than server-side apply, and which part of an object a write is about.

use serde_json::Value;

use crate::kinds::KindId;
use crate::refusal::{Refusal, Subject};

/// The part of an object that a write may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything; without `.status` where that is a subresource.
    Whole,
    /// `.status` alone.
    Status,
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
            Self::Json(patch) => json_patch::patch(&mut object, patch).map_err(|error| {
                Refusal::invalid(Subject::new(kind, name), "patch", "FieldValueInvalid", error.to_string())
            })?,
        }
        Ok(object)
    }
}
