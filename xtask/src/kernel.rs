//! Tier T2: tests on kernels that this machine does not run, each booted in a virtual machine.
//!
//! The machine's own file system is the guest's, read-only beneath a layer in memory; test binaries are built outside
//! and only run inside. Start at [`KERNELS`] for what is booted and at [`LANES`] for what runs there.

mod boot;
mod debian;
mod guest;
mod image;

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::ci::Ran;
use crate::tree::Tree;
use crate::{process, setup};

/// A kernel of a Debian release.
pub(crate) struct Kernel {
    /// Major and minor version.
    version: &'static str,
    /// The release of Debian that has it.
    suite: &'static str,
}

/// What is booted, one after the other.
const KERNELS: &[Kernel] = &[
    Kernel { version: "6.12", suite: "trixie" },
    Kernel { version: "6.1", suite: "bookworm" },
    Kernel { version: "5.10", suite: "bullseye" },
];

/// Tests that run on other kernels.
struct Lane {
    /// A nextest filter expression.
    tests: &'static str,
    /// The kernels that run them; all where none is named.
    kernels: &'static [&'static str],
}

/// Every lane. A test that is in several runs once.
const LANES: &[Lane] = &[
    // WireGuard that the kernel carries: what the adapter makes of it, and between gateways.
    Lane { tests: "package(subm-kernel) & test(/^kernel_wireguard::/)", kernels: &[] },
    Lane { tests: "package(submariner-gateway) & test(/^kernel_wireguard::/)", kernels: &["6.12"] },
];

/// Programs of other packages that tests start, unpacked for the guest alone.
const GUEST_PACKAGES: &[&str] = &["libreswan", "wireguard-tools"];

/// Programs that a run needs and the packages that have them.
const PROGRAMS: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("cpio", "cpio"),
    ("modprobe", "kmod"),
    ("xz", "xz-utils"),
];

/// What to run: everything, or what these narrow it to.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Choice {
    /// Boot only these kernels (6.12, 6.1, 5.10).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A nextest filter expression in place of what the lanes say.
    #[arg(short = 'E', long)]
    filter: Option<String>,
    /// Build only these packages; the daemons, where tests start them, are then those of the last build.
    #[arg(short, long, value_delimiter = ',')]
    package: Vec<String>,
}

/// Boots every kernel and runs its tests in it.
pub(crate) fn run(tree: &Tree, choice: &Choice) -> Result<Ran> {
    for version in &choice.only {
        ensure!(KERNELS.iter().any(|kernel| kernel.version == version), "no kernel is named {version}");
    }
    if let Some(lack) = lack(tree) {
        println!("skipped: tests on other kernels: {lack}");
        return Ok(Ran::Skipped(lack));
    }
    setup::run(tree, setup::Purpose::Test)?;
    let tests = guest::Tests::build(tree, &choice.package)?;
    let layers: Vec<_> = match GUEST_PACKAGES {
        [] => Vec::new(),
        packages => debian::unpacked(tree, packages)?.into_iter().collect(),
    };
    let wanted = |kernel: &&Kernel| {
        choice.only.is_empty() || choice.only.iter().any(|version| version == kernel.version)
    };
    let mut rows = Vec::new();
    for kernel in KERNELS.iter().filter(wanted) {
        let filter = choice.filter.clone().unwrap_or_else(|| filter(kernel));
        let start = Instant::now();
        let outcome = image::Image::of(tree, kernel).and_then(|image| {
            println!("==> kernel {}", image.release);
            let script = guest::script(&tests, &image.release, &filter)?;
            let outcome = boot::run(&tests, &image, &layers, &script)?;
            Ok(format!("{}: {}", image.release, outcome.told()?))
        });
        rows.push((kernel, outcome, start.elapsed()));
    }
    let mut failed = Vec::new();
    for (kernel, outcome, time) in &rows {
        let seconds = time.as_secs();
        match outcome {
            Ok(told) => println!("test-kernel: {told} ({seconds} s)"),
            Err(error) => {
                println!("test-kernel: {}: FAILED after {seconds} s: {error:#}", kernel.version);
                failed.push(kernel.version);
            }
        }
    }
    ensure!(failed.is_empty(), "tests failed on {}", failed.join(", "));
    Ok(Ran::Passed)
}

fn filter(kernel: &Kernel) -> String {
    let lanes = LANES.iter().filter(|lane| lane.kernels.is_empty() || lane.kernels.contains(&kernel.version));
    lanes.map(|lane| format!("({})", lane.tests)).collect::<Vec<_>>().join(" + ")
}

/// What keeps this machine from booting kernels, in one line.
fn lack(tree: &Tree) -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("this machine is not amd64".to_owned());
    }
    // The guest has folders of its own there.
    if let Some(folder) = ["/tmp", "/run"].into_iter().find(|folder| tree.root.starts_with(folder)) {
        return Some(format!("the tree lies in {folder}, which the guest does not see: move it elsewhere"));
    }
    let missing = || -> Vec<&str> {
        let lacking = PROGRAMS.iter().filter(|(program, _)| !is_there(program));
        lacking.map(|(_, package)| *package).collect()
    };
    let packages = missing();
    if packages.is_empty() {
        return None;
    }
    let remedy = format!("apt-get install {}", packages.join(" "));
    if !process::is_root() {
        return Some(format!("missing: {remedy}"));
    }
    match setup::install(tree, &packages) {
        Ok(()) if missing().is_empty() => None,
        Ok(()) => Some(format!("missing also after `{remedy}`: {}", missing().join(" "))),
        Err(error) => Some(format!("{error:#}")),
    }
}

/// The guest starts without libraries, so busybox has to be a static one.
fn is_there(program: &str) -> bool {
    let Some(path) = process::find(program) else { return false };
    let has_libraries = || {
        // It fails for programs without any.
        let listed = Command::new("ldd").arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).status();
        listed.is_ok_and(|status| status.success())
    };
    program != "busybox" || !has_libraries()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_name_kernels_that_are_booted() {
        for version in LANES.iter().flat_map(|lane| lane.kernels) {
            assert!(KERNELS.iter().any(|kernel| kernel.version == *version), "{version}");
        }
    }
}
