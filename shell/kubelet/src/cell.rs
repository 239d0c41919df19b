//! The step between the kubelet and a container's program: a process that makes its own surroundings and then becomes
//! the program.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use caps::{CapSet, Capability};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{Gid, Uid, setgid, setgroups, setsid, setuid};
use serde::{Deserialize, Serialize};

/// The surroundings of one program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    pub(crate) mounts: Vec<Mount>,
    pub(crate) user: Option<u32>,
    pub(crate) group: Option<u32>,
    pub(crate) groups: Vec<u32>,
    /// `NET_ADMIN`, …; all that the program may ever have.
    pub(crate) capabilities: Vec<String>,
    pub(crate) no_new_privileges: bool,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) command: Vec<String>,
    /// A file that takes the reason where the program cannot be started.
    pub(crate) report: PathBuf,
    /// The process whose mounts are shared; without one the cell has mounts of its own.
    pub(crate) beside: Option<i32>,
    /// The terminal that the program gets.
    pub(crate) terminal: Option<PathBuf>,
}

/// Something of the machine at another place of a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
    pub(crate) read_only: bool,
}

/// A program that could not be started.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct CellError {
    what: String,
    why: String,
}

fn failed<E: std::fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> CellError {
    let what = what.into();
    move |error| CellError { what, why: error.to_string() }
}

/// Where mount points may be made: this folder is the lab's own.
const OWN: &str = "/run";
/// Another name of it, where it is one.
const OWN_TOO: &str = "/var/run";

impl Cell {
    /// Becomes the program of a cell, which is given as JSON; returns only where that fails.
    ///
    /// The calling process must have one thread.
    pub fn enter(text: &str) -> CellError {
        let cell: Self = match serde_json::from_str(text) {
            Ok(cell) => cell,
            Err(error) => return failed("the cell")(error),
        };
        // Opened before anything can hide it.
        let report = File::create(&cell.report);
        let error = cell.become_program();
        if let Ok(mut report) = report {
            // Who cannot write it there still says it on standard error.
            let _unwritten = report.write_all(error.to_string().as_bytes());
        }
        error
    }

    fn become_program(&self) -> CellError {
        if let Err(error) = self.furnish() {
            return error;
        }
        let [program, arguments @ ..] = self.command.as_slice() else {
            return CellError { what: "the command".to_owned(), why: "it is empty".to_owned() };
        };
        let error = Command::new(program).args(arguments).exec();
        let absent = error.kind() == std::io::ErrorKind::NotFound && !program.contains('/');
        let why = if absent { "executable file not found in $PATH".to_owned() } else { error.to_string() };
        CellError { what: format!("exec: {program:?}"), why }
    }

    fn furnish(&self) -> Result<(), CellError> {
        setsid().map_err(failed("a session of its own"))?;
        if let Some(terminal) = &self.terminal {
            take_terminal(terminal)?;
        }
        if let Some(pid) = self.beside {
            let door = File::open(format!("/proc/{pid}/ns/mnt"));
            let door = door.map_err(failed("the container's mounts"))?;
            setns(door, CloneFlags::CLONE_NEWNS).map_err(failed("the container's mounts"))?;
        } else {
            unshare(CloneFlags::CLONE_NEWNS).map_err(failed("mounts of its own"))?;
            self.mounts.iter().try_for_each(Mount::lay)?;
        }
        if let Some(folder) = &self.folder {
            std::env::set_current_dir(folder).map_err(failed(format!("workingDir {}", folder.display())))?;
        }
        self.lower()
    }

    /// Gives up what the program is not to have.
    fn lower(&self) -> Result<(), CellError> {
        let mut kept = HashSet::new();
        for name in &self.capabilities {
            let capability: Capability = format!("CAP_{name}").parse().map_err(|_| CellError {
                what: format!("capability {name}"),
                why: "there is no such capability".to_owned(),
            })?;
            kept.insert(capability);
        }
        let bounding = caps::read(None, CapSet::Bounding).map_err(failed("capabilities"))?;
        for capability in bounding.difference(&kept) {
            caps::drop(None, CapSet::Bounding, *capability)
                .map_err(failed(format!("cannot give up {capability}")))?;
        }
        if let (Some(_), _) | (_, Some(_)) = (self.user, self.group) {
            let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
            // KERNEL: where an ordinary user made the namespace, supplementary groups cannot be set.
            if !groups.is_empty()
                || fs::read_to_string("/proc/self/setgroups").is_ok_and(|may| may.trim() == "allow")
            {
                setgroups(&groups).map_err(failed("supplementalGroups"))?;
            }
        }
        let only_root = "is it an ordinary user's playground? there only user 0 exists";
        if let Some(group) = self.group {
            setgid(Gid::from_raw(group)).map_err(|error| CellError {
                what: format!("runAsGroup {group}"),
                why: format!("{error}; {only_root}"),
            })?;
        }
        if let Some(user) = self.user {
            setuid(Uid::from_raw(user)).map_err(|error| CellError {
                what: format!("runAsUser {user}"),
                why: format!("{error}; {only_root}"),
            })?;
        }
        if self.no_new_privileges {
            nix::sys::prctl::set_no_new_privs().map_err(failed("allowPrivilegeEscalation: false"))?;
        }
        // KERNEL: what is inheritable is a program's of user 0 even outside of the bounding set.
        let permitted = caps::read(None, CapSet::Permitted).map_err(failed("capabilities"))?;
        let inheritable = kept.intersection(&permitted).copied().collect();
        caps::set(None, CapSet::Inheritable, &inheritable).map_err(failed("capabilities"))
    }
}

/// KERNEL: the first terminal that a session's leader opens is its own.
fn take_terminal(path: &Path) -> Result<(), CellError> {
    let terminal = File::options().read(true).write(true).open(path).map_err(failed("the terminal"))?;
    nix::unistd::dup2_stdin(&terminal).map_err(failed("the terminal"))?;
    nix::unistd::dup2_stdout(&terminal).map_err(failed("the terminal"))?;
    nix::unistd::dup2_stderr(&terminal).map_err(failed("the terminal"))
}

impl Mount {
    fn lay(&self) -> Result<(), CellError> {
        let what = || format!("mountPath {}", self.to.display());
        if !self.to.exists() {
            self.make_point()?;
        }
        let none: Option<&str> = None;
        mount(Some(&self.from), &self.to, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
            .map_err(failed(what()))?;
        if self.read_only {
            // KERNEL: in a user namespace flags that the mount has already must be named again.
            let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            let also = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            mount(none, &self.to, none, flags, none)
                .or_else(|_| mount(none, &self.to, none, flags | also, none))
                .map_err(failed(format!("{} read-only", what())))?;
        }
        Ok(())
    }

    /// INVARIANT: nothing is made on the machine's own file systems.
    fn make_point(&self) -> Result<(), CellError> {
        let by_link = || {
            self.to.starts_with(OWN_TOO)
                && Path::new(OWN_TOO).canonicalize().is_ok_and(|to| to == Path::new(OWN))
        };
        if !self.to.starts_with(OWN) && !by_link() {
            return Err(CellError {
                what: format!("mountPath {}", self.to.display()),
                why: "the machine has no such folder, and here none is made but below /run: choose one that is there"
                    .to_owned(),
            });
        }
        let made = if self.from.is_dir() {
            fs::create_dir_all(&self.to)
        } else {
            let parent = self.to.parent().unwrap_or(&self.to);
            fs::create_dir_all(parent).and_then(|()| File::create(&self.to).map(drop))
        };
        made.map_err(failed(format!("mountPath {}", self.to.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_survives_its_text() {
        let cell = Cell {
            mounts: vec![Mount { from: "/a".into(), to: "/b".into(), read_only: true }],
            capabilities: vec!["NET_ADMIN".to_owned()],
            command: vec!["true".to_owned()],
            ..Cell::default()
        };
        let text = serde_json::to_string(&cell).unwrap();
        assert_eq!(serde_json::from_str::<Cell>(&text).unwrap(), cell);
    }

    #[test]
    fn mount_points_outside_of_run_are_not_made() {
        let mount = Mount { from: "/tmp".into(), to: "/no/such/folder".into(), read_only: false };
        assert!(mount.make_point().unwrap_err().to_string().contains("choose one that is there"));
    }
}
