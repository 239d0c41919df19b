//! The ground of tests that use the programs as a user does.
//!
//! [`Playground`] is what `subctl playground` brings up, with a way in for measurements. [`Clusterset`] is smaller:
//! two clusters of one node each whose API servers run in the test's own process, so that a test may give daemons
//! wrong settings, take rights away or cut the hub off. Everything is in namespaces of its own and gone with the
//! test. It never asserts a time: [`until`] waits for a condition.

mod clusterset;
mod daemon;
mod leftovers;
mod patience;
mod playground;
mod programs;

pub use clusterset::{Api, BROKER_NAMESPACE, Clusterset, Condition, Member, OPERATOR_NAMESPACE, Outage};
pub use daemon::{Daemon, Kind};
pub use leftovers::{Leftovers, Machine};
pub use patience::{LIMIT, until};
pub use playground::{DaemonStatus, Playground, Status};
pub use programs::program;
