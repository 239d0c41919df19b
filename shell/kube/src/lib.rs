//! The Kubernetes API as the daemons use it: connections that say what is wrong with them, watches that begin with
//! a complete list, writes that write only what differs, events, the lease, and the synchronisation with the hub.
//!
//! It decides nothing: who holds a lease is decided by `subm_probe`, what belongs on the hub by `subm_sync`. It
//! never takes the loss of an API server for the loss of its objects: only a complete list says that something is
//! gone. Start with [`Connection`] and [`Watch`].

pub mod access;
mod certificate;
pub mod error;
pub mod hub;
pub mod key;
pub mod lease;
pub mod objects;
pub mod recorder;
mod request;
mod token;
mod verifier;
pub mod watch;
pub mod write;

pub use access::{Access, Connection, HubSettings, InvalidAccess};
pub use error::{Action, ApiError, Untrusted};
pub use hub::{HubState, HubSync};
pub use key::Key;
pub use lease::{Candidate, Leadership};
pub use objects::{News, Objects};
pub use recorder::{Note, Recorder, Severity};
pub use watch::{Event, Unreadable, Watch};
pub use write::{Writer, Written};

/// The client library, so that applications name the same version.
pub use kube;
