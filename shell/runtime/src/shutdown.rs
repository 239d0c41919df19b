//! The end of a daemon: asked for by a signal, given a deadline, and never a reason to undo anything.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::Task;

/// Tells everyone who holds a copy that the daemon is to end.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Asked for by SIGTERM or SIGINT; a second signal ends the process at once.
    pub fn on_signal() -> io::Result<Self> {
        let shutdown = Self::default();
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let asked = shutdown.clone();
        tokio::spawn(async move {
            while !asked.is_requested() {
                let name = heard(&mut terminate, &mut interrupt).await;
                info!(signal = name, "ending; what is in the kernel stays");
                asked.request();
            }
            let name = heard(&mut terminate, &mut interrupt).await;
            warn!(signal = name, "second signal, ending at once");
            std::process::exit(1);
        });
        Ok(shutdown)
    }

    /// Asks for the end.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Tells whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until the end is asked for.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }
}

async fn heard(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Gives tasks until the deadline to end by themselves, then ends those that did not.
pub async fn drain(tasks: Vec<Task>, deadline: Duration) {
    let deadline = Instant::now() + deadline;
    for mut task in tasks {
        if timeout_at(deadline, task.finished()).await.is_err() {
            warn!(task = task.name(), "did not end in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn drain_waits_for_those_that_end_and_no_longer_than_the_deadline() {
        let shutdown = Shutdown::default();
        let (asked, (done, mut finished)) = (shutdown.clone(), tokio::sync::mpsc::channel(1));
        let willing = Task::spawn("willing", async move {
            asked.requested().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            done.send("finished").await.unwrap();
        });
        let stubborn = Task::spawn("stubborn", std::future::pending::<()>());
        shutdown.request();
        let start = Instant::now();
        drain(vec![willing, stubborn], Duration::from_secs(1)).await;
        assert_eq!(finished.recv().await, Some("finished"));
        assert!(start.elapsed() >= Duration::from_secs(1));
    }
}
