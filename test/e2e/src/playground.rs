//! A playground that was brought up by the program.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use subm_lab::{Host, NETNS_DIR, STATE_DIR};

/// A running playground; it is taken down when this is dropped.
#[derive(Debug)]
pub struct Playground {
    subctl: Vec<String>,
    name: String,
    init: i32,
    ended: bool,
}

/// What `status -o json` tells, as far as it is used here.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// The first process, as seen from outside.
    pub init: i32,
    /// From the start until everything was ready.
    pub ready_after_ms: Option<u64>,
    /// The daemons.
    pub daemons: Vec<DaemonStatus>,
}

/// A daemon.
#[derive(Debug, Clone, Deserialize)]
pub struct DaemonStatus {
    /// Such as `east/gateway/route-agent`.
    pub path: String,
    /// Its number inside, while it runs.
    pub pid: Option<i32>,
    /// How often it was started again.
    pub restarts: u32,
    /// Memory of its own, in KiB.
    pub rss_anon_kib: Option<u64>,
    /// All memory that it has mapped and touched, in KiB.
    pub vm_rss_kib: Option<u64>,
}

impl Playground {
    /// Brings one up under a name of its own.
    pub fn up(subctl: &Path, arguments: &[&str]) -> Result<Self> {
        Self::up_by(&[&subctl.display().to_string()], arguments)
    }

    /// Brings one up by a command line that ends with the path of subctl.
    pub fn up_by(subctl: &[&str], arguments: &[&str]) -> Result<Self> {
        let mut playground = Self::named(subctl);
        playground.said(playground.command(&["up"]).args(arguments))?;
        playground.init = playground.status()?.init;
        Ok(playground)
    }

    /// One that is not brought up yet.
    pub fn named(subctl: &[&str]) -> Self {
        // One process may have several.
        static NAMED: AtomicU32 = AtomicU32::new(0);
        let number = NAMED.fetch_add(1, Ordering::Relaxed);
        let subctl = subctl.iter().map(|&word| word.to_owned()).collect();
        Self { subctl, name: format!("e2e-{}-{number}", std::process::id()), init: 0, ended: false }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `subctl playground --name … WORDS`, with nothing on its standard input.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.subctl[0]);
        command.args(&self.subctl[1..]).args(["playground", "--name", &self.name]).args(words);
        command.env_remove("SUBCTL_PLAYGROUND").stdin(Stdio::null());
        command
    }

    /// Runs a program in a place and tells how it went.
    pub fn exec<S: AsRef<OsStr>>(&self, place: &str, words: &[S]) -> Result<Output> {
        let mut command = self.command(&["exec", place, "--"]);
        command.args(words).output().context("cannot start subctl")
    }

    /// Runs a program in a place and tells what it printed; it must end well.
    pub fn ask<S: AsRef<OsStr>>(&self, place: &str, words: &[S]) -> Result<String> {
        self.said(self.command(&["exec", place, "--"]).args(words))
    }

    /// How it is.
    pub fn status(&self) -> Result<Status> {
        let text = self.said(&mut self.command(&["status", "-o", "json"]))?;
        serde_json::from_str(&text).context("the status is odd")
    }

    /// A node, pod or API server's place by the name of its namespace: `east-worker`, `west-gateway-pod-1`, `hub`.
    pub fn host(&self, name: &str) -> Result<Host> {
        Ok(Host::open(name, &self.file(NETNS_DIR).join(name))?)
    }

    /// A file inside, as it is reached from here.
    pub fn file(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    /// The administrator's kubeconfig of a cluster or the hub.
    pub fn kubeconfig(&self, api: &str) -> PathBuf {
        self.file(STATE_DIR).join(format!("{api}.kubeconfig"))
    }

    /// Takes it down and waits until it is gone.
    pub fn down(mut self) -> Result<()> {
        self.ended = true;
        self.said(&mut self.command(&["down"])).map(drop)
    }

    /// Gives up the way to it: somebody else ended it, or will.
    pub fn forget(mut self) {
        self.ended = true;
    }

    fn said(&self, command: &mut Command) -> Result<String> {
        let output = command.output().with_context(|| format!("cannot start {}", self.subctl.join(" ")))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure!(
            output.status.success(),
            "{command:?} ended with {}: {}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        Ok(text(&output.stdout))
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        if !self.ended {
            // Whoever looks at what is left says so.
            let _ended = self.command(&["down"]).output();
        }
    }
}
