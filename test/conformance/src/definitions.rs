//! Our custom resources, installed through the API.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::ground::Ground;

const PATH: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Every definition in `manifests/crds`.
pub(crate) fn ours() -> Result<Vec<Value>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/crds");
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder).context("manifests/crds")? {
        let path = entry?.path();
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        all.push(serde_saphyr::from_str(&text).with_context(|| path.display().to_string())?);
    }
    ensure!(!all.is_empty(), "manifests/crds holds no definition");
    Ok(all)
}

/// Installs a definition, if it is not there, and waits until its resource is served.
pub(crate) async fn install(ground: &Ground, definition: &Value) -> Result<()> {
    let answer = ground.post(PATH, definition).await?;
    ensure!(
        matches!(answer.code, 201 | 409),
        "a definition is answered {}: {}",
        answer.code,
        answer.body["message"]
    );
    let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = (text("/spec/group"), text("/spec/versions/0/name"));
    let path = format!("/apis/{group}/{version}/{}", text("/spec/names/plural"));
    ground.until("the resource is served", || async { ground.get(&path).await?.wants(200) }).await.map(drop)
}
