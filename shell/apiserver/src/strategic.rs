//! Strategic merge patch, which `kubectl` sends for built-in kinds.

use serde_json::{Map, Value};

use crate::kinds::KindId;
use crate::refusal::Refusal;
use crate::schema::Trail;

/// Merges a patch into an object.
pub(crate) fn merge(kind: KindId, object: &mut Value, patch: &Value) -> Result<(), Refusal> {
    merge_value(object, patch, Trail::root(kind.schema()))
}

fn merge_value(target: &mut Value, patch: &Value, trail: Trail<'_>) -> Result<(), Refusal> {
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
    let retained = entries.get("$retainKeys").and_then(Value::as_array);
    if let Some(retained) = retained {
        fields.retain(|field, _| retained.iter().any(|key| key == field));
    }
    for (name, value) in entries {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            delete_scalars(fields.get_mut(list), value);
        } else if !name.starts_with('$') {
            merge_field(fields, name, value, trail)?;
        }
    }
    for (name, value) in entries {
        if let Some(name) = name.strip_prefix("$setElementOrder/")
            && let (Some(Value::Array(list)), Value::Array(wanted)) = (fields.get_mut(name), value)
        {
            order(list, wanted, trail.field(name).patch().and_then(|strategy| strategy.key.as_deref()));
        }
    }
    Ok(())
}

fn merge_field(
    fields: &mut Map<String, Value>,
    name: &str,
    value: &Value,
    trail: Trail<'_>,
) -> Result<(), Refusal> {
    let below = trail.field(name);
    match value {
        Value::Null => {
            fields.remove(name);
        }
        Value::Array(items) => {
            let strategy = below.patch().filter(|strategy| strategy.merges);
            let target = fields.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if !target.is_array() {
                *target = Value::Array(Vec::new());
            }
            let Value::Array(target) = target else { return Ok(()) };
            match strategy.map(|strategy| strategy.key.as_deref()) {
                Some(Some(key)) => {
                    let before = target.clone();
                    merge_list(target, items, key, below)?;
                    arrange(target, &before, items, Some(key));
                }
                Some(None) => {
                    let before = target.clone();
                    let added: Vec<_> = items.iter().filter(|item| !target.contains(item)).cloned().collect();
                    target.extend(added);
                    arrange(target, &before, items, None);
                }
                None => {
                    *target = items.iter().filter(|item| item.get("$patch").is_none()).cloned().collect();
                }
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            let target = fields.entry(name).or_insert(Value::Null);
            merge_value(target, value, below)?;
            if target.is_null() {
                fields.remove(name);
            }
        }
    }
    Ok(())
}

fn merge_list(target: &mut Vec<Value>, items: &[Value], key: &str, trail: Trail<'_>) -> Result<(), Refusal> {
    if items.iter().any(|item| item.get("$patch").and_then(Value::as_str) == Some("replace")) {
        *target = items.iter().filter(|item| item.get("$patch").is_none()).cloned().collect();
        return Ok(());
    }
    for item in items {
        let Some(name) = item.get(key) else {
            let message = format!("map: {item} does not contain declared merge key: {key}");
            return Err(Refusal::BadRequest(message));
        };
        let index = target.iter().position(|present| present.get(key) == Some(name));
        match (index, item.get("$patch").and_then(Value::as_str)) {
            (Some(_), Some("delete")) => target.retain(|present| present.get(key) != Some(name)),
            (None, Some("delete")) => {}
            (Some(index), _) => merge_value(&mut target[index], item, trail.item())?,
            (None, _) => {
                let mut added = Value::Null;
                merge_value(&mut added, item, trail.item())?;
                target.push(added);
            }
        }
    }
    Ok(())
}

/// COMPAT: what a patch names comes in its own order and before what it does not name, unless that stood before it.
fn arrange(target: &mut Vec<Value>, before: &[Value], items: &[Value], key: Option<&str>) {
    let name = |item: &Value| key.map_or(Some(item.clone()), |key| item.get(key).cloned());
    let place = |list: &[Value], item: &Value| list.iter().position(|known| name(known) == name(item));
    let (mut named, others): (Vec<_>, Vec<_>) =
        std::mem::take(target).into_iter().partition(|item| place(items, item).is_some());
    named.sort_by_key(|item| place(items, item));
    let mut others = others.into_iter().peekable();
    for item in named {
        let stood = place(before, &item);
        while let Some(other) = others.next_if(|other| stood.is_some() && place(before, other) < stood) {
            target.push(other);
        }
        target.push(item);
    }
    target.extend(others);
}

/// Puts a list into the order that a patch names; what it does not name keeps its place after what stood before it.
fn order(target: &mut [Value], wanted: &[Value], key: Option<&str>) {
    let rank = |item: &Value| {
        let name = key.map_or(Some(item), |key| item.get(key));
        wanted.iter().position(|wanted| {
            let wanted = key.map_or(Some(wanted), |key| wanted.get(key));
            wanted == name
        })
    };
    let mut last = 0;
    let mut ranked: Vec<_> = target
        .iter()
        .map(|item| {
            last = rank(item).map_or(last, |rank| rank + 1);
            (last, item.clone())
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    for (place, (_, item)) in target.iter_mut().zip(ranked) {
        *place = item;
    }
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
        merge(kind, &mut service, &json!({"spec": {"ports": [{"port": 22}]}})).unwrap();
        let ports: Vec<_> =
            service["spec"]["ports"].as_array().unwrap().iter().map(|port| &port["port"]).collect();
        assert_eq!(ports, [22, 80, 443], "what is new comes first");
    }
}
