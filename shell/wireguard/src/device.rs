//! Where packets come from and go to: one link of the kernel, as frames.

mod packet_socket;
mod request;
mod tun;

use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::BorrowedFd;

pub use packet_socket::PacketSocket;
pub use tun::{Tun, create_tun};

use crate::merge::{MOST_PIECES, Merges};
use crate::virtio::Offload;

/// As many parts a frame may be written in: those of its packets.
pub const MOST_PARTS: usize = MOST_PIECES;
/// Room for the longest frame that is read, with all headers before it.
pub const LONGEST_FRAME: usize = 65_536 + 64;

/// A frame that was read.
#[derive(Debug, Clone)]
pub struct Frame {
    /// What is left to be done to it.
    pub offload: Offload,
    /// Its IP packet in the buffer.
    pub packet: Range<usize>,
}

/// Why reading ended without a frame.
#[derive(Debug)]
pub enum NoFrame {
    /// None is waiting.
    Empty,
    /// One was there that is no IP packet; more may be waiting.
    Foreign,
    /// The link is gone: no more frames will ever come.
    Lost(io::Error),
}

/// A link as a source and sink of frames. Threads share it; it never blocks.
pub trait Device: Send + Sync {
    /// The name of the link.
    fn name(&self) -> &str;

    /// Becomes readable when a frame waits.
    fn readiness(&self) -> BorrowedFd<'_>;

    /// Reads one frame into a buffer of at least [`LONGEST_FRAME`] bytes.
    fn read(&self, buffer: &mut [u8]) -> Result<Frame, NoFrame>;

    /// Writes one frame whose packet lies in at most [`MOST_PARTS`] parts.
    fn write(&self, offload: Offload, parts: &[IoSlice<'_>]) -> io::Result<()>;

    /// What the link can cut itself, so that packets may be merged before they are written.
    fn merges(&self) -> Merges;

    /// The largest packet that the link passes uncut.
    fn mtu(&self) -> io::Result<u32>;
}

/// Writes parts after a header of the device.
fn write_after(
    header: &[u8],
    parts: &[IoSlice<'_>],
    file: impl Fn(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<()> {
    let mut slices = [IoSlice::new(&[]); MOST_PARTS + 1];
    slices[0] = IoSlice::new(header);
    let count = parts.len().min(MOST_PARTS);
    slices[1..=count].copy_from_slice(&parts[..count]);
    file(&slices[..=count]).map(|_| ())
}
