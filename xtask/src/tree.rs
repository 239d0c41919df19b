//! The working tree: its root and the files that git knows or would add.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The files of the project, by path relative to the root.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) files: Vec<String>,
}

impl Tree {
    pub(crate) fn open() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().context("xtask lies in the root of the workspace")?.to_owned();
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&root)
            .output()
            .context("git is needed: install the package git")?;
        ensure!(output.status.success(), "git ls-files failed in {}: is this a clone?", root.display());
        let listed = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
        let mut files: Vec<String> = listed
            .split('\0')
            .filter(|name| !name.is_empty() && root.join(name).is_file())
            .map(str::to_owned)
            .collect();
        files.sort();
        Ok(Self { root, files })
    }

    pub(crate) fn with_extension<'t>(&'t self, extension: &'t str) -> impl Iterator<Item = &'t str> {
        self.files
            .iter()
            .map(String::as_str)
            .filter(move |name| Path::new(name).extension().is_some_and(|found| found == extension))
    }

    /// The text of a file; binary files are empty text.
    pub(crate) fn text(&self, name: &str) -> Result<String> {
        let bytes = fs::read(self.root.join(name)).with_context(|| format!("cannot read {name}"))?;
        Ok(String::from_utf8(bytes).unwrap_or_default())
    }
}
