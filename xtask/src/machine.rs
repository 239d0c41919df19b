//! What this machine lacks, and the tests that need it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::process;
use crate::tree::Tree;

/// Tests that need something which not every machine has.
pub(crate) struct Group {
    name: &'static str,
    /// A nextest filter expression.
    filter: &'static str,
    /// Why they cannot run here, or nothing.
    lack: fn(&Tree) -> Result<Option<String>>,
}

/// A group that cannot run here.
pub(crate) struct Missing {
    pub(crate) name: &'static str,
    pub(crate) filter: &'static str,
    pub(crate) reason: String,
}

/// Tests that work in namespaces of their own.
const IN_NAMESPACES: &str = "package(subm-e2e) + (kind(test) & package(/^(subm-(kernel|lab)|submariner-.*)$/)) \
     + (package(subm-apiserver) & binary(full_disk))";
/// Tests in which foreign programs change what is ours, or read it.
const BESIDE_OTHERS: &str = "package(subm-kernel) & kind(test)";

/// Tests of IPsec cables.
const IPSEC: &str = "package(submariner-gateway) & binary(ipsec)";
/// Tests of WireGuard devices that the kernel carries.
const KERNEL_WIREGUARD: &str = "test(/(^|::)kernel_wireguard::/)";

/// Tests that compare what kubectl prints with what was recorded.
pub(crate) const BESIDE_RECORD: &str =
    "package(subm-conformance) & (binary(kubectl) + test(kubectl_prints_what_is_recorded))";

/// Every group. A test that is in several is named with the first.
pub(crate) const GROUPS: &[Group] = &[
    Group { name: "namespaces", filter: IN_NAMESPACES, lack: |_| Ok(namespaces()) },
    Group { name: "kernel", filter: IN_NAMESPACES, lack: kernel },
    Group { name: "ip", filter: BESIDE_OTHERS, lack: |_| Ok(program("ip")) },
    Group { name: "nft", filter: BESIDE_OTHERS, lack: |_| Ok(program("nft")) },
    Group { name: "libreswan", filter: IPSEC, lack: ipsec },
    Group {
        name: "kernel WireGuard",
        filter: KERNEL_WIREGUARD,
        lack: |tree| Ok(capabilities(tree, &["--", "wireguard"])?.map(elsewhere)),
    },
    Group { name: "wg", filter: KERNEL_WIREGUARD, lack: |_| Ok(program("wg").map(elsewhere)) },
    Group { name: "netem", filter: "test(/(^|::)netem::/)", lack: |_| Ok(netem()) },
    Group { name: "tun", filter: "package(subm-kernel) & test(/^tunnels::tun_/)", lack: |_| Ok(tun()) },
    Group {
        name: "kubernetes",
        filter: "package(subm-conformance) & binary(kubernetes)",
        lack: |_| Ok(control_plane()),
    },
    Group { name: "kubectl", filter: "binary(kubectl)", lack: |_| Ok(program("kubectl")) },
    Group { name: "kubectl of the record", filter: BESIDE_RECORD, lack: recorded_kubectl },
];

/// Probes the machine for every group.
pub(crate) fn missing(tree: &Tree) -> Result<Vec<Missing>> {
    let mut missing = Vec::new();
    for group in GROUPS {
        if let Some(reason) = (group.lack)(tree)? {
            missing.push(Missing { name: group.name, filter: group.filter, reason });
        }
    }
    Ok(missing)
}

/// The start of a command line under which a test may make namespaces: nothing for root, a user namespace of its own
/// for others. The network stays the machine's, so that tests may use loopback.
pub(crate) fn ground() -> &'static [&'static str] {
    if process::is_root() { &[] } else { &["unshare", "--user", "--map-root-user", "--"] }
}

fn namespaces() -> Option<String> {
    // `unshare` is part of util-linux, which every Debian has.
    let made = in_namespace(&["true"]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    let remedy = if process::is_root() {
        "CAP_SYS_ADMIN is missing"
    } else {
        "ordinary users may not make namespaces here: run this as root"
    };
    (!made.is_ok_and(|status| status.success())).then(|| remedy.to_owned())
}

/// What is not here is so on a kernel that is booted for it.
fn elsewhere(mut lack: String) -> String {
    lack.push_str("; `make test-kernel` runs them");
    lack
}

fn kernel(tree: &Tree) -> Result<Option<String>> {
    capabilities(tree, &[])
}

/// What IPsec cables lack here: libreswan's programs, or what the kernel has to do.
fn ipsec(tree: &Tree) -> Result<Option<String>> {
    let programs = ["pluto", "whack"].map(|name| Path::new("/usr/libexec/ipsec").join(name));
    match programs.iter().find(|path| !path.is_file()) {
        Some(path) => Ok(Some(format!("no program {}: package libreswan", path.display()))),
        None => {
            program("certutil").map_or_else(|| capabilities(tree, &["--", "ipsec"]), |lack| Ok(Some(lack)))
        }
    }
}

/// What the kernel cannot do, as our own adapter finds it out in a namespace of its own.
fn capabilities(tree: &Tree, arguments: &[&str]) -> Result<Option<String>> {
    const PROBE: [&str; 5] = ["--profile", "ci", "--package", "subm-kernel", "--example=capabilities"];
    if namespaces().is_some() {
        return Ok(None);
    }
    process::run(process::cargo(tree, &["build"])?.args(PROBE))?;
    let probe = ["cargo", "run", "--quiet"];
    let mut command = in_namespace(&[&probe[..], &PROBE[..], arguments].concat());
    let output = process::sheltered(tree, &mut command)?.output()?;
    let said = if output.status.success() { output.stdout } else { output.stderr };
    let said = String::from_utf8_lossy(&said).trim().replace('\n', "; ");
    Ok((!said.is_empty()).then_some(said))
}

fn in_namespace(arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    if !process::is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--"]).args(arguments);
    command
}

/// Why wires cannot lose, delay and reorder packets here.
fn netem() -> Option<String> {
    if namespaces().is_some() {
        return None;
    }
    let mut command = in_namespace(&["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]);
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            Some(format!("netem: {}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")))
        }
        Err(error) => Some(format!("netem: tc: {error}")),
    }
}

fn tun() -> Option<String> {
    let opened = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    opened.err().map(|error| format!("/dev/net/tun: {error}"))
}

/// Why what kubectl prints here cannot be compared with the record.
pub(crate) fn recorded_kubectl(tree: &Tree) -> Result<Option<String>> {
    let lacking = program("kubectl");
    if lacking.is_some() {
        return Ok(lacking);
    }
    let record = tree.text("test/conformance/recorded/kubectl.txt")?;
    let recorded = record.lines().next().unwrap_or_default().trim_start_matches("kubectl ").to_owned();
    let output = process::command(tree, "kubectl")?.args(["version", "--client", "-o", "json"]).output()?;
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let found = told["clientVersion"]["gitVersion"].as_str().unwrap_or_default().to_owned();
    let same = found.trim_start_matches('v').starts_with(&format!("{recorded}."));
    Ok((!same).then(|| format!("kubectl is {found:?}; what {recorded} prints is recorded")))
}

fn control_plane() -> Option<String> {
    let given = std::env::var_os("KUBEBUILDER_ASSETS").is_some_and(|folder| !folder.is_empty());
    (!given).then(|| "`make test-kubernetes` runs them".to_owned())
}

fn program(name: &str) -> Option<String> {
    (!process::is_in_path(name)).then(|| format!("no program `{name}` in PATH"))
}
