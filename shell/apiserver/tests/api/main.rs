//! The server as its clients see it: over real TLS, with kube, and in the process.

mod apply;
mod faults;
mod harness;
mod members;
mod objects;
mod watches;
