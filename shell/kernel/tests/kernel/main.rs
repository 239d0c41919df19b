//! The adapter against the running kernel, each test in a network namespace of its own.

mod drift;
mod facts;
mod flows;
mod ground;
mod host;
mod listing;
mod objects;
mod places;
mod reachable;
mod watching;
