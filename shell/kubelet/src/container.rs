//! The life of one container: from its manifest to a process, again and again.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use subm_kube::Severity;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::api::text;
use crate::exec::Place;
use crate::log;
use crate::pod::Context;
use crate::probe::{Probe, Purpose};
use crate::refusal::Refusal;
use crate::state::{Ended, Now, State};

mod prepare;
mod probing;

pub(crate) use prepare::Ready;
use probing::Found;

/// How a container is to end: within this time, if at all.
pub(crate) type Stop = watch::Receiver<Option<Duration>>;

/// One container of a Pod that lives.
pub(crate) struct Life {
    pub(crate) context: Arc<Context>,
    pub(crate) container: Value,
    /// Whether it runs before the others, and to its end.
    pub(crate) is_init: bool,
    pub(crate) stop: Stop,
    pub(crate) to: mpsc::UnboundedSender<(String, State)>,
    pub(crate) state: State,
}

/// A process and the news of its end.
struct Process {
    pid: i32,
    ended: oneshot::Receiver<std::io::Result<ExitStatus>>,
}

impl Life {
    fn name(&self) -> &str {
        text(&self.container, "/name")
    }

    fn tell(&self) {
        // Whoever listened is gone together with the Pod.
        let _gone = self.to.send((self.name().to_owned(), self.state.clone()));
    }

    /// Runs the container until it is to run no more.
    pub(crate) async fn run(mut self) {
        let mut pause = None;
        loop {
            let began = Instant::now();
            let mut last = false;
            match self.run_once().await {
                Ok(ended) => {
                    self.state.now = Now::Ended(ended.clone());
                    last = self.stop.borrow().is_some() || !self.runs_again(&ended);
                    self.state.last = Some(ended).filter(|_| !last).or(self.state.last.take());
                }
                Err(refusal) => {
                    self.context.note(Severity::Warning, "Failed", refusal.to_string());
                    self.wait(refusal.reason, refusal.message);
                }
            }
            if last {
                return self.finish();
            }
            let next = self.context.kubelet.settings.backoff.after(began.elapsed(), pause);
            pause = Some(next);
            self.back_off(next);
            if !self.rest(next).await {
                return self.finish();
            }
            self.state.restarts += u32::from(self.state.last.is_some());
        }
    }

    fn wait(&mut self, reason: &'static str, message: String) {
        self.state.now = Now::Waiting { reason, message };
        self.tell();
    }

    fn back_off(&mut self, pause: Duration) {
        match &self.state.now {
            Now::Ended(_) => {
                let message = format!(
                    "back-off {pause:?} restarting failed container={} pod={}",
                    self.name(),
                    self.context.shown()
                );
                self.tell();
                if self.state.restarts > 0 {
                    self.context.note(
                        Severity::Warning,
                        "BackOff",
                        "Back-off restarting failed container".to_owned(),
                    );
                }
                self.wait("CrashLoopBackOff", message);
            }
            Now::Waiting { reason: "ErrImagePull", message } => {
                let message = format!("Back-off pulling image {}: {message}", self.container["image"]);
                self.tell();
                self.wait("ImagePullBackOff", message);
            }
            Now::Waiting { .. } | Now::Running { .. } => {}
        }
    }

    /// Waits before the next run; false where there is to be none.
    async fn rest(&mut self, pause: Duration) -> bool {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = sleep(pause) => self.stop.borrow().is_none(),
            _ = stopped(&mut stop) => false,
        }
    }

    fn finish(mut self) {
        self.state.over = true;
        self.state.ready = false;
        self.state.pid = None;
        self.tell();
    }

    fn runs_again(&self, ended: &Ended) -> bool {
        let pod = self.context.pod.borrow();
        match (text(&pod, "/spec/restartPolicy"), self.is_init) {
            ("Never", _) => false,
            ("OnFailure", _) | (_, true) => ended.code != 0,
            _ => true,
        }
    }

    async fn run_once(&mut self) -> Result<Ended, Refusal> {
        let probes = Probe::of(&self.container)?;
        let ready = prepare::prepare(&self.context, &self.container).await?;
        let started = Timestamp::now();
        let mut process = self.start(&ready)?;
        let host = self.context.network.host.clone();
        let place =
            Place { host, ready: ready.clone(), pid: Some(process.pid), restarts: self.state.restarts };
        self.context.kubelet.remember(&self.context, self.name(), place);
        let waits = |purpose| probes.iter().any(|probe| probe.purpose == purpose);
        self.state.now = Now::Running { since: started };
        self.state.started = !waits(Purpose::Startup);
        self.state.ready = self.state.started && !waits(Purpose::Readiness);
        self.state.pid = Some(process.pid);
        self.tell();
        self.context.note(Severity::Normal, "Started", format!("Started container {}", self.name()));
        let status = self.attend(&mut process, &probes, &ready).await;
        self.context.kubelet.forget(&self.context, self.name());
        self.state.pid = None;
        self.state.ready = false;
        self.state.started = false;
        // Whatever it left behind goes with it.
        let _none_left = killpg(Pid::from_raw(process.pid), Signal::SIGKILL);
        let status = status.map_err(Refusal::create)?;
        Ok(ended(status, started, &ready))
    }

    fn start(&self, ready: &Ready) -> Result<Process, Refusal> {
        let kubelet = &self.context.kubelet;
        let path = log::file(&self.context.log_folder(), self.name(), self.state.restarts);
        let open = || {
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            let (words, voice) = std::io::pipe()?;
            Ok((File::options().create(true).append(true).open(&path)?, words, voice))
        };
        let (file, words, voice) = open().map_err(|error: std::io::Error| Refusal::create(error))?;
        let runs = || -> std::io::Result<_> {
            let mut command = ready.command(&kubelet.settings.runtime)?;
            command.stdin(Stdio::null()).stdout(voice.try_clone()?).stderr(voice.try_clone()?);
            kubelet.children.start(&mut command)
        };
        let child = self.context.network.host.enter(runs).map_err(Refusal::create)?;
        let mut child = child.map_err(Refusal::create)?;
        drop(voice);
        let pid = i32::try_from(child.id()).map_err(Refusal::create)?;
        let (tell, ended) = oneshot::channel();
        let children = kubelet.children.clone();
        let thread = |name: &str| std::thread::Builder::new().name(format!("{name}-{pid}"));
        thread("log").spawn(move || log::record(words, file)).map_err(Refusal::create)?;
        let wait = move || {
            // Nobody waits any more where the kubelet itself ends.
            let _unheard = tell.send(children.wait(&mut child));
        };
        thread("wait").spawn(wait).map_err(Refusal::create)?;
        Ok(Process { pid, ended })
    }

    /// Watches over a process until it ended.
    async fn attend(
        &mut self,
        process: &mut Process,
        probes: &[Probe],
        ready: &Ready,
    ) -> std::io::Result<ExitStatus> {
        let (tell, mut news) = mpsc::channel(8);
        let mut probing = JoinSet::new();
        let (started, starts) = watch::channel(self.state.started);
        for probe in probes {
            let probe = (probe.clone(), ready.clone());
            probing.spawn(probing::go_on(Arc::clone(&self.context), probe, starts.clone(), tell.clone()));
        }
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                status = &mut process.ended => return heard(status),
                grace = stopped(&mut stop) => {
                    let message = format!("Stopping container {}", self.name());
                    self.context.note(Severity::Normal, "Killing", message);
                    return end(process, grace).await;
                }
                Some(found) = news.recv() => {
                    let waits = probes.iter().any(|probe| probe.purpose == Purpose::Readiness);
                    if self.learn(found, waits) == Verdict::Unfit {
                        return end(process, self.context.grace()).await;
                    }
                    started.send_replace(self.state.started);
                }
            }
        }
    }

    /// Takes in what a probe found.
    fn learn(&mut self, found: Found, waits: bool) -> Verdict {
        let Found { purpose, holds, wrong } = found;
        if let Some(reason) = wrong {
            let message = format!("{} probe failed: {reason}", purpose.word());
            self.context.note(Severity::Warning, "Unhealthy", message);
        }
        match (purpose, holds) {
            (_, None) | (Purpose::Liveness, Some(true)) => return Verdict::Fit,
            (Purpose::Startup, Some(true)) => {
                self.state.started = true;
                self.state.ready = !waits;
            }
            (Purpose::Readiness, Some(holds)) => self.state.ready = holds,
            (Purpose::Liveness | Purpose::Startup, Some(false)) => {
                let word = purpose.word().to_lowercase();
                let message = format!("Container {} failed {word} probe, will be restarted", self.name());
                self.context.note(Severity::Normal, "Killing", message);
                return Verdict::Unfit;
            }
        }
        self.tell();
        Verdict::Fit
    }
}

/// How a run ended; what could not be started says so in its report.
fn ended(status: ExitStatus, started: Timestamp, ready: &Ready) -> Ended {
    let finished = Timestamp::now();
    let told = fs::read_to_string(&ready.cell.report).unwrap_or_default();
    if !told.is_empty() {
        return Ended { code: 128, signal: None, reason: "StartError", message: told, started, finished };
    }
    let signal = status.signal();
    let code = status.code().or_else(|| signal.map(|signal| 128 + signal)).unwrap_or(1);
    let reason = if code == 0 { "Completed" } else { "Error" };
    Ended { code, signal, reason, message: String::new(), started, finished }
}

/// Whether a container may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Fit,
    Unfit,
}

/// Waits until a container is to end, and tells within which time.
async fn stopped(stop: &mut Stop) -> Duration {
    stop.wait_for(Option::is_some).await.map(|grace| grace.unwrap_or_default()).unwrap_or_default()
}

fn heard(
    status: Result<std::io::Result<ExitStatus>, oneshot::error::RecvError>,
) -> std::io::Result<ExitStatus> {
    status.unwrap_or_else(|_| Err(std::io::Error::other("nobody waits for the process")))
}

/// Asks a process and its children to end, and ends them when the time is over.
async fn end(process: &mut Process, grace: Duration) -> std::io::Result<ExitStatus> {
    signal(process.pid, Signal::SIGTERM);
    if let Ok(status) = tokio::time::timeout(grace, &mut process.ended).await {
        return heard(status);
    }
    signal(process.pid, Signal::SIGKILL);
    heard((&mut process.ended).await)
}

fn signal(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid);
    // Before its first instruction a process has no group of its own; an error says that it ended.
    let _ended = killpg(pid, signal).or_else(|_| kill(pid, signal));
}
