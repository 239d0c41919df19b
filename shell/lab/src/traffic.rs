//! Questions from a host to an [`EchoServer`](crate::EchoServer) or a kernel, and what came back.

mod ping;
mod stream;
mod tcp;
mod transfer;
mod udp;

use std::net::SocketAddr;
use std::time::Duration;

pub use ping::{PingReport, PingRun, ping};
pub use stream::{StreamReport, StreamRun};
pub use tcp::tcp;
pub use transfer::transfer;
pub use udp::{UdpFlow, UdpReport, UdpRun, udp};

/// An answer of an echo server whose payload came back unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echoed {
    /// The client as the server saw it.
    pub seen_as: SocketAddr,
    /// The client as it knows itself.
    pub own: SocketAddr,
    /// From the question to the whole answer.
    pub took: Duration,
}

impl Echoed {
    /// Whether the server saw the client's own address.
    pub fn source_kept(&self) -> bool {
        self.seen_as.ip() == self.own.ip()
    }
}

/// Bytes that differ along the way, so that a lost or doubled piece is noticed.
pub(crate) fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|position| u8::try_from(position % 251).unwrap_or(0)).collect()
}

fn changed() -> std::io::Error {
    std::io::Error::other("the payload came back changed")
}
