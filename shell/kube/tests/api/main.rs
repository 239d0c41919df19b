//! What the daemons rely on, against an API server over TLS on loopback: the embedded one, or a real one where
//! `subm-servers` runs these.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod certificate;
mod harness;
mod hub;
mod lease;
mod watch;
mod write;
