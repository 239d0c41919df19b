//! What we use of the Kubernetes API, as claims that must hold on a real control plane and on the embedded API.
//!
//! [`ControlPlane`] runs etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback; [`Embedded`]
//! serves `subm-apiserver` the same way. [`claims::GROUPS`] is the suite, [`suite::run`] tries it on one [`Api`], and
//! [`record`] compares what came out with the page in `docs/` that says it.

mod api;
pub mod claims;
mod control_plane;
mod definitions;
mod embedded;
mod ground;
pub mod kubectl;
mod patience;
pub mod published;
pub mod record;
pub mod suite;

pub use api::Api;
pub use control_plane::{ControlPlane, Programs};
pub use embedded::Embedded;
pub use ground::{Answer, Ground};
