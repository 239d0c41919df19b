//! What happened to an object, encoded at most once for all who watch.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::store::Object;

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The object is new.
    Added,
    /// The object changed.
    Modified,
    /// The object is gone.
    Deleted,
}

impl Change {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One entry of the history of a kind.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub change: Change,
    /// The object after it; of a deleted one the last state, with the version of the deletion.
    pub object: Arc<Object>,
    /// The object before it.
    pub previous: Option<Arc<Object>>,
    line: OnceLock<Bytes>,
}

impl Event {
    pub(crate) fn new(change: Change, object: Arc<Object>, previous: Option<Arc<Object>>) -> Self {
        Self { change, object, previous, line: OnceLock::new() }
    }

    /// The line that a watch without selectors sends.
    pub fn line(&self) -> &Bytes {
        self.line.get_or_init(|| line(self.change.word(), self.object.json()))
    }
}

/// A watch line of any type around any object.
pub(crate) fn line(word: &str, object: &[u8]) -> Bytes {
    [br#"{"type":""#, word.as_bytes(), br#"","object":"#, object, b"}\n"].concat().into()
}
