//! The adapter against the running kernel, each test in a network namespace of its own.

mod ground;
mod objects;
