//! Other WireGuard implementations that run as a process: pinned versions, fetched or built once, kept in the cache.

mod cache;
pub mod process;
pub mod uapi;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use self::cache::{build, cached, finished};

/// An implementation beside ours.
pub struct Peer {
    /// How its figures are called.
    pub name: &'static str,
    /// What stands before the name of the device on its command line.
    pub arguments: &'static [&'static str],
    obtain: fn() -> Result<PathBuf>,
}

/// Mullvad's, in Rust, from crates.io.
pub const GOTATUN: Peer = Peer {
    name: "gotatun-cli",
    arguments: &["--foreground", "--disable-drop-privileges", "--verbosity", "error"],
    obtain: gotatun,
};
/// The one that Debian 12 has.
pub const DEBIAN: Peer = Peer { name: "wireguard-go-debian", arguments: &["--foreground"], obtain: debian };
/// The newest Go module.
pub const NEWEST: Peer = Peer { name: "wireguard-go-newest", arguments: &["--foreground"], obtain: newest };

const GOTATUN_VERSION: &str = "0.10.2";
const DEBIAN_VERSION: &str = "0.0.20220316-1+b4";
const GO_MODULE: &str = "golang.zx2c4.com/wireguard";
const GO_VERSION: &str = "v0.0.0-20260522210424-ecfc5a8d5446";

impl Peer {
    /// The program; fetched or built where the cache does not have it.
    pub fn program(&self) -> Result<PathBuf> {
        (self.obtain)().with_context(|| format!("{} cannot be had here", self.name))
    }
}

fn gotatun() -> Result<PathBuf> {
    cached("gotatun-cli", GOTATUN_VERSION, "gotatun", |folder| {
        let (root, target) = (folder.join("root"), folder.join("target"));
        build(folder, "cargo", |cargo| {
            cargo.args(["install", "--locked", "--version", GOTATUN_VERSION, "--root"]).arg(&root);
            cargo.arg("gotatun-cli").env("CARGO_TARGET_DIR", &target);
        })?;
        finished(&root.join("bin/gotatun"))
    })
}

fn debian() -> Result<PathBuf> {
    cached("wireguard-go-debian", DEBIAN_VERSION, "wireguard-go", |folder| {
        build(folder, "apt-get", |apt| {
            apt.args(["download", "--option", "APT::Sandbox::User=root"]);
            apt.arg(format!("wireguard-go={DEBIAN_VERSION}"));
        })
        .context("it is a package of Debian 12: there, `apt-get update` tells where it lies")?;
        let package = only_file(folder)?;
        build(folder, "dpkg-deb", |dpkg| {
            dpkg.arg("-x").arg(&package).arg(folder);
        })?;
        finished(&folder.join("usr/bin/wireguard-go"))
    })
}

fn newest() -> Result<PathBuf> {
    cached("wireguard-go-newest", GO_VERSION, "wireguard", |folder| {
        build(folder, "go", |go| {
            go.args(["install", &format!("{GO_MODULE}@{GO_VERSION}")]).env("GOBIN", folder);
        })
        .context("install Go and its module proxy must be reachable")?;
        finished(&folder.join("wireguard"))
    })
}

/// The one file of a folder.
fn only_file(folder: &Path) -> Result<PathBuf> {
    let found = folder.read_dir()?.next().context("nothing was fetched")?;
    Ok(found?.path())
}
