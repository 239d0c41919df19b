//! Kernels with their modules, kept between runs, and the small file system that they start from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{Kernel, debian};
use crate::process;
use crate::tree::Tree;

/// Modules without which the guest does not find its file system.
const FIRST_MODULES: &[&str] = &["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// An unpacked kernel.
pub(crate) struct Image {
    /// What `uname -r` says in it.
    pub(crate) release: String,
    /// What its package has in it, with the list of modules.
    pub(crate) root: PathBuf,
}

impl Image {
    /// The kernel that is kept, or the newest one that Debian has.
    pub(crate) fn of(tree: &Tree, kernel: &Kernel) -> Result<Self> {
        let kernels = process::cache()?.join("kernels");
        if let Some(release) = kept(&kernels, kernel.version) {
            return Ok(Self { root: kernels.join(&release), release });
        }
        let suite = debian::Suite::open(tree, kernel.suite)?;
        let package = suite.stands_for(tree, "linux-image-amd64")?;
        let release = package.strip_prefix("linux-image-").unwrap_or_default().to_owned();
        ensure!(
            release.starts_with(&format!("{}.", kernel.version)),
            "Debian {} has {package}, not Linux {}",
            kernel.suite,
            kernel.version
        );
        println!("downloading {package}, once");
        let image = Self { root: kernels.join(&release), release };
        let scratch = debian::scratch(&image.root)?;
        suite.unpack(tree, &[package], &scratch)?;
        std::os::unix::fs::symlink("usr/lib", scratch.join("lib")).context("cannot link lib to usr/lib")?;
        process::run(sbin("depmod").arg("-b").arg(&scratch).arg(&image.release))?;
        process::keep(&scratch, &image.root)?;
        Ok(image)
    }

    /// The compressed kernel.
    pub(crate) fn vmlinuz(&self) -> PathBuf {
        self.root.join("boot").join(format!("vmlinuz-{}", self.release))
    }

    /// Modules and what they need, in the order in which they load.
    fn first_modules(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for module in FIRST_MODULES {
            let mut command = sbin("modprobe");
            command.arg("-d").arg(&self.root).args(["-S", &self.release, "--show-depends", module]);
            let output = command.output().context("cannot start modprobe")?;
            ensure!(output.status.success(), "{} has no module {module}", self.release);
            // "insmod FILE", or "builtin NAME".
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            files.extend(
                told.lines().filter_map(|line| line.trim().strip_prefix("insmod ")).map(PathBuf::from),
            );
        }
        let mut seen = std::collections::BTreeSet::new();
        files.retain(|file| seen.insert(file.clone()));
        Ok(files)
    }

    /// Writes the file system that the kernel starts from: busybox, the first modules, and two scripts.
    pub(crate) fn write_initial(&self, folder: &Path, (init, script): (&str, &str)) -> Result<PathBuf> {
        let root = folder.join("initial");
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))?;
        }
        for part in ["bin", "modules", "proc", "sys", "dev"] {
            fs::create_dir_all(root.join(part)).with_context(|| format!("cannot make {}", root.display()))?;
        }
        let busybox = process::find("busybox").context("no program `busybox` in PATH")?;
        fs::copy(&busybox, root.join("bin/busybox")).context("cannot copy busybox")?;
        for (number, file) in self.first_modules()?.iter().enumerate() {
            let module = plain(file)?;
            fs::write(root.join(format!("modules/{number:02}.ko")), module)
                .context("cannot write a module")?;
        }
        fs::write(root.join("script"), script).context("cannot write the guest's script")?;
        fs::write(root.join("init"), init).context("cannot write the guest's init")?;
        process::run(Command::new("chmod").arg("755").arg(root.join("init")))?;
        let archive = folder.join("initial.cpio");
        let pack = format!("find . | cpio -o -H newc --quiet >'{}'", archive.display());
        process::run(Command::new("sh").args(["-c", &pack]).current_dir(&root))?;
        Ok(archive)
    }
}

/// The newest kernel of a version among those that are kept.
fn kept(kernels: &Path, version: &str) -> Option<String> {
    let start = format!("{version}.");
    let names =
        fs::read_dir(kernels).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| {
            let image = Image { release: name.clone(), root: kernels.join(name) };
            name.starts_with(&start) && image.vmlinuz().is_file()
        })
        .max()
}

/// A module as the kernel takes it.
fn plain(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_some_and(|extension| extension == "xz") {
        let output = Command::new("xz")
            .arg("-dc")
            .arg(file)
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start xz")?;
        ensure!(output.status.success(), "xz cannot unpack {}", file.display());
        return Ok(output.stdout);
    }
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// A program that ordinary users do not have in their PATH.
fn sbin(name: &str) -> Command {
    Command::new(process::find(name).unwrap_or_else(|| PathBuf::from(name)))
}
