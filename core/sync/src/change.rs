//! What the synchronisation decides.

use subm_api::{Cluster, Endpoint};
use subm_types::Problem;

use crate::trust::HubTrust;

/// The kinds that are synchronised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A member and its networks.
    Cluster,
    /// An end of a cable.
    Endpoint,
}

/// An object to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// A member and its networks.
    Cluster(Cluster),
    /// An end of a cable.
    Endpoint(Endpoint),
}

/// An object to be deleted. Its UID and resource version, where known, are preconditions of the deletion.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRef {
    /// The kind.
    pub kind: ObjectKind,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The UID of the object that was seen.
    pub uid: Option<String>,
    /// The version of the object that was seen.
    pub resource_version: Option<String>,
}

/// One write or deletion.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a plan holds a handful of changes, and most are writes")]
pub enum Change {
    /// Create the object where its metadata has no resource version, else replace exactly that version.
    Write(Object),
    /// Delete it; that it is gone already is no failure.
    Delete(ObjectRef),
}

/// Everything to be done now, and what could not be taken over.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SyncPlan {
    /// To be written at home before anything on the hub: copies whose original the hub lost.
    ///
    /// INVARIANT: our counter appears on the hub again only after these writes, or the loss would be forgotten.
    pub marks: Vec<Change>,
    /// To be done on the hub, in this order.
    pub hub: Vec<Change>,
    /// To be done at home, in this order.
    pub home: Vec<Change>,
    /// What is wrong and what to do about it, in a stable order without duplicates.
    pub problems: Vec<Problem>,
    /// How far absence on the hub is evidence.
    pub trust: HubTrust,
}

impl SyncPlan {
    /// Tells whether nothing is to be done.
    pub fn is_settled(&self) -> bool {
        self.marks.is_empty() && self.hub.is_empty() && self.home.is_empty()
    }
}
