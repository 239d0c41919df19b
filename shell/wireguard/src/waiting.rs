//! Waiting until one of several files has something to read.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::shared::Stop;

/// As many files are waited for at once, beside the stop.
const MOST: usize = 2;

/// Waits; tells which are ready, by bits, or nothing when it is time to end.
pub(crate) fn wait(files: &[BorrowedFd<'_>], stop: &Stop) -> Option<u8> {
    let count = files.len().min(MOST);
    let file = |at: usize| at.checked_sub(1).and_then(|at| files.get(at)).copied();
    let mut polled: [PollFd<'_>; MOST + 1] = std::array::from_fn(|at| {
        PollFd::new(file(at).unwrap_or_else(|| stop.readiness()), PollFlags::POLLIN)
    });
    loop {
        if stop.is_stopped() {
            return None;
        }
        match poll(&mut polled[..=count], PollTimeout::NONE) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(cause) => {
                tracing::error!(%cause, "cannot wait for packets");
                return None;
            }
        }
    }
    let ready = |slot: &PollFd<'_>| slot.revents().is_some_and(|events| !events.is_empty());
    if ready(&polled[0]) {
        return None;
    }
    Some((0..count).filter(|at| ready(&polled[at + 1])).fold(0, |bits, at| bits | 1 << at))
}
