//! What an object must look like before it is kept: read by its kind's schema, completed and validated.

use serde_json::Value;

use super::{Place, Store, key};
use crate::kinds::KindId;
use crate::kinds::checks::Change;
use crate::metadata;
use crate::patch::Part;
use crate::refusal::Refusal;
use crate::schema::{Cause, check, complete, fill, judge, prune, read, validate};
use crate::services::{Allocator, prepare, spec_of};

/// Reads a body by the types of its kind; what a definition says of types is validated instead.
pub(super) fn read_body(kind: KindId, value: &mut Value) -> Result<(), Refusal> {
    metadata::check_body(value)?;
    if kind.is_custom() {
        return Ok(());
    }
    read(kind.schema(), value).map_err(|why| {
        let (name, version) = (kind.name, kind.version);
        Refusal::BadRequest(format!("{name} in version {version:?} cannot be handled as a {name}: {why}"))
    })
}

/// Reads what a patch made of an object.
pub(super) fn read_patched(kind: KindId, value: &mut Value) -> Result<(), Refusal> {
    metadata::check_body(value)?;
    if kind.is_custom() {
        return Ok(());
    }
    read(kind.schema(), value).map_err(|why| {
        let cause = Cause::invalid("patch", &Value::from(value.to_string()), why);
        Refusal::InvalidPatch(vec![cause])
    })
}

/// Fills in what an object leaves out, and drops what its kind does not have.
pub(super) fn complete_whole(kind: KindId, value: &mut Value) {
    if kind.is_custom() {
        prune(kind.schema(), value);
        complete(kind.schema(), value);
    } else {
        fill(kind.schema(), value);
    }
    (kind.complete)(value);
}

impl Store {
    /// Validates an object, also against what was there before, and gives it what it needs of this store.
    pub(super) fn shape(
        &self,
        place: &Place,
        before: Option<&Value>,
        value: &mut Value,
    ) -> Result<(), Refusal> {
        let causes = if place.kind.is_custom() {
            of_definition(place.kind, before, value)
        } else {
            self.of_built_in(place, before, value)
        };
        if causes.is_empty() { Ok(()) } else { Err(Refusal::Invalid(place.subject(), causes)) }
    }

    fn of_built_in(&self, place: &Place, before: Option<&Value>, value: &mut Value) -> Vec<Cause> {
        let kind = place.kind;
        let mut causes = Vec::new();
        let is_service = kind.key() == ("", "services") && place.part != Part::Status;
        if is_service {
            let old = before.map(|before| &before["spec"]);
            causes.extend(prepare(spec_of(value), old, &self.ranges));
        }
        if place.part != Part::Status && kind != KindId::definitions() {
            check(kind.schema(), value, &mut causes);
        }
        (kind.check)(&Change { old: before, new: value, part: place.part }, &mut causes);
        if is_service && causes.is_empty() {
            let allocator = Allocator {
                taken: &self.services,
                ranges: &self.ranges,
                key: &key(&place.namespace, &place.name),
                lot: self.draw("service"),
            };
            causes.extend(allocator.allocate(spec_of(value)).err());
        }
        causes
    }
}

fn of_definition(kind: KindId, before: Option<&Value>, value: &Value) -> Vec<Cause> {
    let schema = kind.schema();
    let causes = validate(schema, value);
    if causes.is_empty() { judge(schema, value, before) } else { causes }
}
