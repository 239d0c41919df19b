//! API servers for tests: a real control plane and the embedded API.
//!
//! [`ControlPlane`] runs etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback; [`Embedded`]
//! serves `subm-apiserver` the same way: both are an [`Api`]. A test of a controller asks [`Servers`] for a
//! [`Cluster`], which is an embedded API of its own, or one of the real API servers of a [`Fleet`] that was started
//! for the whole run (`subm-servers -- COMMAND`). What can be asked of a cluster is the same, so the tests are too.
//! It never decides what is right: that is said by who asks.

mod api;
mod cluster;
mod control_plane;
mod embedded;
mod fleet;
mod objects;
mod patience;
mod real;
mod relay;
mod servers;

pub use api::Api;
pub use cluster::{Cluster, Faults};
pub use control_plane::{ControlPlane, Programs};
pub use embedded::Embedded;
pub use fleet::{Fleet, Which};
pub use objects::Objects;
pub use patience::until;
pub use servers::Servers;
