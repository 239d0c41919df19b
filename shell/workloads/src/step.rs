//! What a plan does: one request each.

use std::fmt;

use serde_json::{Value, json};
use subm_kube::Key;

use crate::object::{key, text, uid};
use crate::view::Kind;

/// One request that brings a cluster nearer to what it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What is done.
    pub verb: Verb,
    /// To an object of this kind.
    pub kind: Kind,
    /// Which; an object that is made may have no name yet.
    pub key: Key,
    /// The body of the request.
    pub body: Value,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Makes an object.
    Create,
    /// Replaces the version of an object that was seen.
    Replace,
    /// Replaces the status of the version that was seen.
    ReplaceStatus,
    /// Deletes exactly the object that was seen.
    Delete,
    /// Gives a Pod its node.
    Bind,
}

impl Step {
    pub(crate) fn create(kind: Kind, body: Value) -> Self {
        Self { verb: Verb::Create, kind, key: key(&body), body }
    }

    pub(crate) fn replace(kind: Kind, body: Value) -> Self {
        Self { verb: Verb::Replace, kind, key: key(&body), body }
    }

    /// The status of an object that was seen, where it differs.
    pub(crate) fn status(kind: Kind, seen: &Value, status: Value) -> Option<Self> {
        if seen["status"] == status {
            return None;
        }
        let mut body = seen.clone();
        body["status"] = status;
        Some(Self { verb: Verb::ReplaceStatus, kind, key: key(seen), body })
    }

    pub(crate) fn delete(kind: Kind, seen: &Value) -> Self {
        let body = json!({"preconditions": {"uid": uid(seen)}});
        Self { verb: Verb::Delete, kind, key: key(seen), body }
    }

    /// Deletes an object that nobody will end.
    pub(crate) fn delete_now(kind: Kind, seen: &Value) -> Self {
        let mut step = Self::delete(kind, seen);
        step.body["gracePeriodSeconds"] = json!(0);
        step
    }

    pub(crate) fn bind(pod: &Value, node: &str) -> Self {
        let body = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": text(pod, "/metadata/name"), "namespace": text(pod, "/metadata/namespace"), "uid": uid(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        Self { verb: Verb::Bind, kind: Kind::Pod, key: key(pod), body }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.verb {
            Verb::Create => "create",
            Verb::Replace => "replace",
            Verb::ReplaceStatus => "replace the status of",
            Verb::Delete => "delete",
            Verb::Bind => "bind",
        };
        write!(f, "{verb} {} {}", self.kind.name(), self.key)?;
        match self.verb {
            Verb::Bind => write!(f, " to {}", text(&self.body, "/target/name")),
            Verb::Create => f.write_str(text(&self.body, "/metadata/generateName")),
            Verb::Replace | Verb::ReplaceStatus | Verb::Delete => Ok(()),
        }
    }
}
