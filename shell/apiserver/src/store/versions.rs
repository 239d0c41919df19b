//! The same object in another version of its kind.

use serde_json::{Value, json};

use crate::kinds::KindId;

/// The fields of Events that have other names in `events.k8s.io`: there, and in the core group.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// The value of one version in another: all definitions convert by `None`, Events by the names of their fields.
pub(crate) fn converted(mut value: Value, from: KindId, to: KindId) -> Value {
    if from.key() == ("", "events") && from.group != to.group {
        rename_event_fields(&mut value, to.group.is_empty());
    }
    value["apiVersion"] = json!(to.api_version());
    value["kind"] = json!(to.name);
    value
}

fn rename_event_fields(event: &mut Value, to_core: bool) {
    let Some(fields) = event.as_object_mut() else { return };
    for (new, core) in EVENT_FIELDS {
        let (from, to) = if to_core { (new, core) } else { (core, new) };
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
}

/// The name that a selectable field of a kind has in the version that objects are kept in.
pub(crate) fn kept_field(kind: KindId, field: &str) -> String {
    if kind.kept_as != Some(("", "events")) {
        return field.to_owned();
    }
    let (first, rest) = field.split_once('.').map_or((field, None), |(first, rest)| (first, Some(rest)));
    let first = EVENT_FIELDS.iter().find(|(new, _)| *new == first).map_or(first, |(_, core)| core);
    rest.map_or_else(|| first.to_owned(), |rest| format!("{first}.{rest}"))
}
