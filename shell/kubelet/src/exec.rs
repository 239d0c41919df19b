//! Programs beside a container's: for `exec` and for probes.

use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use nix::pty::openpty;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, ttyname};
use subm_apiserver::{ExecOptions, Exit, Input, Output, Session};
use subm_lab::Host;
use tokio::sync::mpsc;

use crate::container::Ready;
use crate::pod::Context;
use crate::run::Inner;

/// So much is read at a time.
const PART: usize = 16 * 1024;

/// A container that something is run in.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) host: Host,
    pub(crate) ready: Ready,
    /// The process, while there is one.
    pub(crate) pid: Option<i32>,
    /// How often the container was started again.
    pub(crate) restarts: u32,
}

impl Place {
    /// What is started there instead of the container's own program.
    fn ready(&self, command: Vec<String>) -> Ready {
        let mut ready = self.ready.clone();
        ready.cell.mounts.clear();
        ready.cell.beside = self.pid;
        ready.cell.command = command;
        ready.cell.report.set_extension(format!("exec-{}", next_number()));
        ready
    }
}

/// Names of reports must differ; this need not be a secret.
fn next_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn start(
    kubelet: &Inner,
    place: &Place,
    ready: &Ready,
    furnish: impl FnOnce(&mut Command) + Send,
) -> Result<Child, String> {
    let runs = || {
        let mut command = ready.command(&kubelet.settings.runtime)?;
        furnish(&mut command);
        kubelet.children.start(&mut command)
    };
    let child = place.host.enter(runs).map_err(|error| error.to_string())?;
    child.map_err(|error| error.to_string())
}

/// How a program ended; what its report says comes first.
fn exit(kubelet: &Inner, child: &mut Child, ready: &Ready) -> Exit {
    let status = kubelet.children.wait(child);
    let told = std::fs::read_to_string(&ready.cell.report).unwrap_or_default();
    // It is there only where the program got as far as that.
    let _none = std::fs::remove_file(&ready.cell.report);
    match status {
        _ if !told.is_empty() => Exit::Failed(told),
        Ok(status) => {
            Exit::Code(status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1))
        }
        Err(error) => Exit::Failed(error.to_string()),
    }
}

/// Runs a probe's program; an error says how it failed.
pub(crate) async fn probe(
    context: &Arc<Context>,
    ready: &Ready,
    command: Vec<String>,
    limit: Duration,
) -> Result<(), String> {
    let kubelet = Arc::clone(&context.kubelet);
    let place = kubelet.place_of(&ready.cell.report).filter(|place| place.pid.is_some());
    let place = place.ok_or("the container does not run")?;
    let ready = place.ready(command);
    let mut child = start(&kubelet, &place, &ready, |command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    })?;
    let pid = i32::try_from(child.id()).map_err(|error| error.to_string())?;
    let wait = tokio::task::spawn_blocking(move || exit(&kubelet, &mut child, &ready));
    match tokio::time::timeout(limit, wait).await {
        Ok(Ok(Exit::Code(0))) => Ok(()),
        Ok(Ok(Exit::Code(code))) => Err(format!("command exited with {code}")),
        Ok(Ok(Exit::Failed(why))) => Err(why),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => {
            // It may have ended just now.
            let _ended = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            Err(format!("command timed out after {} s", limit.as_secs()))
        }
    }
}

/// Runs a program for somebody who talks to it.
pub(crate) fn run(kubelet: &Arc<Inner>, place: &Place, options: ExecOptions) -> Result<Session, String> {
    let (input, told) = mpsc::channel(16);
    let (say, output) = mpsc::channel(16);
    let mut ready = place.ready(options.command);
    let words = if options.tty {
        with_terminal(kubelet, place, &mut ready, (told, say.clone()))?
    } else {
        with_pipes(kubelet, place, &ready, options.stdin, (told, say.clone()))?
    };
    let (mut child, readers) = words;
    let kubelet = Arc::clone(kubelet);
    thread::Builder::new()
        .name("exec".to_owned())
        .spawn(move || {
            let exit = exit(&kubelet, &mut child, &ready);
            // Everything that it said comes before its end.
            for reader in readers {
                drop(reader.join());
            }
            let _gone = say.blocking_send(Output::End(exit));
        })
        .map_err(|error| error.to_string())?;
    Ok(Session { input, output })
}

type Ends = (mpsc::Receiver<Input>, mpsc::Sender<Output>);
type Started = (Child, Vec<thread::JoinHandle<()>>);

fn with_pipes(
    kubelet: &Inner,
    place: &Place,
    ready: &Ready,
    stdin: bool,
    ends: Ends,
) -> Result<Started, String> {
    let (told, say) = ends;
    let mut child = start(kubelet, place, ready, |command| {
        command.stdin(if stdin { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    })?;
    if let Some(to) = child.stdin.take() {
        spawn("exec-in", move || feed(told, &File::from(OwnedFd::from(to))))?;
    } else {
        hold(told, child.id())?;
    }
    let mut readers = Vec::new();
    if let Some(from) = child.stdout.take() {
        let say = say.clone();
        readers.push(spawn("exec-out", move || pass(from, &say, Output::Out))?);
    }
    if let Some(from) = child.stderr.take() {
        readers.push(spawn("exec-err", move || pass(from, &say, Output::Err))?);
    }
    Ok((child, readers))
}

fn with_terminal(kubelet: &Inner, place: &Place, ready: &mut Ready, ends: Ends) -> Result<Started, String> {
    let (told, say) = ends;
    let pair = openpty(None, None).map_err(|error| format!("a terminal: {error}"))?;
    ready.cell.terminal = Some(ttyname(&pair.slave).map_err(|error| format!("a terminal: {error}"))?);
    ready.environment.entry("TERM".to_owned()).or_insert_with(|| "xterm".to_owned());
    let child = start(kubelet, place, ready, |command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    })?;
    let master = File::from(pair.master);
    let writer = master.try_clone().map_err(|error| error.to_string())?;
    spawn("exec-in", move || feed(told, &writer))?;
    let reader = spawn("exec-out", move || {
        // KERNEL: without an open end on its side a terminal fails before the program opens it.
        let _slave = pair.slave;
        pass(master, &say, Output::Out);
    })?;
    drop(reader);
    Ok((child, Vec::new()))
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>, String> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|error| error.to_string())
}

/// Hands on what somebody says, until nobody does.
fn feed(mut told: mpsc::Receiver<Input>, mut to: &File) {
    while let Some(input) = told.blocking_recv() {
        match input {
            Input::Bytes(bytes) => {
                if to.write_all(&bytes).is_err() {
                    return;
                }
            }
            Input::End => return,
            Input::Size(columns, rows) => resize(to, columns, rows),
        }
    }
}

fn resize(terminal: &File, columns: u16, rows: u16) {
    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // A pipe has no size.
    let _no_terminal = rustix::termios::tcsetwinsize(terminal.as_fd(), size);
}

/// A program that reads nothing ends when nobody listens to it any more.
fn hold(mut told: mpsc::Receiver<Input>, pid: u32) -> Result<(), String> {
    let pid = i32::try_from(pid).map_err(|error| error.to_string())?;
    spawn("exec-in", move || {
        while told.blocking_recv().is_some() {}
        // It may have ended long ago: its number is not given out again so soon.
        let _ended = killpg(Pid::from_raw(pid), Signal::SIGHUP);
    })
    .map(drop)
}

fn pass(mut from: impl Read, say: &mpsc::Sender<Output>, wrap: fn(Bytes) -> Output) {
    let mut part = vec![0; PART];
    while let Ok(length) = from.read(&mut part) {
        if length == 0 || say.blocking_send(wrap(Bytes::copy_from_slice(&part[..length]))).is_err() {
            return;
        }
    }
}
