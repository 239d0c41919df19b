//! The programs under test.

use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// A program that was built with the same profile as the caller: it lies beside it, or one folder above.
pub fn program(name: &str) -> Result<PathBuf> {
    let this = env::current_exe().context("where this program lies")?;
    let found = this.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "{name} is not built beside {}: `cargo build --profile ci --package submariner-bin --package subctl-bin`",
            this.display()
        )
    })
}
