//! What every daemon stands on: the one reconcile loop, the thread that converges the kernel, tasks, shutdown,
//! telemetry, metrics, the admin endpoints, the ICMP socket of the probes, the UDP sockets of NAT discovery, and
//! the client that asks for the public address.
//!
//! It decides nothing: views and plans are the application's, differences and probes are the core's. It never
//! undoes what a plan put into the kernel: a daemon that ends leaves everything as it is.
//! Start with [`view`] (inputs in, plans out) and [`converger`] (plans in, kernel state out).

pub mod admin;
pub mod clock;
pub mod converger;
pub mod icmp;
pub mod metrics;
pub mod nat_discovery;
pub mod public_address;
pub mod readiness;
pub mod shutdown;
pub mod task;
pub mod telemetry;
pub mod view;

pub use admin::Admin;
pub use converger::{Converger, Mode, ObjectKind, Report, Waker};
pub use prometheus_client;
pub use readiness::{Readiness, Starting};
pub use shutdown::{Shutdown, drain};
pub use task::Task;
pub use telemetry::Verbosity;
pub use view::{Dirty, View};
