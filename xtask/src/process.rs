//! Child processes: run one, tell what failed.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::tree::Tree;

/// Starts of the names of variables that cargo sets for the program that it runs.
const OF_THIS_PROGRAM: &[&str] = &["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_MANIFEST_", "CARGO_PKG_"];

/// A command in the root of the tree that finds the tools which `setup` fetched.
pub(crate) fn command(tree: &Tree, program: &str) -> Result<Command> {
    let mut command = Command::new(program);
    sheltered(tree, &mut command)?;
    Ok(command)
}

/// Sets folder and environment of a command.
pub(crate) fn sheltered<'c>(tree: &Tree, command: &'c mut Command) -> Result<&'c mut Command> {
    let mut path: Vec<PathBuf> = fs::read_dir(tools()?)
        .map(|tools| tools.flatten().map(|tool| tool.path().join("bin")).collect())
        .unwrap_or_default();
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let joined: OsString = env::join_paths(path).context("PATH holds a name that cannot be joined")?;
    command.current_dir(&tree.root).env("PATH", joined);
    // What `cargo run` tells this program about itself would make build scripts that look at it (ring's) run again,
    // and rebuild everything above them.
    let told = env::vars_os().filter_map(|(key, _)| key.into_string().ok());
    for key in told.filter(|key| OF_THIS_PROGRAM.iter().any(|start| key.starts_with(start))) {
        command.env_remove(key);
    }
    Ok(command)
}

/// `cargo …` in the root of the tree.
pub(crate) fn cargo(tree: &Tree, arguments: &[&str]) -> Result<Command> {
    let mut command = command(tree, "cargo")?;
    command.args(arguments);
    Ok(command)
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command with its error output both shown and read; true where it ended well.
pub(crate) fn tee(command: &mut Command, mut line: impl FnMut(&str)) -> Result<bool> {
    let mut child =
        command.stderr(Stdio::piped()).spawn().with_context(|| format!("cannot start {}", shown(command)))?;
    let stderr = child.stderr.take().context("the child has an error output")?;
    for text in BufReader::new(stderr).lines() {
        let text = text.context("the error output of a child is not UTF-8")?;
        println!("{text}");
        line(&text);
    }
    Ok(child.wait().context("cannot wait for a child")?.success())
}

/// True where a program answers `--version`, `-V` or the like with success.
pub(crate) fn answers(tree: &Tree, program: &str, arguments: &[&str]) -> bool {
    command(tree, program).is_ok_and(|mut command| {
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

/// True where a program lies in PATH.
pub(crate) fn is_in_path(program: &str) -> bool {
    find(program).is_some()
}

/// The file of a program. Ordinary users have no sbin in PATH; tests look there as well.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Where tools that `setup` fetched are kept between runs, each in a folder of its own.
pub(crate) fn tools() -> Result<PathBuf> {
    Ok(cache()?.join("tools"))
}

/// What is kept between runs.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(base) => PathBuf::from(base),
        None => {
            Path::new(&env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache")
        }
    };
    Ok(base.join("submariner"))
}

/// Gives a folder that is whole its name, so that what stands under it is whole also where this is interrupted.
pub(crate) fn keep(scratch: &Path, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::rename(scratch, folder).with_context(|| format!("cannot keep {}", folder.display()))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

pub(crate) fn is_root() -> bool {
    // The owner of the process's own entry in /proc is its effective user.
    fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}
