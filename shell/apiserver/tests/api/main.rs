//! The server as its clients see it: over real TLS, with kube, and in the process.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod apply;
mod builtin;
mod definitions;
mod faults;
mod harness;
mod hostile;
mod members;
mod objects;
mod owners;
mod services;
mod store;
mod watches;
