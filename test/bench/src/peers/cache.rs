//! Programs of others below `$XDG_CACHE_HOME/submariner`, each in a folder named by its version.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The program of a version; made where it is not there yet. `make` returns where in its folder the program lies.
pub(super) fn cached(
    name: &str,
    version: &str,
    program: &str,
    make: impl FnOnce(&Path) -> Result<PathBuf>,
) -> Result<PathBuf> {
    let folder = root()?.join("peers").join(format!("{name}-{version}"));
    let kept = folder.join(program);
    if kept.is_file() {
        return Ok(kept);
    }
    let scratch = folder.with_extension(format!("{}", std::process::id()));
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let outcome = make(&scratch).and_then(|whole| {
        fs::create_dir_all(&folder)?;
        // What stands under its name is whole, also where this is interrupted.
        fs::rename(&whole, &kept).with_context(|| format!("cannot keep {}", kept.display()))
    });
    fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove {}", scratch.display()))?;
    outcome.map(|()| kept)
}

/// Runs a program that fetches or builds, in a folder; what it says is told where it fails.
pub(super) fn build(folder: &Path, program: &str, arrange: impl FnOnce(&mut Command)) -> Result<()> {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null());
    arrange(&mut command);
    let output = command.output().with_context(|| format!("cannot start {program}: install it"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    ensure!(output.status.success(), "{program} ended with {}: {last}", output.status);
    Ok(())
}

/// A program that must lie there now.
pub(super) fn finished(program: &Path) -> Result<PathBuf> {
    ensure!(program.is_file(), "{} was not made", program.display());
    Ok(program.to_owned())
}

fn root() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(base) => PathBuf::from(base),
        None => {
            Path::new(&env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache")
        }
    };
    Ok(base.join("submariner"))
}
