//! The `scale` subresource: the number of replicas of an object, whatever its kind calls it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::kinds::KindId;
use crate::metadata;
use crate::patch::{Part, Patch};
use crate::refusal::Refusal;
use crate::schema::Cause;
use crate::selector::written;
use crate::store::{Object, Place, Store, Writer};

/// The scale of an object.
pub(crate) fn scale_of(kind: KindId, object: &Value) -> Option<Value> {
    let paths = kind.scale?;
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let copied = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"];
    let fields = object.get("metadata").and_then(Value::as_object).into_iter().flatten();
    let metadata: serde_json::Map<_, _> = fields
        .filter(|(name, _)| copied.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut status = json!({"replicas": number(paths.observed)});
    if let Some(selector) = paths.selector.and_then(|pointer| object.pointer(pointer)) {
        status["selector"] = if selector.is_object() { json!(written(selector)) } else { selector.clone() };
    }
    Some(json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": number(paths.desired)},
        "status": status,
    }))
}

/// How a request changes a scale.
pub(crate) enum Rescale<'a> {
    /// By another scale.
    Replaced(Value),
    /// By a patch of the scale.
    Patched(&'a Patch),
}

impl Store {
    /// Changes the number of replicas of an object.
    pub(crate) fn rescale(
        &mut self,
        place: &Place,
        change: Rescale<'_>,
        writer: &Writer,
    ) -> Result<Arc<Object>, Refusal> {
        let mut object = self.find(place)?.value();
        let (Some(paths), Some(before)) = (place.kind.scale, scale_of(place.kind, &object)) else {
            return Err(Refusal::UnknownResource);
        };
        let after = match change {
            Rescale::Replaced(scale) => scale,
            Rescale::Patched(patch) => patch.applied_to(place.kind, &place.name, &before)?,
        };
        let field = "spec.replicas";
        let wanted = match after.pointer("/spec/replicas") {
            None => 0,
            Some(number) => number.as_i64().filter(|number| *number >= 0).ok_or_else(|| {
                let detail = "must be greater than or equal to 0";
                Refusal::Invalid(place.subject(), vec![Cause::invalid(field, number, detail)])
            })?,
        };
        set(&mut object, paths.desired, json!(wanted));
        let fields = metadata::fields(&mut object);
        match metadata::text(&after, "resourceVersion") {
            "" => fields.remove("resourceVersion"),
            version => fields.insert("resourceVersion".to_owned(), json!(version)),
        };
        let place = Place { part: Part::Scale, ..place.clone() };
        self.patch(&place, &Patch::Merge(object), writer)
    }
}

fn set(object: &mut Value, pointer: &str, wanted: Value) {
    let mut place = object;
    for name in pointer.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[name];
    }
    *place = wanted;
}
