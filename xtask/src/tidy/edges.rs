//! The dependency graph against the edges that ARCHITECTURE.md allows.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process;
use crate::tree::Tree;

/// What a folder may depend on. `x/*` stands for each folder under x.
const EDGES: &[(&str, &[&str])] = &[
    ("core/types", &[]),
    ("core/api", &["core/types"]),
    ("core/plan", &["core/types"]),
    ("core/probe", &["core/types"]),
    ("core/noise", &["core/types"]),
    ("core/peers", &["core/types"]),
    ("core/cable", &["core/types", "core/plan", "core/peers"]),
    ("core/route", &["core/types", "core/plan", "core/peers"]),
    ("core/sync", &["core/types", "core/api"]),
    ("shell/kernel", &["core/types", "core/plan", "shell/wireguard"]),
    ("shell/ipsec", &["core/types", "core/plan", "shell/kernel"]),
    ("shell/kube", &["core/types", "core/api", "core/probe", "core/sync"]),
    ("shell/runtime", &["core/types", "core/plan", "core/probe"]),
    ("shell/apiserver", &["core/types", "core/api"]),
    ("shell/lab", &["core/types", "core/plan", "shell/kernel"]),
    ("shell/kubelet", &["shell/apiserver", "shell/kube", "shell/lab"]),
    ("shell/workloads", &["shell/kube"]),
    ("shell/wireguard", &["core/types", "core/noise"]),
    ("app/*", &["core/*", "shell/*"]),
    ("bin/*", &["app/*"]),
    ("test/*", &["core/*", "shell/*", "app/*", "test/servers"]),
    ("test/bench", &["test/e2e"]),
    ("xtask", &["core/api"]),
];

/// What tests of a folder may use beside that.
const TEST_EDGES: &[(&str, &[&str])] = &[
    ("core/*", &["core/*"]),
    ("shell/*", &["core/*", "shell/*"]),
    ("shell/kube", &["test/servers"]),
    ("app/*", &["core/*", "shell/*", "test/servers"]),
    ("bin/*", &["core/*", "shell/*", "app/*"]),
    ("test/*", &["core/*", "shell/*", "app/*"]),
];

/// All that core/ may use from outside: data, its text forms, errors.
const CORE_USES: &[&str] = &[
    "base64",
    "blake2",
    "chacha20",
    "ipnet",
    "jiff",
    "k8s-openapi",
    "kube-core",
    "prost",
    "ring",
    "schemars",
    "serde",
    "serde-saphyr",
    "serde_json",
    "subtle",
    "thiserror",
    "x25519-dalek",
    "zeroize",
];

/// Who may name a crate from outside. Crates that are not listed are free for shell/, app/, bin/, test/ and xtask.
const OWNERS: &[(&str, &[&str])] = &[
    ("anyhow", &["app/*", "bin/*", "test/*", "xtask"]),
    ("axum", &["shell/apiserver", "shell/runtime"]),
    ("clap", &["app/*", "bin/*", "test/*", "xtask"]),
    ("hyper", &["shell/apiserver", "test/conformance"]),
    ("hyper-rustls", &["shell/kube", "shell/runtime"]),
    ("hyper-util", &["shell/apiserver", "shell/kube", "shell/runtime", "test/conformance"]),
    ("kube", &["shell/kube", "app/*", "test/*"]),
    (
        "nix",
        &[
            "shell/kernel",
            "shell/kubelet",
            "shell/lab",
            "shell/runtime",
            "shell/wireguard",
            "app/playground",
            "test/*",
        ],
    ),
    ("nlink", &["shell/kernel", "shell/lab"]),
    ("redb", &["shell/apiserver"]),
    ("rcgen", &["shell/apiserver", "test/servers"]),
    ("tokio", &["shell/*", "app/*", "test/*", "xtask"]),
    ("tracing-subscriber", &["shell/runtime"]),
];

/// One `[dependencies]` or `[dev-dependencies]` line.
struct Edge {
    from: String,
    /// A folder of the workspace, or the name of a crate from outside.
    to: Target,
    of_tests: bool,
}

enum Target {
    Folder(String),
    Crate(String),
}

pub(super) fn crates(tree: &Tree) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for edge in edges(tree)? {
        let Target::Folder(to) = &edge.to else { continue };
        let by_test = edge.of_tests && allows(TEST_EDGES, &edge.from, to);
        if !by_test && !allows(EDGES, &edge.from, to) {
            findings.push(format!(
                "{}/Cargo.toml: {} may not depend on {to}; move the code, or change the graph in ARCHITECTURE.md and xtask/src/tidy/edges.rs",
                edge.from, edge.from
            ));
        }
    }
    Ok(findings)
}

pub(super) fn third_party(tree: &Tree) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for edge in edges(tree)? {
        let Target::Crate(name) = &edge.to else { continue };
        if edge.of_tests {
            continue;
        }
        let owners = OWNERS.iter().find(|(owned, _)| owned == name).map(|(_, owners)| *owners);
        let allowed = if edge.from.starts_with("core/") {
            CORE_USES.contains(&name.as_str())
        } else {
            owners.is_none_or(|owners| owners.iter().any(|pattern| matches(pattern, &edge.from)))
        };
        if !allowed {
            findings.push(format!(
                "{}/Cargo.toml: {name} is not for {}; see xtask/src/tidy/edges.rs for who owns it",
                edge.from, edge.from
            ));
        }
    }
    Ok(findings)
}

fn allows(edges: &[(&str, &[&str])], from: &str, to: &str) -> bool {
    edges
        .iter()
        .any(|(pattern, targets)| matches(pattern, from) && targets.iter().any(|target| matches(target, to)))
}

fn matches(pattern: &str, folder: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(parent) => folder.starts_with(parent),
        None => pattern == folder,
    }
}

fn edges(tree: &Tree) -> Result<Vec<Edge>> {
    let output = process::cargo(tree, &["metadata", "--no-deps", "--format-version=1", "--offline"])?
        .output()
        .context("cannot start cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    let folders = folders(tree, packages)?;
    let mut edges = Vec::new();
    for package in packages {
        let from = &folders[text(package, "name")?];
        for dependency in package["dependencies"].as_array().context("a package lists dependencies")? {
            let name = text(dependency, "name")?;
            let to = match folders.get(name) {
                Some(folder) => Target::Folder(folder.clone()),
                None => Target::Crate(name.to_owned()),
            };
            edges.push(Edge { from: from.clone(), to, of_tests: dependency["kind"] == "dev" });
        }
    }
    Ok(edges)
}

/// The folder of each package of the workspace, relative to the root.
fn folders<'m>(tree: &Tree, packages: &'m [Value]) -> Result<BTreeMap<&'m str, String>> {
    let mut folders = BTreeMap::new();
    for package in packages {
        let manifest = Path::new(text(package, "manifest_path")?);
        let folder = manifest.parent().and_then(|folder| folder.strip_prefix(&tree.root).ok());
        let folder = folder.with_context(|| format!("{} lies in the tree", manifest.display()))?;
        folders.insert(text(package, "name")?, folder.display().to_string());
    }
    Ok(folders)
}

fn text<'v>(value: &'v Value, key: &str) -> Result<&'v str> {
    value[key].as_str().with_context(|| format!("cargo metadata has no {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_may_not_depend_on_shell() {
        assert!(!allows(EDGES, "core/plan", "shell/kernel"));
        assert!(!allows(TEST_EDGES, "core/plan", "shell/kernel"));
    }

    #[test]
    fn programs_may_not_depend_on_each_other() {
        assert!(!allows(EDGES, "app/gateway", "app/route-agent"));
        assert!(allows(EDGES, "bin/submariner", "app/route-agent"));
    }

    #[test]
    fn only_tests_may_use_what_is_under_test() {
        assert!(allows(TEST_EDGES, "app/gateway", "test/servers"));
        assert!(!allows(EDGES, "app/gateway", "test/servers"));
        assert!(!allows(TEST_EDGES, "shell/apiserver", "test/servers"));
    }

    #[test]
    fn cable_and_route_stay_apart() {
        assert!(!allows(EDGES, "core/cable", "core/route"));
        assert!(!allows(EDGES, "core/route", "core/cable"));
    }
}
