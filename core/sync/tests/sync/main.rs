//! Claims about the synchronisation of hub and home, against a model of both.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cases;
mod field;
mod model;
mod properties;
mod refusals;
