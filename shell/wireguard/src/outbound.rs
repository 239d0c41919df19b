//! From the device to the sockets.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use subm_noise::{Inner, Table};

use crate::device::{Frame, LONGEST_FRAME, NoFrame};
use crate::pace::Pace;
use crate::sealer::{Lack, Sealer};
use crate::shared::{Shared, Stop, View};
use crate::socket::Sockets;
use crate::split::Split;
use crate::turns::{Came, Reading, Right, Writing};
use crate::virtio::Cut;
use crate::waiting::wait;

/// As many frames are read before they are sealed.
const MOST_FRAMES: usize = 64;
/// Frames are read until so many bytes are there: with one more there is still room.
const INPUT_BYTES: usize = 3 * LONGEST_FRAME;

/// What the threads of this direction share.
pub(crate) struct Outbound {
    shared: Arc<Shared>,
    sockets: Arc<Sockets>,
    stop: Arc<Stop>,
    reading: Reading,
    writing: Writing<Box<OutBatch>>,
}

/// Frames that were read together, and their datagrams.
struct OutBatch {
    input: Vec<u8>,
    frames: Vec<Frame>,
    sealer: Sealer,
    /// The last read found nothing more.
    drained: bool,
    /// The last frame is several packets: enough for a batch.
    cut: bool,
}

impl Outbound {
    pub(crate) fn new(shared: Arc<Shared>, sockets: Arc<Sockets>, stop: Arc<Stop>, threads: usize) -> Self {
        let spares = if threads > 1 { (0..threads).map(|_| Box::default()).collect() } else { Vec::new() };
        Self { shared, sockets, stop, reading: Reading::default(), writing: Writing::new(spares) }
    }

    /// The life of one thread.
    pub(crate) fn run(&self) {
        let (mut view, mut pace) = (View::of(&self.shared.tables), Pace::new());
        let mut batch = Some(Box::<OutBatch>::default());
        while let Some(current) = batch.take().filter(|_| self.reading.acquire()) {
            batch = self.carry(current, &mut view, &mut pace);
        }
        self.reading.end();
    }

    /// Carries batches while the right to read is kept. Nothing when it is time to end.
    fn carry(&self, mut batch: Box<OutBatch>, view: &mut View, pace: &mut Pace) -> Option<Box<OutBatch>> {
        let mut right = Right::Kept;
        while right == Right::Kept {
            let came = self.read(&mut batch)?;
            let ticket;
            (ticket, right) = self.reading.take_ticket(pace.note(came));
            if let Some(table) = view.table(&self.shared.tables) {
                batch.seal(&self.shared, table);
            }
            batch = self.writing.deliver(ticket, batch, |batch| batch.sealer.send(&self.sockets));
        }
        Some(batch)
    }

    /// Reads a batch. Nothing when it is time to end.
    fn read(&self, batch: &mut OutBatch) -> Option<Came> {
        let mut came = Came::AtOnce;
        while !self.stop.is_stopped() {
            // Whoever had to wait for a frame sends it before looking for more.
            batch.fill(&self.shared, if came == Came::AfterWait { 1 } else { MOST_FRAMES })?;
            if !batch.frames.is_empty() {
                return Some(came);
            }
            came = self.wait()?;
        }
        None
    }

    fn wait(&self) -> Option<Came> {
        wait(&[self.shared.device.readiness()], &self.stop).map(|_| Came::AfterWait)
    }
}

impl Default for OutBatch {
    fn default() -> Self {
        let frames = Vec::with_capacity(MOST_FRAMES);
        Self { input: vec![0; INPUT_BYTES], frames, sealer: Sealer::new(), drained: false, cut: false }
    }
}

impl OutBatch {
    /// Reads so many frames at most, none if none is waiting. Nothing when the device is gone.
    fn fill(&mut self, shared: &Shared, most: usize) -> Option<()> {
        self.frames.clear();
        (self.drained, self.cut) = (false, false);
        let mut at = 0;
        while !(self.drained
            || self.cut
            || self.frames.len() == most
            || at + LONGEST_FRAME > self.input.len())
        {
            match shared.device.read(&mut self.input[at..at + LONGEST_FRAME]) {
                Ok(Frame { offload, packet }) => {
                    let packet = at + packet.start..at + packet.end;
                    // Frames begin at multiples of 16, where sums and copies are quick.
                    at = packet.end.next_multiple_of(16);
                    self.frames.push(Frame { offload, packet });
                    self.cut = offload.cut != Cut::Whole;
                }
                Err(NoFrame::Foreign) => {}
                Err(NoFrame::Empty) => self.drained = true,
                Err(NoFrame::Lost(cause)) => {
                    tracing::warn!(link = shared.device.name(), %cause, "the link of the tunnel is gone");
                    shared.lost.store(true, Ordering::Release);
                    return None;
                }
            }
        }
        Some(())
    }

    fn seal(&mut self, shared: &Shared, table: &Table) {
        self.sealer.clear();
        let (now, mtu) = (shared.now(), shared.mtu());
        for frame in &self.frames {
            let packet = &mut self.input[frame.packet.clone()];
            let Some(inner) = Inner::parse(packet) else { continue };
            let Some(path) = table.path_to(inner.destination) else { continue };
            let Ok(split) = Split::of(&frame.offload, &mut packet[..inner.length]) else {
                tell_uncut(frame);
                continue;
            };
            match self.sealer.add(&split, path, mtu, now) {
                Ok(()) => {}
                Err(Lack::Session) => stage(shared, path.key(), &split),
                Err(cause @ (Lack::Endpoint | Lack::Room)) => tell_unsent(path.key(), cause),
            }
        }
        if table.bell().take() {
            shared.mailbox.ring();
        }
    }
}

fn tell_uncut(frame: &Frame) {
    tracing::trace!(offload = ?frame.offload, "a frame of the device cannot be cut");
}

fn tell_unsent(peer: &subm_noise::PublicKey, cause: Lack) {
    tracing::trace!(%peer, ?cause, "packets were not sent");
}

/// Leaves the packets of a frame for when there is a session.
fn stage(shared: &Shared, peer: &subm_noise::PublicKey, split: &Split<'_>) {
    for index in 0..split.count() {
        let mut packet = vec![0; split.length(index)];
        split.write(index, &mut packet);
        shared.mailbox.stage(peer, packet);
    }
}
