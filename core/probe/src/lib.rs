//! Sans-I/O protocol cores: ICMP echo, liveness of paths, NAT discovery, the public address, and the lease that makes
//! one gateway the active one.
//!
//! Bytes and time come in, bytes, decisions and deadlines go out. Nothing here opens a socket, reads a clock or
//! draws a random number; a shell does, and hands over a [`Moment`]. Start with [`liveness`] (is a path alive?),
//! [`nat`] (by which address is a gateway reached?) and [`lease`] (who is active?).

pub mod icmp;
pub mod lease;
pub mod liveness;
pub mod nat;
pub mod public_address;
mod statistics;

pub use icmp::Echo;
pub use lease::{Decision, Election, LeaseRecord, LeaseTiming};
pub use liveness::{Liveness, Pace, Probe, Target, Transmit, Verdict};
pub use nat::NatDiscovery;
pub use statistics::{Latency, LatencyStatistics};
pub use subm_types::Moment;
