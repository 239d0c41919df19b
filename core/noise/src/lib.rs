//! The WireGuard protocol as pure state machines: datagrams, time and random bytes come in, datagrams, deadlines
//! and snapshots go out.
//!
//! Two halves that share only atomics. [`Device`] has one owner, the control thread: handshakes, timers, cookies,
//! roaming. Whenever something changed it gives out a [`Table`], an immutable snapshot from which any number of
//! threads send and receive: destination → [`Path`] → [`Session::seal`], receiver index → [`Session::open`]. What
//! these threads see (traffic, a missing session, a peer's new address) they leave in atomics of the peer and
//! ring the [`Bell`] if the control has to look at once. Neither side ever waits for the other.

mod activity;
mod cookie;
mod crypto;
mod device;
mod gate;
mod handshake;
mod inner;
mod keyring;
pub mod message;
mod moment;
mod peer;
mod replay;
mod routes;
mod session;
mod table;
mod tai64n;
#[cfg(test)]
mod tests;
mod timing;

pub use activity::{Batch, Bell};
pub use crypto::public_key;
pub use device::{Device, Now, PeerConfig, PeerProblem, PeerStatus, Random, Rejection, Transmit};
pub use inner::Inner;
pub use session::{Counter, Counters, Exhausted, Refusal, Session};
pub use subm_types::{Moment, PresharedKey, PrivateKey, PublicKey};
pub use table::{Path, Receiver, Table};
