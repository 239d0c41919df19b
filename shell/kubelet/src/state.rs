//! How a container is.

use jiff::Timestamp;
use serde_json::{Value, json};

/// How a container is, and how it was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) now: Now,
    pub(crate) last: Option<Ended>,
    pub(crate) restarts: u32,
    pub(crate) ready: bool,
    pub(crate) started: bool,
    /// The process, while there is one.
    pub(crate) pid: Option<i32>,
    /// Nothing more will become of it.
    pub(crate) over: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Now {
    Waiting { reason: &'static str, message: String },
    Running { since: Timestamp },
    Ended(Ended),
}

/// The end of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) signal: Option<i32>,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
}

impl Default for State {
    fn default() -> Self {
        let now = Now::Waiting { reason: "ContainerCreating", message: String::new() };
        Self { now, last: None, restarts: 0, ready: false, started: false, pid: None, over: false }
    }
}

impl State {
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.now, Now::Running { .. })
    }

    /// The exit code of a run that is the last one.
    pub(crate) fn code(&self) -> Option<i32> {
        match &self.now {
            Now::Ended(ended) if self.over => Some(ended.code),
            Now::Ended(_) | Now::Waiting { .. } | Now::Running { .. } => None,
        }
    }

    /// As it stands in a Pod's status.
    pub(crate) fn shown(&self, pod: &Value, container: &Value) -> Value {
        let image = &container["image"];
        let id = |run: u32| {
            format!(
                "process://{}/{}/{run}",
                pod["metadata"]["uid"].as_str().unwrap_or_default(),
                container["name"].as_str().unwrap_or_default()
            )
        };
        let state = match &self.now {
            Now::Waiting { reason, message } if message.is_empty() => json!({"waiting": {"reason": reason}}),
            Now::Waiting { reason, message } => json!({"waiting": {"reason": reason, "message": message}}),
            Now::Running { since } => json!({"running": {"startedAt": written(*since)}}),
            Now::Ended(ended) => json!({"terminated": ended.shown(&id(self.restarts))}),
        };
        let last = self.last.as_ref().map_or_else(
            || json!({}),
            |last| json!({"terminated": last.shown(&id(self.restarts.saturating_sub(u32::from(self.is_running()))))}),
        );
        let mut shown = json!({
            "name": container["name"],
            "image": image,
            "imageID": image,
            "ready": self.ready,
            "started": self.started,
            "restartCount": self.restarts,
            "state": state,
            "lastState": last,
        });
        if self.is_running() || self.last.is_some() || matches!(self.now, Now::Ended(_)) {
            shown["containerID"] = json!(id(self.restarts));
        }
        shown
    }
}

impl Ended {
    fn shown(&self, id: &str) -> Value {
        let mut shown = json!({
            "exitCode": self.code,
            "reason": self.reason,
            "startedAt": written(self.started),
            "finishedAt": written(self.finished),
            "containerID": id,
        });
        if let Some(signal) = self.signal {
            shown["signal"] = json!(signal);
        }
        if !self.message.is_empty() {
            shown["message"] = json!(self.message);
        }
        shown
    }
}

/// A time as Kubernetes writes it: whole seconds.
pub(crate) fn written(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}
