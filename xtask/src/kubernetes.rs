//! Tier T3: the programs of a real control plane, built once per version, and the tests that need them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::ci::Ran;
use crate::tree::Tree;
use crate::{machine, process, setup, suite};

/// The Go module that pins what is built.
const MODULE: &str = "test/kubernetes";
/// Programs and the packages that they are built from.
const PROGRAMS: &[(&str, &str)] = &[
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
];
/// Where the folder with the programs is told.
const ASSETS: &str = "KUBEBUILDER_ASSETS";
/// The claims, as a nextest filter expression.
const CLAIMS: &str = "package(subm-conformance)";
/// Tests of controllers, which run on the embedded API otherwise.
const CONTROLLERS: &str = "(kind(test) & package(/^(subm-kube|submariner-(gateway|route-agent))$/)) \
     + (package(subm-e2e) & test(/^bad_input::/))";

/// Builds the programs where they are not there, and runs the claims and the tests of controllers; says so where they
/// cannot be had.
pub(crate) fn run(tree: &Tree) -> Result<Ran> {
    with_programs(tree, |programs| {
        let (claims, controllers) = (claims(tree, programs), controllers(tree, programs));
        claims.and(controllers)
    })
}

/// The same for the claims alone, as CI does.
pub(crate) fn run_claims(tree: &Tree) -> Result<Ran> {
    with_programs(tree, |programs| claims(tree, programs))
}

fn with_programs(tree: &Tree, tests: impl FnOnce(&Path) -> Result<()>) -> Result<Ran> {
    let given = env::var_os(ASSETS).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = match given {
        Some(folder) => folder,
        None if !process::is_in_path("go") => {
            let lack =
                format!("no program `go` in PATH to build a control plane with, and {ASSETS} is not set");
            println!("skipped: the tests on a real control plane: {lack}");
            return Ok(Ran::Skipped(lack));
        }
        None => build(tree)?,
    };
    setup::run(tree, setup::Purpose::Test)?;
    tests(&folder)?;
    Ok(Ran::Passed)
}

fn claims(tree: &Tree, programs: &Path) -> Result<()> {
    let filter = match machine::recorded_kubectl(tree)? {
        None => CLAIMS.to_owned(),
        Some(reason) => {
            println!("skipped: what kubectl prints: {reason}");
            format!("({CLAIMS}) - ({})", machine::BESIDE_RECORD)
        }
    };
    let arguments = ["nextest", "run", "--cargo-profile", "ci", "--workspace", "-E", &filter];
    process::run(process::cargo(tree, &arguments)?.env(ASSETS, programs))
}

/// The tests of controllers once more, on API servers that are started for all of them.
fn controllers(tree: &Tree, programs: &Path) -> Result<()> {
    let missing = machine::missing(tree)?;
    for group in missing.iter().filter(|group| group.name == "namespaces" || group.name == "kernel") {
        println!("skipped: tests of daemons on a real control plane: {}", group.reason);
    }
    let build =
        ["build", "--profile", "ci", "-p", "submariner-bin", "-p", "subctl-bin", "-p", "subm-servers"];
    process::run(&mut process::cargo(tree, &build)?)?;
    let filter = suite::expression(Some(CONTROLLERS), &missing);
    let servers = ["run", "--quiet", "--profile", "ci", "-p", "subm-servers", "--"];
    let tests =
        ["cargo", "nextest", "run", "--profile", "kubernetes", "--cargo-profile", "ci", "--workspace"];
    let words = [&servers[..], machine::ground(), &tests[..], &["-E", &filter]].concat();
    process::run(process::cargo(tree, &words)?.env(ASSETS, programs))
}

/// The folder of this version's programs.
fn build(tree: &Tree) -> Result<PathBuf> {
    let version = version(&tree.text(&format!("{MODULE}/go.mod"))?)?;
    let cache = process::cache()?.join("kubernetes");
    let folder = cache.join(&version);
    if PROGRAMS.iter().all(|(name, _)| folder.join(name).is_file()) {
        return Ok(folder);
    }
    println!("building the control plane of Kubernetes {version}: about ten minutes, once");
    let scratch = cache.join(format!("{version}.{}", std::process::id()));
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let built = PROGRAMS.iter().try_for_each(|(name, package)| {
        let mut go = process::command(tree, "go")?;
        let flags = linker_flags(&version)?;
        go.args(["build", "-C", MODULE, "-mod=readonly", "-trimpath", "-buildvcs=false"])
            .args(["-ldflags", &flags, "-o"])
            .arg(scratch.join(name))
            .arg(package);
        process::run(&mut go)
    });
    let kept = built.and_then(|()| process::keep(&scratch, &folder));
    if kept.is_err() {
        fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove {}", scratch.display()))?;
    }
    kept.map(|()| folder)
}

fn version(module: &str) -> Result<String> {
    let required = module.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "));
    let version = required.with_context(|| format!("{MODULE}/go.mod requires no k8s.io/kubernetes"))?.trim();
    ensure!(version.starts_with('v'), "{MODULE}/go.mod requires k8s.io/kubernetes {version:?}");
    Ok(version.to_owned())
}

/// Without symbols, and with the version that the API server tells.
fn linker_flags(version: &str) -> Result<String> {
    const OF: &str = "k8s.io/component-base/version";
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next(), parts.next());
    let (major, minor) = major.zip(minor).with_context(|| format!("{version} has no minor version"))?;
    Ok(format!("-s -w -X {OF}.gitVersion={version} -X {OF}.gitMajor={major} -X {OF}.gitMinor={minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_module() {
        let module = "require (\n\tgo.etcd.io/etcd/server/v3 v3.5.21\n\tk8s.io/kubernetes v1.33.13\n)\n";
        assert_eq!(version(module).unwrap(), "v1.33.13");
        assert!(version("module x\n").is_err());
        assert!(linker_flags("v1.33.13").unwrap().contains("gitMinor=33"));
    }
}
