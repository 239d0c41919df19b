//! What the playground is doing, for everyone who waits for it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far the playground is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Ready,
    Failed,
}

/// The lines said so far, and the phase. Clones are handles to one.
#[derive(Debug, Clone)]
pub(crate) struct Progress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    start: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    lines: Vec<String>,
    phase: Phase,
    ready_after: Option<Duration>,
}

impl Progress {
    pub(crate) fn start() -> Self {
        let state = State { lines: Vec::new(), phase: Phase::Starting, ready_after: None };
        Self(Arc::new(Shared { start: Instant::now(), state: Mutex::new(state), changed: Condvar::new() }))
    }

    /// Says one line.
    pub(crate) fn say(&self, line: impl Into<String>) {
        let line = format!("{:5.2} s  {}", self.0.start.elapsed().as_secs_f64(), line.into());
        tracing::info!(line, "progress");
        self.change(|state| state.lines.push(line));
    }

    /// Ends the start, one way or the other; the line says why or with what.
    pub(crate) fn end(&self, phase: Phase, line: String) {
        let after = self.0.start.elapsed();
        self.change(|state| {
            state.phase = phase;
            state.ready_after = (phase == Phase::Ready).then_some(after);
            state.lines.push(line);
        });
    }

    /// From the start until everything was ready.
    pub(crate) fn ready_after(&self) -> Option<Duration> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).ready_after
    }

    /// Waits for what comes after `seen` lines.
    pub(crate) fn next(&self, seen: usize) -> (Vec<String>, Phase) {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = |state: &mut State| state.lines.len() <= seen && state.phase == Phase::Starting;
        let state = self.0.changed.wait_while(state, quiet).unwrap_or_else(PoisonError::into_inner);
        (state.lines.get(seen..).unwrap_or_default().to_vec(), state.phase)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.notify_all();
    }
}
