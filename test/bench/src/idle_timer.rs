//! The noise of the machine: how late a timer of a millisecond wakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use crate::record::Record;
use crate::samples::Samples;
use crate::{Bench, Programs};

/// The bench of the timer alone.
pub const BENCH: Bench =
    Bench { name: "idle-timer", about: "how late a timer wakes while nothing else is measured", run };

const PERIOD: Duration = Duration::from_millis(1);
const QUIET: Duration = Duration::from_secs(3);

/// A thread that does nothing but wake, until it is stopped.
pub struct IdleTimer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

impl IdleTimer {
    /// Starts the thread.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut late = Vec::new();
            while !seen.load(Ordering::Relaxed) {
                let start = Instant::now();
                thread::sleep(PERIOD);
                late.push(start.elapsed().saturating_sub(PERIOD));
            }
            late
        });
        Self { stop, thread }
    }

    /// The noise while a bench ran, under its name.
    pub fn stop(self, bench: &str) -> Result<[Record; 2]> {
        let late = self.finish()?;
        Ok([
            Record::new(format!("{bench}/noise-p99"), late.percentile(99), "ms"),
            Record::new(format!("{bench}/noise-max"), late.max(), "ms"),
        ])
    }

    fn finish(self) -> Result<Samples> {
        self.stop.store(true, Ordering::Relaxed);
        let late = self.thread.join().map_err(|_| anyhow!("the idle timer broke"))?;
        Samples::of_milliseconds(late).context("the idle timer never woke")
    }
}

fn run(_: &Programs) -> Result<Vec<Record>> {
    let timer = IdleTimer::start();
    thread::sleep(QUIET);
    let late = timer.finish()?;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand wake-ups")]
    let wakes = late.len() as f64;
    Ok(vec![
        Record::new("idle-timer/wakes", wakes, "count"),
        Record::new("idle-timer/late-median", late.median(), "ms"),
    ])
}
