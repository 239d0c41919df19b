//! What to write and delete on the hub and at home so that both agree.
//!
//! [`plan`] is a pure function of two [`Snapshot`]s and of what this cluster wants to publish ([`Own`]). It never does
//! I/O, keeps no history and knows no order of events. Its promises: an object that is right is not written again;
//! nothing is deleted that is not ours or a copy that its origin withdrew; absence on the hub counts only while the
//! hub still has our own Cluster with a counter that is not lower than the copy at home; what cannot be taken over is
//! a [`subm_types::Problem`] and leaves what worked in place. See [`plan`] for how to drive it.

mod acceptance;
mod change;
mod object;
mod own;
mod plan;
mod remote;
mod sides;
mod trust;
mod view;
mod withdrawal;

pub use change::{Change, Object, ObjectKind, ObjectRef, SyncPlan};
pub use plan::{latest_takeover, plan};
pub use trust::HubTrust;
pub use view::{Completeness, Own, Publication, Published, PublishedEndpoint, Snapshot, Takeover};
