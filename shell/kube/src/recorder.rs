//! Events (core/v1): what people see in `kubectl describe`, each thing told once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::{ApiError, Connection, Key, Writer};

/// The same thing is told again after this, with how often it happened.
const AGAIN: Duration = Duration::from_mins(5);
/// No more different things than this are remembered.
const MEMORY: usize = 256;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Information.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Something that happened to an object.
#[derive(Debug, Clone)]
pub struct Note {
    /// The object.
    pub about: ObjectReference,
    /// How bad it is.
    pub severity: Severity,
    /// A CamelCase word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// Writes Events.
#[derive(Debug)]
pub struct Recorder {
    writer: Writer,
    source: EventSource,
    told: Mutex<BTreeMap<String, Told>>,
}

#[derive(Debug, Clone)]
struct Told {
    first: Timestamp,
    count: i32,
    /// When somebody was told last.
    written: Option<Instant>,
}

/// How Events and owners refer to an object.
pub fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: object.meta().name.clone(),
        namespace: object.meta().namespace.clone(),
        uid: object.meta().uid.clone(),
        ..ObjectReference::default()
    }
}

impl Recorder {
    /// Writes Events as a component (`submariner-gateway`) of a host.
    pub fn new(connection: &Connection, component: &'static str, host: &str) -> Self {
        let source = EventSource { component: Some(component.to_owned()), host: Some(host.to_owned()) };
        Self { writer: Writer::new(connection, component), source, told: Mutex::default() }
    }

    /// Tells of something. The same thing within five minutes is only counted.
    pub async fn record(&self, note: &Note) -> Result<(), ApiError> {
        let home = &self.writer.connection().namespace;
        let key = Key::new(note.about.namespace.as_ref().unwrap_or(home), name(note, &self.source));
        let Some(told) = self.count(&key) else { return Ok(()) };
        let severity = match note.severity {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        };
        let event = Event {
            metadata: ObjectMeta {
                name: Some(key.name.clone()),
                namespace: Some(key.namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: note.about.clone(),
            reason: Some(note.reason.clone()),
            message: Some(note.message.chars().take(1024).collect()),
            type_: Some(severity.to_owned()),
            source: Some(self.source.clone()),
            reporting_component: self.source.component.clone(),
            reporting_instance: self.source.host.clone(),
            first_timestamp: Some(Time(told.first)),
            last_timestamp: Some(Time(Timestamp::now())),
            count: Some(told.count),
            ..Event::default()
        };
        let written = self.writer.apply(&event, None).await.map(drop);
        if written.is_err() {
            self.forget(&key);
        }
        written
    }

    /// Lets a thing be told the next time that it happens, because nobody was told of it.
    fn forget(&self, key: &Key) {
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = all.get_mut(&key.name) {
            told.written = None;
        }
    }

    /// Counts one more, and says what to write if it is time.
    fn count(&self, key: &Key) -> Option<Told> {
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(told) = all.get_mut(&key.name) {
            told.count = told.count.saturating_add(1);
            if told.written.is_some_and(|written| now < written + AGAIN) {
                return None;
            }
            told.written = Some(now);
            return Some(told.clone());
        }
        if all.len() >= MEMORY {
            let oldest = all.iter().min_by_key(|(_, told)| told.written).map(|(name, _)| name.clone());
            oldest.and_then(|name| all.remove(&name));
        }
        let told = Told { first: Timestamp::now(), count: 1, written: Some(now) };
        all.insert(key.name.clone(), told.clone());
        Some(told)
    }
}

/// The same thing has the same name, also after a restart.
fn name(note: &Note, source: &EventSource) -> String {
    let about = note.about.name.as_deref().unwrap_or("unknown");
    let parts = [
        note.about.uid.as_deref().unwrap_or_default(),
        source.host.as_deref().unwrap_or_default(),
        &note.reason,
        &note.message,
    ];
    let digest = Sha256::digest(parts.join("\n"));
    let digest = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let about: String = about.chars().take(200).collect();
    format!("{about}.{digest:016x}")
}
