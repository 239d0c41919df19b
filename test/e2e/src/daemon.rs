//! A daemon as a process of its own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, ensure};
use subm_lab::Host;

/// The kinds of daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `submariner gateway`.
    Gateway,
    /// `submariner route-agent`.
    RouteAgent,
}

impl Kind {
    /// The sub-command.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::RouteAgent => "route-agent",
        }
    }
}

/// A running daemon; it is killed when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a command line in a host with exactly this environment; what it says goes to a file.
    pub fn start(
        host: &Host,
        words: &[String],
        environment: &[(&'static str, String)],
        log: PathBuf,
    ) -> Result<Self> {
        let (program, arguments) = words.split_first().context("a command has a program")?;
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = host.enter(|| command.spawn())?.with_context(|| format!("cannot start {program}"))?;
        Ok(Self { child, log })
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails if it has ended.
    pub fn is_up(&mut self) -> Result<()> {
        let ended = self.ended()?;
        ensure!(ended.is_none(), "it ended with {ended:?}: {}", self.log());
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
