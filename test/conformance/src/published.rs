//! The schemas that Kubernetes publishes of the kinds that the embedded API has built in.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use flate2::{Compression, GzBuilder};
use serde_json::{Map, Value};
use subm_apiserver::KindId;

use crate::record::document;
use subm_servers::Api;

const FILE: &str = "shell/apiserver/src/kinds/published.json.gz";
const PLACE: &str = "#/components/schemas/";
/// What the documents of every group refer to.
const OF_ALL: [&str; 2] =
    ["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"];

/// The definitions of the embedded API's kinds, and of what they refer to, as a server publishes them.
pub async fn of(api: &Api) -> Result<Map<String, Value>> {
    let mut documents: BTreeMap<String, Value> = BTreeMap::new();
    let mut found = Map::new();
    for kind in KindId::all() {
        let root =
            if kind.group.is_empty() { "api/v1".to_owned() } else { format!("apis/{}", kind.api_version()) };
        if !documents.contains_key(&root) {
            let request = http::Request::get(format!("/openapi/v3/{root}")).body(Vec::new())?;
            let document: Value = api.client.request(request).await.with_context(|| root.clone())?;
            documents.insert(root.clone(), document);
        }
        let schemas = &documents[&root]["components"]["schemas"];
        let whole = schemas.as_object().into_iter().flatten();
        let whole = whole.filter(|(_, schema)| is_of(schema, kind)).map(|(name, _)| name.as_str());
        for name in whole.chain(OF_ALL) {
            add(name, schemas, &mut found);
        }
    }
    Ok(found)
}

fn is_of(schema: &Value, kind: KindId) -> bool {
    let kinds = schema["x-kubernetes-group-version-kind"].as_array().map(Vec::as_slice);
    let is = |known: &Value| {
        known["group"] == kind.group && known["version"] == kind.version && known["kind"] == kind.name
    };
    matches!(kinds, Some([only]) if is(only))
}

fn add(name: &str, schemas: &Value, found: &mut Map<String, Value>) {
    let Some(schema) = schemas.get(name).filter(|_| !found.contains_key(name)) else { return };
    found.insert(name.to_owned(), schema.clone());
    for reference in references(schema) {
        add(reference, schemas, found);
    }
}

fn references(schema: &Value) -> Vec<&str> {
    match schema {
        Value::Object(entries) => {
            let own = entries.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix(PLACE));
            own.into_iter().chain(entries.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// Compares definitions with those that the embedded API has; where `UPDATE` is set, writes them.
pub fn compare(found: &Map<String, Value>) -> Result<()> {
    if std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty()) {
        let mut packed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        packed.write_all(serde_json::to_string(found)?.as_bytes())?;
        return std::fs::write(document(FILE), packed.finish()?)
            .with_context(|| format!("cannot write {FILE}"));
    }
    let kept: Map<String, Value> = serde_json::from_str(&subm_apiserver::published())?;
    let names = kept.keys().chain(found.keys());
    let other: Vec<_> = names.filter(|name| kept.get(*name) != found.get(*name)).collect();
    ensure!(
        other.is_empty(),
        "{FILE} is not what Kubernetes publishes; set UPDATE=1 to write it. Other: {other:?}"
    );
    Ok(())
}
