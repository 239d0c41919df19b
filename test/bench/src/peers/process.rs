//! A program that runs on a host until it is dropped, or until the bench itself is gone.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use subm_lab::{Host, LabError};

/// The running program.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    log: PathBuf,
    /// Dropped first, which tells the thread to end the program.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<Result<(), LabError>>>,
}

impl Process {
    /// Starts a program in a host; what it says goes to a file.
    pub fn start(host: &Host, program: &Path, arguments: &[&str], log: PathBuf) -> Result<Self> {
        let said = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        // KERNEL: this death signal comes when the thread ends that started the program, so that thread stays.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        // Some end with their standard input; it stays open until they are to end.
        command.stdin(Stdio::piped()).stdout(said.try_clone()?).stderr(said);
        let (stop, stopped) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let thread = host.spawn("process", move || hold(command, &tell, &stopped))?;
        let started = told.recv().context("the thread of a process has ended")?;
        let pid = started.with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { pid, log, stop: Some(stop), thread: Some(thread) })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has said last.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
    }
}

fn hold(mut command: Command, tell: &mpsc::Sender<std::io::Result<u32>>, stopped: &mpsc::Receiver<()>) {
    let mut child: Child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            // Whoever asked waits for this.
            let _gone = tell.send(Err(error));
            return;
        }
    };
    let _gone = tell.send(Ok(child.id()));
    // Ends with an error, when the other half is dropped.
    let _dropped = stopped.recv();
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
