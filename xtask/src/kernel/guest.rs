//! What happens inside of the virtual machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process;
use crate::tree::Tree;

/// Tells a test that it runs in a virtual machine, and on which kernel: whatever such a test needs has to be there.
pub(crate) const VARIABLE: &str = "SUBMARINER_TEST_KERNEL";
/// How the script's last line begins; the exit status of the tests follows.
pub(crate) const ENDED: &str = "test-kernel: the tests ended with ";
/// Variables that tests look at.
const HANDED_OVER: &[&str] = &["GOLDEN_DIR", "RUST_BACKTRACE", "CARGO_TARGET_DIR", "HOME", "XDG_CACHE_HOME"];
/// Modules whose devices have to be there before anybody asks for them.
const MODULES: &[&str] = &["tun"];

/// Asks for test binaries, built.
const LIST: &[&str] =
    &["nextest", "list", "--cargo-profile", "ci", "--list-type", "binaries-only", "--message-format", "json"];

/// Built tests, and what nextest has to know of them where there is no cargo.
pub(crate) struct Tests {
    root: PathBuf,
    /// Files of this run.
    pub(crate) folder: PathBuf,
    path: String,
}

impl Tests {
    /// Builds every test binary and the daemons that tests start, or only the test binaries of these packages.
    pub(crate) fn build(tree: &Tree, packages: &[String]) -> Result<Self> {
        let mut which = vec!["--workspace"];
        if packages.is_empty() {
            let programs = ["build", "--profile", "ci", "-p", "submariner-bin", "-p", "subctl-bin"];
            process::run(&mut process::cargo(tree, &programs)?)?;
        } else {
            which = packages.iter().flat_map(|package| ["-p", package]).collect();
        }
        let metadata = read(tree, &["metadata", "--format-version", "1", "--locked"])?;
        let binaries = read(tree, &[LIST, &which].concat())?;
        let parsed: Value = serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
        let target = parsed["target_directory"].as_str().context("cargo metadata names no target folder")?;
        let folder = Path::new(target).join("test-kernel");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (name, text) in [("cargo.json", &metadata), ("binaries.json", &binaries)] {
            fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
        }
        let path = process::command(tree, "true")?;
        let path = path.get_envs().find(|(key, _)| *key == "PATH").and_then(|(_, value)| value);
        let path = path.context("commands have a PATH")?.to_string_lossy().into_owned();
        Ok(Self { root: tree.root.clone(), folder, path })
    }
}

fn read(tree: &Tree, arguments: &[&str]) -> Result<String> {
    let output = process::cargo(tree, arguments)?
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo {} failed", arguments.join(" "));
    String::from_utf8(output.stdout).context("cargo does not speak UTF-8")
}

/// The first program: it finds the machine's file system, with this many layers above it, and starts the script there.
pub(crate) fn init(layers: usize) -> String {
    const OPTIONS: &str = "trans=virtio,version=9p2000.L,ro,msize=524288,cache=loose";
    let names: Vec<String> = (0..layers).map(layer_tag).chain([HOST_TAG.to_owned()]).collect();
    let mounts: Vec<String> =
        names.iter().map(|name| format!("mkdir /{name}; mount -t 9p -o {OPTIONS} {name} /{name}")).collect();
    let lower: Vec<String> = names.iter().map(|name| format!("/{name}")).collect();
    format!(
        r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
for module in /modules/*.ko; do insmod "$module" || echo "$module does not load"; done
{mounts}
mkdir /rw /new
mount -t tmpfs none /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir={lower},upperdir=/rw/upper,workdir=/rw/work none /new
for folder in proc sys dev; do mount --move /$folder /new/$folder; done
mkdir -p /new/dev/pts /new/dev/shm
mount -t devpts none /new/dev/pts
for folder in dev/shm tmp run; do mount -t tmpfs none /new/$folder; done
cp /script /new/run/script
exec switch_root /new /bin/bash /run/script
"#,
        mounts = mounts.join("\n"),
        lower = lower.join(":")
    )
}

/// By what name the guest finds the machine's file system.
pub(crate) const HOST_TAG: &str = "host";

/// By what name the guest finds a folder of packages. KERNEL: overlayfs refuses one layer that lies inside of another, so
/// each comes by itself.
pub(crate) fn layer_tag(number: usize) -> String {
    format!("layer{number}")
}

/// What the guest does once it has its file system, until it switches itself off.
pub(crate) fn script(tests: &Tests, release: &str, filter: &str) -> Result<String> {
    let mut lines = vec![
        format!("export PATH={}", quoted(&format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", tests.path))),
        format!("export {VARIABLE}={}", quoted(release)),
    ];
    for name in HANDED_OVER {
        if let Ok(value) = env::var(name) {
            lines.push(format!("export {name}={}", quoted(&value)));
        }
    }
    let metadata = |name: &str| quoted(&tests.folder.join(name).to_string_lossy());
    let root = tests.root.to_str().context("the tree lies in a folder whose name is not UTF-8")?;
    lines.push(format!("cd {}", quoted(root)));
    lines.push(format!("modprobe -a {}", MODULES.join(" ")));
    lines.push("ip link set lo up".to_owned());
    lines.push(format!(
        "cargo-nextest nextest run --profile kernel --color never --no-tests fail --cargo-metadata {} --binaries-metadata {} -E {} 2>&1 | cat",
        metadata("cargo.json"),
        metadata("binaries.json"),
        quoted(filter),
    ));
    // The pipe keeps nextest from drawing on the console; what counts is how it ended, not the pipe.
    lines.push(format!("echo \"{ENDED}${{PIPESTATUS[0]}}\""));
    lines.push("echo o >/proc/sysrq-trigger".to_owned());
    lines.push("sleep 60".to_owned());
    Ok(lines.join("\n") + "\n")
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_script_stay_words() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn layers_lie_above_the_machines_files() {
        let init = init(2);
        assert!(init.contains("lowerdir=/layer0:/layer1:/host,"), "{init}");
    }
}
