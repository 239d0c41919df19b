//! The process outside: it holds the playground's name and its namespaces, and everything ends with it.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid, setsid};
use subm_lab::Ground;

use crate::control::{self, Client, Reply, Request};
use crate::settings::{Lifetime, Settings};

/// The program itself, also where its file was replaced.
const MYSELF: &str = "/proc/self/exe";
const GONE_WITHIN: Duration = Duration::from_secs(15);
/// What the starter writes to the holder's standard input when the playground is to outlive it.
const STAY: &[u8] = b"stay\n";

/// Starts the holder and waits until the playground is ready; what it is doing goes to `each`.
///
/// Until it is ready, everything ends with the calling process, however that ends.
pub(crate) fn start(settings: &Settings, each: impl FnMut(Reply)) -> anyhow::Result<Client> {
    let mut holder = Command::new(MYSELF)
        .arg0("subctl")
        .args(["playground", "hold", &serde_json::to_string(settings)?, &getpid().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the playground")?;
    let mut client = loop {
        match Client::connect(&settings.name)? {
            Some(client) if is_child(&holder, client.holder()?) => break client,
            // Somebody else was faster with this name; the holder says so.
            Some(_) | None => {}
        }
        if let Some(status) = holder.try_wait()? {
            bail!(last_words(&mut holder, status));
        }
        thread::sleep(Duration::from_millis(5));
    };
    match client.ask(&Request::Wait, each) {
        Ok(_) => {
            if let (Some(stdin), Lifetime::Detached) = (&mut holder.stdin, settings.lifetime) {
                stdin.write_all(STAY).context("the playground ended")?;
            }
            Client::require(&settings.name)
        }
        Err(error) => {
            // What the processes inside could not say over the socket stands on their standard error.
            let deadline = Instant::now() + Duration::from_secs(2);
            while Instant::now() < deadline {
                if let Some(status) = holder.try_wait()? {
                    return Err(error.context(last_words(&mut holder, status)));
                }
                thread::sleep(Duration::from_millis(20));
            }
            Err(error)
        }
    }
}

fn is_child(child: &Child, pid: Pid) -> bool {
    i32::try_from(child.id()).is_ok_and(|number| Pid::from_raw(number) == pid)
}

fn last_words(holder: &mut Child, status: ExitStatus) -> String {
    let mut text = String::new();
    if let Some(stderr) = &mut holder.stderr {
        // Bytes that are no text are not worth an error of their own.
        let _unread = stderr.read_to_string(&mut text);
    }
    match text.trim() {
        "" => format!("the playground did not start ({status})"),
        text => text.to_owned(),
    }
}

/// The holder's life: takes the name, opens the namespaces, starts the init in them and waits for its end.
///
/// It has one thread, because only then can it enter a user namespace, and because the init dies with that thread.
pub(crate) fn hold(settings: &Settings, starter: i32) -> anyhow::Result<()> {
    if settings.lifetime == Lifetime::OfParent {
        end_with_parent(getppid() == Pid::from_raw(starter))?;
    }
    setsid().context("cannot leave the terminal")?;
    let listener = control::listen(&settings.name)
        .with_context(|| format!("a playground named {:?} is running already", settings.name))?;
    Ground::open()?;
    let mut init = Command::new(MYSELF)
        .arg0("subctl")
        .args(["playground", "init", &serde_json::to_string(settings)?, &getpid().to_string()])
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start the first process of the playground")?;
    if settings.lifetime == Lifetime::Detached {
        wait_for_leave_to_stay(&mut init)?;
    }
    let status = init.wait().context("the first process of the playground")?;
    if !status.success() {
        bail!("the playground ended ({status})");
    }
    Ok(())
}

/// Waits until the starter says that the playground stays, or the init ended; an error if the starter went without a word.
///
/// This polls, because with its PID namespace changed a process can have no second thread.
fn wait_for_leave_to_stay(init: &mut Child) -> anyhow::Result<()> {
    let mut stdin = std::io::stdin();
    while init.try_wait().context("the first process of the playground")?.is_none() {
        let mut starter = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        if poll(&mut starter, 100_u8).context("the starter of the playground")? == 0 {
            continue;
        }
        if stdin.read(&mut [0]).context("the starter of the playground")? == 0 {
            bail!("the process that started the playground is gone before it was ready");
        }
        break;
    }
    Ok(())
}

/// Makes the calling process end with its parent, which must still be there.
pub(crate) fn end_with_parent(parent_is_there: bool) -> anyhow::Result<()> {
    set_pdeathsig(Signal::SIGKILL).context("cannot ask to end with the parent process")?;
    if !parent_is_there {
        bail!("the process that started this one is gone");
    }
    Ok(())
}

/// Ends a playground and waits until its processes are gone.
pub(crate) fn stop(client: &mut Client) -> anyhow::Result<()> {
    let holder = client.holder()?;
    // The answer may be cut off by the very end that was asked for.
    let _answer = client.ask(&Request::Down, drop);
    let deadline = Instant::now() + GONE_WITHIN;
    while kill(holder, None).is_ok() && !is_zombie(holder) {
        if Instant::now() > deadline {
            bail!("the playground does not end: `kill -9 {holder}` ends it at once");
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A child of this process stays in the list of processes until it was waited for.
fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}

/// Writes to standard error, which nobody may be reading any more.
pub(crate) fn complain(text: &str) {
    let _nobody_reads = writeln!(std::io::stderr(), "{text}");
}
