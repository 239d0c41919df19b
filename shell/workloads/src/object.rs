//! Reading objects as they stand in the API, whatever their kind.

use jiff::Timestamp;
use serde_json::{Value, json};
use subm_kube::Key;

/// The text at a JSON pointer; empty where there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a JSON pointer; 0 where there is none.
pub(crate) fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The elements of the list at a JSON pointer.
pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

pub(crate) fn key(object: &Value) -> Key {
    Key::new(text(object, "/metadata/namespace"), text(object, "/metadata/name"))
}

/// Whether it is deleted and only not gone yet.
pub(crate) fn is_ending(object: &Value) -> bool {
    !text(object, "/metadata/deletionTimestamp").is_empty()
}

/// The uid of the object that controls this one; empty where none does.
pub(crate) fn controller(object: &Value) -> &str {
    let owners = list(object, "/metadata/ownerReferences");
    owners.iter().find(|owner| owner["controller"] == true).map_or("", |owner| text(owner, "/uid"))
}

/// How a controlled object names its controller.
pub(crate) fn owner_reference(kind: &str, api_version: &str, owner: &Value) -> Value {
    json!([{
        "apiVersion": api_version,
        "kind": kind,
        "name": text(owner, "/metadata/name"),
        "uid": uid(owner),
        "controller": true,
        "blockOwnerDeletion": true,
    }])
}

/// A condition of an object's status by its type.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions").iter().find(|condition| condition["type"] == kind)
}

pub(crate) fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == "True")
}

/// Whether a Pod's containers are over for good.
pub(crate) fn is_over(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether a Pod counts: it is neither over nor deleted.
pub(crate) fn is_active(pod: &Value) -> bool {
    !is_over(pod) && !is_ending(pod)
}

/// The time at a JSON pointer.
pub(crate) fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    text(object, pointer).parse().ok()
}

/// A time as Kubernetes writes it: whole seconds.
pub(crate) fn written(time: Timestamp) -> String {
    let seconds = Timestamp::from_second(time.as_second()).unwrap_or(time);
    seconds.to_string()
}

/// Whether a `LabelSelector` takes these labels. An absent selector takes nothing, an empty one everything.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    if selector.is_null() {
        return false;
    }
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    equal.into_iter().all(|(name, value)| labels.get(name) == Some(value))
        && list(selector, "/matchExpressions").iter().all(|term| requires(term, labels))
}

/// Whether labels fulfil one requirement of a selector or of a node selector term.
pub(crate) fn requires(term: &Value, labels: &Value) -> bool {
    let found = labels.get(text(term, "/key")).and_then(Value::as_str);
    let values = list(term, "/values");
    let listed = found.is_some_and(|found| values.iter().any(|value| value == found));
    let compare = |larger: fn(&i64, &i64) -> bool| {
        let wanted = values.first().and_then(Value::as_str).and_then(|text| text.parse().ok());
        let found = found.and_then(|text| text.parse().ok());
        found.zip(wanted).is_some_and(|(found, wanted)| larger(&found, &wanted))
    };
    match text(term, "/operator") {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => compare(i64::gt),
        "Lt" => compare(i64::lt),
        _ => false,
    }
}

/// The conditions of a status with one of them set; its time changes only where its word does.
pub(crate) fn with_condition(conditions: &[Value], mut wanted: Value, now: Timestamp) -> Value {
    let mut conditions = conditions.to_vec();
    let stamp = json!(written(now));
    let found = conditions.iter_mut().find(|condition| condition["type"] == wanted["type"]);
    let same = |one: &Value, field: &str, other: &Value| one[field] == other[field];
    if let Some(found) = found {
        let kept = same(found, "status", &wanted);
        wanted["lastTransitionTime"] = if kept { found["lastTransitionTime"].clone() } else { stamp.clone() };
        if found.get("lastUpdateTime").is_some() {
            let still = kept && same(found, "reason", &wanted) && same(found, "message", &wanted);
            wanted["lastUpdateTime"] = if still { found["lastUpdateTime"].clone() } else { stamp };
        }
        *found = wanted;
    } else {
        wanted["lastTransitionTime"] = stamp;
        conditions.push(wanted);
    }
    Value::Array(conditions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_compare_and_ask_for_sets_and_presence() {
        let labels = json!({"app": "echo", "tier": "3"});
        for (selector, wanted) in [
            (Value::Null, false),
            (json!({}), true),
            (json!({"matchLabels": {"app": "echo"}}), true),
            (json!({"matchLabels": {"app": "other"}}), false),
            (json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "echo"]}]}), true),
            (json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["echo"]}]}), false),
            (json!({"matchExpressions": [{"key": "other", "operator": "NotIn", "values": ["echo"]}]}), true),
            (json!({"matchExpressions": [{"key": "tier", "operator": "Gt", "values": ["2"]}]}), true),
            (json!({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}), false),
        ] {
            assert_eq!(selects(&selector, &labels), wanted, "{selector}");
        }
    }

    #[test]
    fn a_condition_that_stays_keeps_its_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let of = |status: &str| json!({"type": "Available", "status": status});
        let first = with_condition(&[], of("True"), at(0));
        let same = with_condition(first.as_array().unwrap(), of("True"), at(60));
        assert_eq!(same, first);
        let other = with_condition(first.as_array().unwrap(), of("False"), at(60));
        assert_eq!(other[0]["lastTransitionTime"], "1970-01-01T00:01:00Z");
    }
}
