//! Clippy reads one clippy.toml only, so the stricter one repeats the other.

use anyhow::Result;

use crate::tree::Tree;

pub(super) fn repeated(tree: &Tree) -> Result<Vec<String>> {
    let limits = tree.text("clippy.toml")?;
    if tree.text("core/clippy.toml")?.starts_with(&limits) {
        return Ok(Vec::new());
    }
    Ok(vec!["core/clippy.toml: its first lines differ from clippy.toml; copy them".to_owned()])
}
