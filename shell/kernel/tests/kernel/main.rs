//! The adapter against the running kernel, each test in a network namespace of its own.

#![expect(clippy::unwrap_used, reason = "a test ends where its ground is missing")]

mod drift;
mod facts;
mod flows;
mod ground;
mod host;
mod kernel_wireguard;
mod listing;
mod objects;
mod places;
mod reachable;
mod tables;
mod tunnels;
mod watching;
