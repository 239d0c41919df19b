//! Strategic merge patch, which `kubectl` sends for built-in kinds.

use serde_json::{Map, Value};

use crate::kinds::{KindId, ListKind, Trail, element, list_kind};
use crate::refusal::Refusal;

/// Merges a patch into an object.
pub(crate) fn merge(kind: KindId, object: &mut Value, patch: &Value) -> Result<(), Refusal> {
    if kind.is_custom() {
        let message = "application/strategic-merge-patch+json is not supported for custom resources; \
                       use application/merge-patch+json";
        return Err(Refusal::UnsupportedMediaType(message.to_owned()));
    }
    merge_value(object, patch, &Trail::root(kind))
}

fn merge_value(target: &mut Value, patch: &Value, trail: &Trail<'_>) -> Result<(), Refusal> {
    let Value::Object(entries) = patch else {
        *target = patch.clone();
        return Ok(());
    };
    match entries.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            *target = Value::Object(plain(entries));
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Null;
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => return Err(Refusal::BadRequest(format!("unknown $patch directive {other:?}"))),
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return Ok(()) };
    for (name, value) in entries {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            delete_scalars(fields.get_mut(list), value);
        } else if name == "$retainKeys" {
            fields
                .retain(|field, _| value.as_array().is_some_and(|keys| keys.iter().any(|key| key == field)));
        } else if !name.starts_with('$') {
            merge_field(fields, name, value, trail)?;
        }
    }
    Ok(())
}

fn merge_field(
    fields: &mut Map<String, Value>,
    name: &str,
    value: &Value,
    trail: &Trail<'_>,
) -> Result<(), Refusal> {
    let below = trail.field(name);
    match value {
        Value::Null => {
            fields.remove(name);
        }
        Value::Array(items) => {
            let kind = list_kind(&below);
            if let Some(Value::Array(target)) = fields.get_mut(name).filter(|_| kind != ListKind::Atomic) {
                return merge_list(target, items, kind, &below);
            }
            let kept = items.iter().filter(|item| item.get("$patch").is_none()).cloned().collect();
            fields.insert(name.to_owned(), Value::Array(kept));
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            let target = fields.entry(name).or_insert(Value::Null);
            merge_value(target, value, &below)?;
            if target.is_null() {
                fields.remove(name);
            }
        }
    }
    Ok(())
}

fn merge_list(
    target: &mut Vec<Value>,
    items: &[Value],
    kind: ListKind,
    trail: &Trail<'_>,
) -> Result<(), Refusal> {
    if items.iter().any(|item| item.get("$patch").and_then(Value::as_str) == Some("replace")) {
        *target = items.iter().filter(|item| item.get("$patch").is_none()).cloned().collect();
        return Ok(());
    }
    for item in items {
        let Some(name) = element(kind, item) else {
            return Err(Refusal::BadRequest("a list element of the patch lacks its merge key".to_owned()));
        };
        let index = target.iter().position(|present| element(kind, present).as_deref() == Some(&name));
        match (index, item.get("$patch").and_then(Value::as_str)) {
            (Some(index), Some("delete")) => {
                target.remove(index);
            }
            (None, Some("delete")) => {}
            (Some(index), _) => merge_value(&mut target[index], item, &trail.item())?,
            (None, _) => target.push(item.clone()),
        }
    }
    Ok(())
}

fn delete_scalars(target: Option<&mut Value>, values: &Value) {
    if let (Some(Value::Array(items)), Value::Array(values)) = (target, values) {
        items.retain(|item| !values.contains(item));
    }
}

fn plain(entries: &Map<String, Value>) -> Map<String, Value> {
    entries
        .iter()
        .filter(|(name, _)| !name.starts_with('$'))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_with_keys_are_merged_and_elements_deleted() {
        let kind = KindId::named("services").unwrap();
        let mut service =
            json!({"spec": {"ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}});
        let patch = json!({"spec": {"ports": [
            {"port": 80, "name": "web"}, {"port": 53, "protocol": "UDP", "$patch": "delete"}, {"port": 443},
        ]}});
        merge(kind, &mut service, &patch).unwrap();
        assert_eq!(
            service,
            json!({"spec": {"ports": [{"port": 80, "protocol": "TCP", "name": "web"}, {"port": 443}]}})
        );
    }

    #[test]
    fn custom_resources_are_referred_to_merge_patch() {
        let kind = KindId::named("gateways.submariner.io").unwrap();
        assert_eq!(merge(kind, &mut json!({}), &json!({})).unwrap_err().code(), 415);
    }
}
