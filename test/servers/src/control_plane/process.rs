//! A program that runs until it is dropped, or until the test itself is gone.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, ensure};

/// The running program.
pub(super) struct Process {
    name: String,
    log: PathBuf,
    /// Dropped first, which tells the thread to end the program.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a program; what it says goes to a file.
    pub(super) fn start(program: &Path, arguments: Vec<String>, log: PathBuf) -> Result<Self> {
        let said = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        // KERNEL: this death signal comes when the thread ends that started the program, so that thread stays.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let (stop, stopped) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || hold(command, &tell, &stopped));
        let started = told.recv().context("the thread of a process has ended")?;
        started.with_context(|| format!("cannot start {}", program.display()))?;
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, log, stop: Some(stop), thread: Some(thread) })
    }

    /// Fails with its last words where it has ended.
    pub(super) fn still_runs(&self) -> Result<()> {
        let ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        ensure!(!ended, "{} has ended: {}", self.name, self.last_words());
        Ok(())
    }

    /// What it has said last.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
    }
}

fn hold(mut command: Command, tell: &mpsc::Sender<std::io::Result<()>>, stopped: &mpsc::Receiver<()>) {
    let mut child: Child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            // Whoever asked waits for this.
            let _gone = tell.send(Err(error));
            return;
        }
    };
    let _gone = tell.send(Ok(()));
    loop {
        let told = stopped.recv_timeout(std::time::Duration::from_millis(200));
        let ended = child.try_wait().is_ok_and(|status| status.is_some());
        if ended || told != Err(mpsc::RecvTimeoutError::Timeout) {
            break;
        }
    }
    let _ended_before = child.kill();
    let _reaped = child.wait();
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}
