//! From any JSON to a kind.

use k8s_openapi::Resource;
use serde::de::DeserializeOwned;
use subm_types::Problem;

/// Reads one object, or tells what keeps it from being read.
///
/// A typed list or watch fails as a whole when one of its objects has a field of the wrong type. Read such objects
/// one by one instead.
pub fn read<K: Resource + DeserializeOwned>(object: serde_json::Value) -> Result<K, Problem> {
    let name =
        object.pointer("/metadata/name").and_then(serde_json::Value::as_str).unwrap_or("without a name");
    let name: String = name.chars().take(253).collect();
    serde_json::from_value(object).map_err(|cause| Problem {
        reason: "MalformedObject",
        object: format!("{} {name}", K::KIND),
        field: String::new(),
        what: cause.to_string(),
        remedy: "write the object again as its kind defines it, or delete it".to_owned(),
    })
}
