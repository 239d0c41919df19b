//! The committed definitions of our custom resources.

use std::fs;

use anyhow::{Context, Result};

use crate::tree::Tree;

const FOLDER: &str = "manifests/crds";

/// Writes every definition, and removes those whose kind is gone.
pub(crate) fn write(tree: &Tree) -> Result<()> {
    let folder = tree.root.join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {FOLDER}"))?;
    let manifests = subm_api::crd_manifests();
    for name in leftovers(tree, &manifests) {
        fs::remove_file(tree.root.join(&name)).with_context(|| format!("cannot remove {name}"))?;
    }
    for (name, text) in &manifests {
        fs::write(folder.join(name), text).with_context(|| format!("cannot write {FOLDER}/{name}"))?;
    }
    println!("crds: {} definitions in {FOLDER}", manifests.len());
    Ok(())
}

/// What `write` would change.
pub(crate) fn stale(tree: &Tree) -> Result<Vec<String>> {
    let manifests = subm_api::crd_manifests();
    let mut findings = Vec::new();
    for (name, text) in &manifests {
        let path = format!("{FOLDER}/{name}");
        if !tree.root.join(&path).exists() || tree.text(&path)? != *text {
            findings.push(format!("{FOLDER}/{name} differs from the types: make crds"));
        }
    }
    let gone = leftovers(tree, &manifests);
    findings.extend(
        gone.iter().map(|name| format!("{name}: no kind of core/api has this definition: make crds")),
    );
    Ok(findings)
}

fn leftovers(tree: &Tree, manifests: &[(String, String)]) -> Vec<String> {
    let committed = tree.files.iter().filter(|file| file.starts_with(FOLDER));
    committed
        .filter(|file| !manifests.iter().any(|(name, _)| file.ends_with(name.as_str())))
        .cloned()
        .collect()
}
