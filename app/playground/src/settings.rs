//! What the processes of one playground hand to each other.

use std::path::PathBuf;

use anyhow::{Context, bail};
use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};

use crate::topology::Spec;

/// How a playground is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// What it is called.
    pub(crate) name: String,
    pub(crate) spec: Spec,
    pub(crate) cable_driver: String,
    /// The program that has the daemons.
    pub(crate) submariner: PathBuf,
    /// Whether it ends with the process that started it.
    pub(crate) lifetime: Lifetime,
}

/// How long a playground lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lifetime {
    /// Until it is taken down.
    Detached,
    /// As long as the process that started it.
    OfParent,
}

/// The name of the program with the daemons.
pub(crate) const PROGRAM: &str = "submariner";

/// Finds the program with the daemons: the one that was named, else the one that lies beside this one.
pub(crate) fn find_submariner(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let path = match named {
        Some(path) => path,
        None => std::env::current_exe().context("where this program lies")?.with_file_name(PROGRAM),
    };
    if !path.is_file() {
        bail!(
            "{} is missing: build it (`cargo build --profile ci --bin submariner`) or name it with --submariner",
            path.display()
        );
    }
    access(&path, AccessFlags::X_OK)
        .with_context(|| format!("{} cannot be run: make it executable (`chmod +x`)", path.display()))?;
    let path = path.canonicalize().with_context(|| format!("the place of {}", path.display()))?;
    if path.starts_with("/run") {
        bail!(
            "{} cannot be run in the playground, which has a /run of its own: copy it elsewhere",
            path.display()
        );
    }
    Ok(path)
}
