//! What we use of the Kubernetes API, as claims that must hold on a real control plane and on the embedded API.
//!
//! [`claims::GROUPS`] is the suite, [`suite::run`] tries it on one [`subm_servers::Api`], and [`record`] compares what
//! came out with the page in `docs/` that says it.

pub mod claims;
mod definitions;
mod ground;
pub mod kubectl;
pub mod published;
pub mod record;
pub mod suite;

pub use ground::{Answer, Ground};
