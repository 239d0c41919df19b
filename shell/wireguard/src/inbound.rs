//! From the sockets to the device.

use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use subm_noise::message::{DATA_HEADER, Kind};
use subm_noise::{Batch, Inner, Moment, Receiver, Table};

use crate::device::{Device, MOST_PARTS};
use crate::merge::{Merger, Merges};
use crate::pace::Pace;
use crate::shared::{Shared, Stop, View};
use crate::socket::{Inbox, Message, Sockets, UdpSocket};
use crate::turns::{Came, Reading, Right, Writing};
use crate::waiting::wait;

/// As many messages are received at once, if they are short.
const MOST_MESSAGES: usize = 32;
/// So much is received at once, if messages are long: what a core's cache holds while it is worked on.
const BATCH_BYTES: usize = 128 << 10;
/// After a batch of this size more is there, most likely.
const BUSY_BYTES: usize = 64 << 10;

/// What the threads of this direction share.
pub(crate) struct Inbound {
    shared: Arc<Shared>,
    sockets: Arc<Sockets>,
    stop: Arc<Stop>,
    reading: Reading,
    writing: Writing<Box<InBatch>>,
    /// Which sockets may have something, by bits; for the thread with the right to read.
    ready: AtomicU8,
}

/// Messages that were received together, and their packets as frames.
struct InBatch {
    inbox: Inbox,
    merger: Merger,
}

impl Inbound {
    pub(crate) fn new(shared: Arc<Shared>, sockets: Arc<Sockets>, stop: Arc<Stop>, threads: usize) -> Self {
        let merges = shared.device.merges();
        let spares = if threads > 1 {
            (0..threads).map(|_| Box::new(InBatch::new(merges))).collect()
        } else {
            Vec::new()
        };
        let (reading, writing) = (Reading::default(), Writing::new(spares));
        Self { shared, sockets, stop, reading, writing, ready: AtomicU8::new(0) }
    }

    /// The life of one thread.
    pub(crate) fn run(&self) {
        let (mut view, mut pace) = (View::of(&self.shared.tables), Pace::new());
        let mut batch = Some(Box::new(InBatch::new(self.shared.device.merges())));
        while let Some(current) = batch.take().filter(|_| self.reading.acquire()) {
            batch = self.carry(current, &mut view, &mut pace);
        }
        self.reading.end();
    }

    /// Carries batches while the right to read is kept. Nothing when it is time to end.
    fn carry(&self, mut batch: Box<InBatch>, view: &mut View, pace: &mut Pace) -> Option<Box<InBatch>> {
        let mut right = Right::Kept;
        while right == Right::Kept {
            let came = self.receive(&mut batch)?;
            let ticket;
            (ticket, right) = self.reading.take_ticket(pace.note(came));
            if let Some(table) = view.table(&self.shared.tables) {
                batch.open(&self.shared, table);
            }
            batch = self.writing.deliver(ticket, batch, |batch| batch.write(&*self.shared.device));
        }
        Some(batch)
    }

    /// Receives a batch from one socket. Nothing when it is time to end.
    fn receive(&self, batch: &mut InBatch) -> Option<Came> {
        let mut came = Came::AtOnce;
        while !self.stop.is_stopped() {
            let mut each = self.sockets.each().enumerate();
            if each.any(|(at, socket)| self.receive_from(at, socket, batch)) {
                return Some(came);
            }
            let mut files = [self.stop.readiness(); 2];
            let slots = files.iter_mut().zip(self.sockets.each());
            let count = slots.map(|(file, socket)| *file = socket.as_fd()).count();
            self.ready.store(wait(&files[..count], &self.stop)?, Relaxed);
            came = Came::AfterWait;
        }
        None
    }

    /// Receives what a socket has, if it may have something.
    fn receive_from(&self, at: usize, socket: &UdpSocket, batch: &mut InBatch) -> bool {
        if self.ready.load(Relaxed) & (1 << at) == 0 {
            return false;
        }
        let room = batch.inbox.room;
        let got = socket.receive(&mut batch.inbox).unwrap_or_else(|cause| {
            if !matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
                tracing::debug!(%cause, "receiving failed");
            }
            0
        });
        let bytes = batch.adapt();
        if got < room && bytes < BUSY_BYTES {
            self.ready.fetch_and(!(1 << at), Relaxed);
        }
        got > 0
    }
}

impl InBatch {
    fn new(merges: Merges) -> Self {
        Self { inbox: Inbox::new(MOST_MESSAGES), merger: Merger::new(merges) }
    }

    /// Takes as many messages the next time as make a batch; tells how many bytes came now.
    fn adapt(&mut self) -> usize {
        let bytes: usize = self.inbox.messages.iter().map(|message| message.range.len()).sum();
        let each = bytes / self.inbox.messages.len().max(1);
        self.inbox.room = (BATCH_BYTES / each.max(1)).clamp(2, self.inbox.most());
        bytes
    }

    fn open(&mut self, shared: &Shared, table: &Table) {
        self.merger.clear();
        let now = shared.now();
        let Inbox { buffer, messages, .. } = &mut self.inbox;
        for message in messages.iter() {
            open_message(Opening { shared, table, now, merger: &mut self.merger }, buffer, message);
        }
        self.merger.finish(buffer);
        if table.bell().take() {
            shared.mailbox.ring();
        }
    }

    fn write(&mut self, device: &dyn Device) {
        for (offload, pieces) in self.merger.frames() {
            let mut parts = [IoSlice::new(&[]); MOST_PARTS];
            let mut count = 0;
            for (part, range) in parts.iter_mut().zip(pieces) {
                *part = IoSlice::new(&self.inbox.buffer[range]);
                count += 1;
            }
            if let Err(cause) = device.write(offload, &parts[..count]) {
                tracing::trace!(link = device.name(), %cause, "the link took no frame");
            }
        }
    }
}

/// What opening the datagrams of a message takes.
struct Opening<'a> {
    shared: &'a Shared,
    table: &'a Table,
    now: Moment,
    merger: &'a mut Merger,
}

/// The session of the last datagram and what came with it so far.
struct Run<'a> {
    index: u32,
    receiver: Receiver<'a>,
    noted: Batch,
}

fn open_message(mut opening: Opening<'_>, buffer: &mut [u8], message: &Message) {
    let (from, now) = (message.from, opening.now);
    let mut run: Option<Run<'_>> = None;
    let mut at = message.range.start;
    while at < message.range.end {
        let range = at..(at + message.segment).min(message.range.end);
        at = range.end;
        match Kind::of(&buffer[range.clone()]) {
            Some(Kind::Handshake(_)) if opening.table.hears(from, now) => {
                opening.shared.mailbox.put(from, &buffer[range]);
            }
            None | Some(Kind::Handshake(_)) => {}
            Some(Kind::Data { receiver: index, counter }) => {
                run = Run::of(run, index, &opening, from);
                if let Some(run) = &mut run {
                    open_datagram(&mut opening, run, buffer, (range, counter));
                }
            }
        }
    }
    if let Some(ended) = run {
        ended.receiver.note_received(ended.noted, from, now);
    }
}

impl<'a> Run<'a> {
    /// Goes on with a run if it is of this session, or ends it and begins another.
    fn of(run: Option<Self>, index: u32, opening: &Opening<'a>, from: SocketAddr) -> Option<Self> {
        match run {
            Some(same) if same.index == index => Some(same),
            other => {
                if let Some(ended) = other {
                    ended.receiver.note_received(ended.noted, from, opening.now);
                }
                let receiver = opening.table.receiver(index)?;
                Some(Self { index, receiver, noted: Batch::default() })
            }
        }
    }
}

fn open_datagram(
    opening: &mut Opening<'_>,
    run: &mut Run<'_>,
    buffer: &mut [u8],
    (range, counter): (Range<usize>, u64),
) {
    let length = range.len();
    let start = range.start + DATA_HEADER;
    let Ok(packet) = run.receiver.session.open(counter, &mut buffer[range], opening.now) else { return };
    run.noted.add(length);
    let Some(inner) = Inner::parse(packet) else { return };
    if opening.table.admits(run.receiver.path, inner.source) {
        opening.merger.push(buffer, start..start + inner.length);
    }
}
