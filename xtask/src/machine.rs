//! What this machine lacks, and the tests that need it.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process;

/// Tests that need something which not every machine has.
pub(crate) struct Group {
    name: &'static str,
    /// A nextest filter expression.
    filter: &'static str,
    /// Why they cannot run here, or nothing.
    lack: fn() -> Option<String>,
}

/// A group that cannot run here.
pub(crate) struct Missing {
    pub(crate) name: &'static str,
    pub(crate) filter: &'static str,
    pub(crate) reason: String,
}

/// Tiers that work inside namespaces of their own.
const NAMESPACES: &str = "package(subm-e2e) + (package(/^subm-(kernel|lab)$/) & kind(test))";

/// Every group. A test joins one by its name.
pub(crate) const GROUPS: &[Group] = &[
    Group { name: "namespaces", filter: NAMESPACES, lack: namespaces },
    Group { name: "golden", filter: "test(/golden/)", lack: golden },
    Group { name: "kubectl", filter: "binary(kubectl)", lack: || program("kubectl") },
    Group { name: "nft", filter: "test(/nft_program/)", lack: || program("nft") },
];

/// Probes the machine for every group.
pub(crate) fn missing() -> Vec<Missing> {
    let lacks = GROUPS.iter().filter_map(|group| {
        (group.lack)().map(|reason| Missing { name: group.name, filter: group.filter, reason })
    });
    lacks.collect()
}

fn namespaces() -> Option<String> {
    // `unshare` is part of util-linux, which every Debian has.
    let made = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "true"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    (!made && !process::is_root())
        .then(|| "ordinary users may not make namespaces here: run this as root".to_owned())
}

fn program(name: &str) -> Option<String> {
    (!process::is_in_path(name)).then(|| format!("no program `{name}` in PATH"))
}

fn golden() -> Option<String> {
    let folder = env::var_os("GOLDEN_DIR").filter(|folder| Path::new(folder).is_dir());
    folder.is_none().then(|| "GOLDEN_DIR names no folder with data of the existing system".to_owned())
}
