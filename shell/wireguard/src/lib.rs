//! WireGuard in this process, for nodes whose kernel has none.
//!
//! An [`Engine`] carries packets between a [`Device`] (a [`Tun`], or a [`PacketSocket`] where `/dev/net/tun` is
//! closed) and one UDP port. The protocol itself is `subm-noise`; here are the sockets and the threads. Large frames
//! are cut on the way out (`split.rs`) and put together on the way in (`merge.rs`), so that the kernel is called for
//! some 64 KiB at a time; `turns.rs` lets several cores do so without handing packets from thread to thread.
//! Start with `engine.rs`, then `outbound.rs`.

mod checksum;
mod control;
mod device;
mod engine;
mod error;
mod headers;
mod inbound;
mod merge;
mod outbound;
mod pace;
#[cfg(test)]
mod round_trip;
mod sealer;
mod shared;
mod socket;
mod split;
mod turns;
mod virtio;
mod waiting;

pub use device::{Device, Frame, LONGEST_FRAME, MOST_PARTS, NoFrame, PacketSocket, Tun, create_tun};
pub use engine::{Config, Engine, State};
pub use error::{DeviceError, DeviceFailure, EngineError};
pub use merge::Merges;
pub use subm_noise::{PeerConfig, PeerProblem, PeerStatus};
pub use virtio::{Cut, Offload};
