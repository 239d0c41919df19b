//! Packages of Debian releases, downloaded and unpacked, never installed: their scripts do not run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process;
use crate::tree::Tree;

/// What Debian signs its releases with, of the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The folder that is downloaded to may be one that only this user can write to.
const AS_THIS_USER: &str = "-oAPT::Sandbox::User=root";

/// Where this machine gets Debian from.
#[derive(Debug, PartialEq, Eq)]
struct Mirrors {
    archive: String,
    security: Option<String>,
}

/// apt with the sources of one release, beside and apart from the machine's own.
pub(crate) struct Suite {
    folder: PathBuf,
    options: Vec<String>,
}

impl Suite {
    /// Reads the lists of a release.
    pub(crate) fn open(tree: &Tree, suite: &str) -> Result<Self> {
        ensure!(Path::new(KEYRING).is_file(), "{KEYRING} is missing: apt-get install debian-archive-keyring");
        let folder = process::cache()?.join("apt").join(suite);
        for part in ["lists/partial", "archives/partial"] {
            make(&folder.join(part))?;
        }
        let sources = folder.join("sources.list");
        let text = sources_of(&mirrors(tree)?, suite);
        fs::write(&sources, text).with_context(|| format!("cannot write {}", sources.display()))?;
        let option = |key: &str, value: &Path| format!("-o{key}={}", value.display());
        let options = vec![
            option("Dir::Etc::SourceList", &sources),
            option("Dir::Etc::SourceParts", Path::new("/dev/null")),
            option("Dir::State::Lists", &folder.join("lists")),
            option("Dir::Cache", &folder),
            option("Dir::Cache::Archives", &folder.join("archives")),
            AS_THIS_USER.to_owned(),
        ];
        let suite = Self { folder, options };
        process::run(suite.apt(tree, "apt-get")?.args(["-qq", "update"]))
            .with_context(|| format!("the package lists in {} cannot be read", suite.folder.display()))?;
        Ok(suite)
    }

    fn apt(&self, tree: &Tree, program: &str) -> Result<Command> {
        let mut command = process::command(tree, program)?;
        command.args(&self.options);
        Ok(command)
    }

    /// The first package that a package without content depends on.
    pub(crate) fn stands_for(&self, tree: &Tree, package: &str) -> Result<String> {
        let told = read(self.apt(tree, "apt-cache")?.args(["depends", "--important", package]))?;
        let found = told.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(found.with_context(|| format!("{package} depends on nothing"))?.to_owned())
    }

    /// Downloads packages and unpacks them into a new folder.
    pub(crate) fn unpack(&self, tree: &Tree, packages: &[String], into: &Path) -> Result<()> {
        let mut command = self.apt(tree, "apt-get")?;
        unpack(command.args(["-qq", "download"]).args(packages), into)
    }
}

/// Packages of this machine's own release with what of their dependencies is not installed, unpacked once; `None` where
/// everything is installed.
pub(crate) fn unpacked(tree: &Tree, packages: &[&str]) -> Result<Option<PathBuf>> {
    let simulate = ["-qq", "--simulate", "--no-install-recommends", "install"];
    let ask = || read(process::command(tree, "apt-get")?.args(simulate).args(packages));
    let told = ask().or_else(|_| {
        // A fresh machine has no package lists.
        process::run(process::command(tree, "apt-get")?.args(["-qq", "update"]))?;
        ask()
    })?;
    let wanted: Vec<String> = told.lines().filter_map(installed).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let folder = process::cache()?.join("packages").join(digest(&wanted));
    if !folder.exists() {
        println!("unpacking {}", wanted.join(" "));
        let scratch = scratch(&folder)?;
        let mut command = process::command(tree, "apt-get")?;
        unpack(command.args([AS_THIS_USER, "-qq", "download"]).args(&wanted), &scratch)?;
        process::keep(&scratch, &folder)?;
    }
    Ok(Some(folder))
}

/// `Inst libunbound8 (1.17.1-2 Debian:12.0/oldstable [amd64])` as `libunbound8=1.17.1-2`.
fn installed(line: &str) -> Option<String> {
    let mut words = line.strip_prefix("Inst ")?.split_whitespace();
    let name = words.next()?;
    let version = words.find_map(|word| word.strip_prefix('('))?;
    Some(format!("{name}={version}"))
}

/// A name for a list of packages.
fn digest(packages: &[String]) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    packages.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// A new folder beside the one that it is to become.
pub(crate) fn scratch(folder: &Path) -> Result<PathBuf> {
    let scratch = folder.with_file_name(format!(
        "{}.{}",
        folder.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    if scratch.exists() {
        fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove {}", scratch.display()))?;
    }
    make(&scratch)?;
    Ok(scratch)
}

/// Runs a download and unpacks what it brought.
fn unpack(download: &mut Command, into: &Path) -> Result<()> {
    let archives = into.join("archives");
    make(&archives)?;
    process::run(download.current_dir(&archives))?;
    for entry in fs::read_dir(&archives).with_context(|| format!("cannot read {}", archives.display()))? {
        let package = entry?.path();
        process::run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(into))?;
    }
    fs::remove_dir_all(&archives).with_context(|| format!("cannot remove {}", archives.display()))?;
    merge_usr(into)
}

/// Moves /lib and its like beneath /usr, where the machine has them: a folder would hide the machine's symbolic link.
fn merge_usr(root: &Path) -> Result<()> {
    for name in ["bin", "sbin", "lib", "lib64"] {
        let old = root.join(name);
        if old.is_dir() && !old.is_symlink() {
            let new = root.join("usr").join(name);
            make(&new)?;
            process::run(Command::new("cp").arg("-al").arg(old.join(".")).arg(&new))?;
            fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    Ok(())
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn read(command: &mut Command) -> Result<String> {
    let output = command.output().context("apt cannot be started: this is no Debian")?;
    if !output.status.success() {
        bail!("apt: {}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "));
    }
    String::from_utf8(output.stdout).context("apt does not speak UTF-8")
}

/// Reads the machine's own sources.
fn mirrors(tree: &Tree) -> Result<Mirrors> {
    const FORMAT: &str = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)";
    let told = read(process::command(tree, "apt-get")?.args([
        "indextargets",
        "--format",
        FORMAT,
        "Created-By: Packages",
    ]))?;
    let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = os.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap_or_default();
    mirrors_in(&told, codename).context("apt has no source of Debian here, so there is none for its kernels")
}

fn mirrors_in(told: &str, codename: &str) -> Option<Mirrors> {
    let find = |release: &str| {
        let uri = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // Before the first `apt-get update` apt does not know whose they are.
            let ours = matches!(words.as_slice(), [_, of, "main", "Debian" | "$(ORIGIN)"] if *of == release);
            ours.then(|| words[0].to_owned())
        };
        told.lines().find_map(uri)
    };
    Some(Mirrors { archive: find(codename)?, security: find(&format!("{codename}-security")) })
}

fn sources_of(mirrors: &Mirrors, suite: &str) -> String {
    let line = |uri: &str, suite: &str| format!("deb [signed-by={KEYRING}] {uri} {suite} main\n");
    let security = mirrors.security.as_ref().map(|uri| line(uri, &format!("{suite}-security")));
    line(&mirrors.archive, suite) + &security.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_those_of_debian_on_this_machine() {
        let told = "https://mirror.example/other/ bookworm main Other\n\
                    https://mirror.example/debian/ bookworm main Debian\n\
                    https://mirror.example/debian/ bookworm-updates main Debian\n\
                    https://mirror.example/security/ bookworm-security main $(ORIGIN)\n";
        let mirrors = mirrors_in(told, "bookworm").unwrap();
        assert_eq!(
            sources_of(&mirrors, "bullseye"),
            format!(
                "deb [signed-by={KEYRING}] https://mirror.example/debian/ bullseye main\n\
                 deb [signed-by={KEYRING}] https://mirror.example/security/ bullseye-security main\n"
            )
        );
        assert_eq!(mirrors_in(told, "trixie"), None);
    }

    #[test]
    fn packages_are_named_with_their_versions() {
        let line = "Inst libunbound8 (1.17.1-2+deb12u3 Debian:12.11/oldstable [amd64]) []";
        assert_eq!(installed(line).unwrap(), "libunbound8=1.17.1-2+deb12u3");
        assert_eq!(installed("Inst a [1.0] (1.1 Debian:12 [amd64])").unwrap(), "a=1.1");
        assert_eq!(installed("Conf libunbound8 (1.17.1-2)"), None);
    }
}
