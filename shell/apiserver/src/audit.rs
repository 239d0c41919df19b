//! The audit log: one line of JSON per request, who did what to what and how it ended, never what was in it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use jiff::Timestamp;
use serde_json::{Value, json};

/// A file of this size is put aside as `.1` and a new one begun.
const LARGEST: u64 = 100 * 1024 * 1024;
/// More lines than this do not wait for a slow disk: requests do.
const WAITING: usize = 10_000;

/// Where the lines go.
#[derive(Debug)]
pub struct AuditLog {
    lines: Option<mpsc::SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
}

/// A request from its beginning on.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) received: Timestamp,
    pub(crate) uri: String,
    pub(crate) verb: String,
    pub(crate) user: Value,
    pub(crate) acts_as: Option<Value>,
    pub(crate) source: Option<String>,
    pub(crate) agent: String,
    pub(crate) object: Option<Value>,
    pub(crate) decision: Option<String>,
    /// What admission policies add.
    pub(crate) annotations: Vec<(String, String)>,
}

impl AuditLog {
    /// Appends to a file that only its owner can read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut out = Out::open(path)?;
        let (lines, received) = mpsc::sync_channel::<String>(WAITING);
        let work = move || out.write_until_closed(&received);
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(work)?;
        Ok(Self { lines: Some(lines), thread: Some(thread) })
    }

    pub(crate) fn tell(&self, id: &str, entry: Entry, code: u16) {
        let line = entry.event(id, code, Timestamp::now()).to_string();
        if let Some(lines) = &self.lines {
            // The thread ends only with the server.
            let _ended = lines.send(line);
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            // A panic was told when it happened.
            let _panicked = thread.join();
        }
    }
}

struct Out {
    path: PathBuf,
    file: BufWriter<File>,
    size: u64,
}

impl Out {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), size })
    }

    fn write_until_closed(&mut self, received: &mpsc::Receiver<String>) {
        while let Ok(line) = received.recv() {
            // What waits goes out together.
            if let Err(error) = self.write_all(std::iter::once(line).chain(received.try_iter())) {
                tracing::error!(%error, "cannot write the audit log");
            }
        }
    }

    fn write_all(&mut self, lines: impl Iterator<Item = String>) -> io::Result<()> {
        for line in lines {
            self.write(&line)?;
        }
        self.file.flush()
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.size > LARGEST {
            self.file.flush()?;
            let mut aside = self.path.clone().into_os_string();
            aside.push(".1");
            std::fs::rename(&self.path, aside)?;
            *self = Self::open(&self.path.clone())?;
        }
        self.size += line.len() as u64 + 1;
        writeln!(self.file, "{line}")
    }
}

impl Entry {
    fn event(self, id: &str, code: u16, now: Timestamp) -> Value {
        let time = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let mut event = json!({
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": id,
            "stage": "ResponseComplete",
            "requestURI": self.uri,
            "verb": self.verb,
            "user": self.user,
            "userAgent": self.agent,
            "responseStatus": {"metadata": {}, "code": code},
            "requestReceivedTimestamp": time(self.received),
            "stageTimestamp": time(now),
        });
        let optional = [
            ("impersonatedUser", self.acts_as),
            ("sourceIPs", self.source.map(|source| json!([source]))),
            ("objectRef", self.object),
        ];
        for (field, value) in optional {
            if let Some(value) = value {
                event[field] = value;
            }
        }
        if let Some(reason) = self.decision {
            event["annotations"] = json!({
                "authorization.k8s.io/decision": if code == 403 { "forbid" } else { "allow" },
                "authorization.k8s.io/reason": reason,
            });
        }
        for (key, value) in self.annotations {
            event["annotations"][key] = json!(value);
        }
        event
    }
}
