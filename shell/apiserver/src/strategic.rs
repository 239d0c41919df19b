//! Strategic merge patch, which `kubectl` sends for built-in kinds.

use std::collections::{BTreeMap, BTreeSet};

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
        let retained: BTreeSet<_> = retained.iter().filter_map(Value::as_str).collect();
        fields.retain(|field, _| retained.contains(field.as_str()));
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
                    let known: BTreeSet<_> = before.iter().map(Value::to_string).collect();
                    let added = items.iter().filter(|item| !known.contains(&item.to_string())).cloned();
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
    let mut merged: Vec<Option<Value>> = std::mem::take(target).into_iter().map(Some).collect();
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, present) in merged.iter().flatten().enumerate() {
        places.entry(name_of(present, Some(key))).or_default().push(place);
    }
    for item in items {
        if item.get(key).is_none() {
            let message = format!("map: {item} does not contain declared merge key: {key}");
            return Err(Refusal::BadRequest(message));
        }
        let name = name_of(item, Some(key));
        if item.get("$patch").and_then(Value::as_str) == Some("delete") {
            places.remove(&name).into_iter().flatten().for_each(|place| merged[place] = None);
            continue;
        }
        let known = places.entry(name).or_default();
        if let Some(place) = known.first() {
            let present = merged[*place].get_or_insert_default();
            merge_value(present, item, trail.item())?;
        } else {
            let mut added = Value::Null;
            merge_value(&mut added, item, trail.item())?;
            known.push(merged.len());
            merged.push(Some(added));
        }
    }
    target.extend(merged.into_iter().flatten());
    Ok(())
}

/// What stands for an element: its key as JSON, or all of it; nothing where it lacks the key.
fn name_of(item: &Value, key: Option<&str>) -> String {
    key.map_or(Some(item), |key| item.get(key)).map(Value::to_string).unwrap_or_default()
}

/// Where each name stands first.
fn ranks(list: &[Value], key: Option<&str>) -> BTreeMap<String, usize> {
    let mut ranks = BTreeMap::new();
    for (rank, item) in list.iter().enumerate() {
        ranks.entry(name_of(item, key)).or_insert(rank);
    }
    ranks
}

/// COMPAT: what a patch names comes in its own order and before what it does not name, unless that stood before it.
fn arrange(target: &mut Vec<Value>, before: &[Value], items: &[Value], key: Option<&str>) {
    let (before, wanted) = (ranks(before, key), ranks(items, key));
    let all = std::mem::take(target).into_iter().map(|item| (name_of(&item, key), item));
    let (mut named, others): (Vec<_>, Vec<_>) = all.partition(|(name, _)| wanted.contains_key(name));
    named.sort_by_key(|(name, _)| wanted.get(name));
    let mut others = others.into_iter().peekable();
    for (name, item) in named {
        let stood = before.get(&name);
        while let Some((_, other)) = others.next_if(|(other, _)| stood.is_some() && before.get(other) < stood)
        {
            target.push(other);
        }
        target.push(item);
    }
    target.extend(others.map(|(_, item)| item));
}

/// Puts a list into the order that a patch names; what it does not name keeps its place after what stood before it.
fn order(target: &mut [Value], wanted: &[Value], key: Option<&str>) {
    let ranks = ranks(wanted, key);
    let mut last = 0;
    let mut ranked: Vec<_> = target
        .iter()
        .map(|item| {
            last = ranks.get(&name_of(item, key)).map_or(last, |rank| rank + 1);
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
        let values: BTreeSet<_> = values.iter().map(Value::to_string).collect();
        items.retain(|item| !values.contains(&item.to_string()));
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
