//! A world of its own for a process: user, mount, network and PID namespaces.

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::LabError;

/// Where named network namespaces are, as iproute2 knows them; inside the ground only.
pub const NETNS_DIR: &str = "/run/netns";
/// Where logs, credentials and other files of the lab are; inside the ground only, gone with it.
pub const STATE_DIR: &str = "/run/submariner";

/// The two halves of a world of its own: the process outside that opens it, and the first process inside.
pub struct Ground;

impl Ground {
    /// Gives the calling process new user (for ordinary users), mount and network namespaces; children that it
    /// starts afterwards live in a new PID namespace, the first of them as its init.
    ///
    /// The process must have one thread, and stay: the kernel ends everything inside when the init is gone.
    pub fn open() -> Result<(), LabError> {
        let (uid, gid) = (geteuid(), getegid());
        let mut flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID;
        if !uid.is_root() {
            flags |= CloneFlags::CLONE_NEWUSER;
        }
        unshare(flags).map_err(|errno| LabError::Ground {
            what: "make namespaces",
            remedy: Some(if uid.is_root() {
                "CAP_SYS_ADMIN is missing: in a container, give it that capability or run this outside"
            } else {
                "ordinary users may not make namespaces here: run this as root"
            }),
            source: errno.into(),
        })?;
        if uid.is_root() {
            return Ok(());
        }
        let map = |file: &str, text: String| {
            fs::write(file, text).map_err(|source| LabError::Ground {
                what: "map the caller to root of the new user namespace",
                remedy: Some("ordinary users may not use their namespaces here: run this as root"),
                source,
            })
        };
        map("/proc/self/setgroups", "deny".to_owned())?;
        map("/proc/self/uid_map", format!("0 {uid} 1"))?;
        map("/proc/self/gid_map", format!("0 {gid} 1"))
    }

    /// Gives the calling thread, and those that it starts, mounts and a network of their own and an empty `/run`.
    ///
    /// It is for tests, whose process has several threads. The caller must be root, at least of its user namespace;
    /// programs that are started there are ended by whoever starts them.
    pub fn of_thread() -> Result<(), LabError> {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).map_err(|errno| LabError::Ground {
            what: "make namespaces",
            remedy: Some("run this as root, or under `unshare --user --map-root-user`"),
            source: errno.into(),
        })?;
        furnish_run()
    }

    /// Furnishes the world from its first process: private mounts, an empty `/run`, and a `/proc` of its own.
    pub fn furnish() -> Result<(), LabError> {
        furnish_run()?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>).map_err(|errno| LabError::Ground {
            what: "mount /proc for the new PID namespace",
            remedy: Some(
                "in a container, unmask /proc (`--security-opt systempaths=unconfined`) or run this outside",
            ),
            source: errno.into(),
        })?;
        writable(Path::new("/proc/sys/net/ipv4/ip_forward"))
    }
}

fn furnish_run() -> Result<(), LabError> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(LabError::ground("make mounts private"))?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"))
        .map_err(LabError::ground("mount a file system of its own at /run"))?;
    for dir in [NETNS_DIR, STATE_DIR] {
        fs::create_dir_all(dir).map_err(|source| LabError::Ground {
            what: "make a directory below /run",
            remedy: None,
            source,
        })?;
    }
    Ok(())
}

fn writable(sysctl: &Path) -> Result<(), LabError> {
    let attempt = || -> io::Result<()> { fs::write(sysctl, fs::read(sysctl)?) };
    attempt().map_err(|source| LabError::Ground {
        what: "change kernel parameters of a new network namespace",
        remedy: Some("in a container, mount /proc/sys writable or run this outside"),
        source,
    })
}
