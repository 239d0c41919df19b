//! Events of both groups.

use serde_json::Value;

use super::{Change, text};
use crate::schema::Cause;

pub(in crate::kinds) fn event(change: &Change<'_>, causes: &mut Vec<Cause>) {
    let event = change.new;
    let is_new = event["apiVersion"] == "events.k8s.io/v1";
    let (about, field) = if is_new {
        ("regarding", "regarding.namespace")
    } else {
        ("involvedObject", "involvedObject.namespace")
    };
    let namespace = text(&event["metadata"], "namespace");
    let (named, value) = (text(&event[about], "namespace"), &event[about]["namespace"]);
    // COMPAT: what is told of an object without a namespace lies in `default`.
    let fits = named == namespace || named.is_empty() && namespace == "default";
    if !fits {
        let value = if value.is_null() { Value::from("") } else { value.clone() };
        causes.push(Cause::invalid(field, &value, "does not match event.namespace"));
    }
    if is_new && change.old.is_none() {
        told(event, causes);
    }
    if is_new && let Some(old) = change.old {
        for field in [
            "eventTime",
            "reportingController",
            "reportingInstance",
            "action",
            "reason",
            "regarding",
            "related",
            "note",
            "type",
        ] {
            if old[field] != event[field] {
                causes.push(Cause::invalid(field, &event[field], super::IMMUTABLE));
            }
        }
    }
}

/// What the newer group asks for.
fn told(event: &Value, causes: &mut Vec<Cause>) {
    if event["eventTime"].is_null() {
        causes.push(Cause::required("eventTime", ""));
    } else {
        let asked = ["reportingController", "reportingInstance", "action", "reason"];
        let missing = asked.into_iter().filter(|field| text(event, field).is_empty());
        causes.extend(missing.map(|field| Cause::required(field, "")));
    }
    if !["Normal", "Warning"].contains(&text(event, "type")) {
        let detail = "has invalid value: ".to_owned() + text(event, "type");
        causes.push(Cause::invalid("type", &Value::from(""), detail));
    }
    for (field, longest) in [("reason", 128), ("action", 128), ("note", 1024), ("reportingInstance", 128)] {
        if text(event, field).len() > longest {
            let detail = format!("can have at most {longest} characters");
            causes.push(Cause::invalid(field, &Value::from(""), detail));
        }
    }
}
