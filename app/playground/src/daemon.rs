//! The daemons: real processes on their nodes, started again when they end, as a kubelet does it.

mod environment;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use subm_lab::{Host, STATE_DIR};

use crate::api::{Apis, OPERATOR_NAMESPACE};
use crate::memory;
use crate::settings::Settings;
use crate::status::DaemonStatus;
use crate::topology::{Cluster, Node};
use crate::world::World;

pub(crate) use environment::preshared_key_file;

/// The first pause before a daemon is started again; it doubles while the daemon ends soon after its start.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A daemon that lived this long starts with the first pause again.
const SETTLED: Duration = Duration::from_secs(10);

/// The kinds of daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Gateway,
    RouteAgent,
}

impl Kind {
    /// The sub-command of the program, and the last part of the daemon's path.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::RouteAgent => "route-agent",
        }
    }

    /// The port of its metrics and readiness, on its node.
    pub(crate) const fn admin_port(self) -> u16 {
        match self {
            Self::Gateway => 32780,
            Self::RouteAgent => 32782,
        }
    }
}

/// One daemon on one node. Clones are handles to it.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    pub(crate) kind: Kind,
    pub(crate) node: Node,
    pub(crate) cluster: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    pid: Option<i32>,
    restarts: u32,
}

/// Every daemon by its path: `east/worker/route-agent`.
#[derive(Debug)]
pub(crate) struct Daemons(BTreeMap<String, Daemon>);

impl Daemons {
    /// Starts a route agent on every node and a gateway on gateway nodes.
    pub(crate) fn start(settings: &Settings, world: &World, apis: &Apis) -> anyhow::Result<Self> {
        let mut daemons = BTreeMap::new();
        for (cluster, node) in world.topology.nodes() {
            let kinds: &[Kind] =
                if node.gateway { &[Kind::Gateway, Kind::RouteAgent] } else { &[Kind::RouteAgent] };
            for &kind in kinds {
                let daemon =
                    Daemon { kind, node: node.clone(), cluster: cluster.name.clone(), state: Arc::default() };
                apis.of(&cluster.name)?.objects().create(daemon.pod())?;
                daemon.run(settings, cluster, (world.host(&node.name)?, apis))?;
                daemons.insert(daemon.path(), daemon);
            }
        }
        Ok(Self(daemons))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Daemon> {
        self.0.values()
    }
}

impl Daemon {
    /// What people call it.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}/{}", self.cluster, self.node.role, self.kind.name())
    }

    pub(crate) fn status(&self) -> DaemonStatus {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = state.pid.and_then(memory::of);
        DaemonStatus {
            path: self.path(),
            pid: state.pid,
            restarts: state.restarts,
            rss_anon_kib: memory.map(|(anonymous, _)| anonymous),
            vm_rss_kib: memory.map(|(_, all)| all),
        }
    }

    /// Ends it at once, as a crash would; it is started again.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGKILL)
    }

    /// Ends it as a kubelet does that replaces its Pod; it is started again.
    pub(crate) fn restart(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let Some(pid) = self.status().pid else { bail!("{} is not running", self.path()) };
        kill(Pid::from_raw(pid), signal).with_context(|| format!("{signal} to {}", self.path()))
    }

    /// What its DaemonSet's Pod looks like to those who look for it or label it.
    fn pod(&self) -> Value {
        let app = format!("submariner-{}", self.kind.name());
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": OPERATOR_NAMESPACE,
                "name": environment::pod_name(self.kind, &self.node),
                "labels": {"app": app},
            },
            "spec": {
                "nodeName": self.node.name,
                "hostNetwork": true,
                "containers": [{"name": app, "image": "submariner"}],
            },
        })
    }

    /// The end of its log, for a message.
    pub(crate) fn last_words(&self) -> String {
        const LINES: usize = 5;
        let log =
            fs::read_to_string(log_of(&self.cluster, &self.node.role, self.kind.name())).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        format!("--- {}, {} restarts\n{}", self.path(), self.status().restarts, last.join("\n"))
    }

    fn run(
        &self,
        settings: &Settings,
        cluster: &Cluster,
        (host, apis): (&Host, &Apis),
    ) -> anyhow::Result<()> {
        let environment = environment::of(self.kind, settings, (cluster, &self.node), apis)?;
        let log = log_of(&self.cluster, &self.node.role, self.kind.name());
        fs::create_dir_all(log.parent().unwrap_or(Path::new(STATE_DIR)))?;
        let program = settings.submariner.clone();
        let (kind, state, path) = (self.kind, Arc::clone(&self.state), self.path());
        host.spawn(&self.path(), move || {
            let start = || {
                let log = OpenOptions::new().create(true).append(true).open(&log)?;
                Command::new(&program)
                    .arg(kind.name())
                    .env_clear()
                    .envs(environment.iter().map(|(name, value)| (name, value)))
                    .stdin(Stdio::null())
                    .stdout(log.try_clone()?)
                    .stderr(log)
                    .spawn()
            };
            keep_running(&path, &state, start);
        })?;
        Ok(())
    }
}

/// Where a daemon's log lies, inside the playground.
pub(crate) fn log_of(cluster: &str, node: &str, daemon: &str) -> PathBuf {
    Path::new(STATE_DIR).join(cluster).join(format!("{node}-{daemon}.log"))
}

fn keep_running(path: &str, state: &Mutex<State>, mut start: impl FnMut() -> io::Result<Child>) -> ! {
    let mut pause = FIRST_PAUSE;
    loop {
        let begin = Instant::now();
        run_once(path, state, &mut start);
        if begin.elapsed() > SETTLED {
            pause = FIRST_PAUSE;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
        state.lock().unwrap_or_else(PoisonError::into_inner).restarts += 1;
    }
}

fn run_once(path: &str, state: &Mutex<State>, start: &mut impl FnMut() -> io::Result<Child>) {
    let set = |pid| state.lock().unwrap_or_else(PoisonError::into_inner).pid = pid;
    let end = start().and_then(|mut child| {
        set(i32::try_from(child.id()).ok());
        child.wait()
    });
    set(None);
    let end = end.map_or_else(|error| error.to_string(), |status| status.to_string());
    tracing::warn!(daemon = path, end, "a daemon does not run");
}
