//! A program in a pod or node, started by the command line inside the playground's namespaces.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::sethostname;
use subm_lab::NETNS_DIR;

use crate::api;
use crate::control::{Client, Reply, Request};
use crate::status::Status;
use crate::topology::Target;

/// Enters the user, mount and PID namespaces of the playground: files are the playground's afterwards, and children
/// its processes. The calling process must have one thread.
pub(crate) fn enter(client: &mut Client) -> anyhow::Result<()> {
    let init = status(client)?.init;
    let namespaces = [
        ("user", CloneFlags::CLONE_NEWUSER),
        ("pid", CloneFlags::CLONE_NEWPID),
        ("mnt", CloneFlags::CLONE_NEWNS),
    ];
    // All are opened before any is entered: another user namespace or /proc may not show them any more.
    let mut doors = Vec::new();
    for (name, kind) in namespaces {
        let theirs = format!("/proc/{init}/ns/{name}");
        let same = std::fs::read_link(&theirs).with_context(|| theirs.clone())?
            == std::fs::read_link(format!("/proc/self/ns/{name}"))?;
        if !same {
            doors.push((File::open(&theirs).with_context(|| theirs.clone())?, kind, name));
        }
    }
    for (door, kind, name) in doors {
        setns(door, kind).with_context(|| format!("cannot enter the {name} namespace of the playground"))?;
    }
    Ok(())
}

/// Asks how everything is.
pub(crate) fn status(client: &mut Client) -> anyhow::Result<Status> {
    match client.ask(&Request::Status, drop)? {
        Reply::Status(status) => Ok(*status),
        Reply::Progress(_) | Reply::Checked(_) | Reply::Done | Reply::Failed(_) => {
            bail!("the playground did not tell its status")
        }
    }
}

/// Runs a program in a place of the playground and tells its exit code.
pub(crate) fn run(client: &mut Client, target: &Target<'_>, command: &[OsString]) -> anyhow::Result<u8> {
    let here = std::env::current_dir();
    enter(client)?;
    // KERNEL: whoever enters a mount namespace stands at its root. Files are named from where the caller is; a folder
    // that is not in there, as any below /run, leaves it at the root.
    let _not_there = here.map(std::env::set_current_dir);
    let host = target.host();
    let network =
        File::open(format!("{NETNS_DIR}/{host}")).with_context(|| format!("the namespace of {host}"))?;
    setns(network, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {host}"))?;
    // Prompts show where one is.
    unshare(CloneFlags::CLONE_NEWUTS).context("a host name of its own")?;
    sethostname(host).context("the host name")?;
    let shell = [std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into())];
    let words = if command.is_empty() { &shell } else { command };
    let [program, arguments @ ..] = words else { bail!("no program was named") };
    // Keys that interrupt are for the program; a child starts with no signal blocked.
    SigSet::from_iter([Signal::SIGINT, Signal::SIGQUIT]).thread_block().context("signals")?;
    let status = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", api::admin_kubeconfig(target.api()))
        .env("SUBCTL_PLAYGROUND_PLACE", host)
        .status()
        .with_context(|| {
            format!("cannot run {} in {host}, where programs are the machine's own", program.display())
        })?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1))
}
