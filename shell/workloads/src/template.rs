//! Pods from the template of their controller.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::object::text;

/// COMPAT: letters and digits that make no words, as Kubernetes takes them for names.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A short word for a template: equal templates have equal words.
pub(crate) fn hash(template: &Value) -> String {
    let digest = Sha256::digest(template.to_string());
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    digest.iter().take(10).map(letter).collect()
}

/// A Pod of a template, with one more label.
pub(crate) fn pod(owner: &Value, references: &Value, label: Option<(&str, &str)>) -> Value {
    let template = &owner["spec"]["template"];
    let mut labels = template["metadata"]["labels"].clone();
    if let Some((name, value)) = label {
        labels[name] = json!(value);
    }
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": text(owner, "/metadata/namespace"),
            "generateName": format!("{}-", text(owner, "/metadata/name")),
            "labels": labels,
            "ownerReferences": references,
        },
        "spec": template["spec"],
    });
    for field in ["annotations", "finalizers"] {
        if !template["metadata"][field].is_null() {
            pod["metadata"][field] = template["metadata"][field].clone();
        }
    }
    pod
}
