//! What the threads of one engine share.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use subm_noise::{Moment, PublicKey, Table};

use crate::device::Device;

/// Handshakes wait here for the control, so many at most: a flood of them is dropped before it costs anything.
const MOST_HANDSHAKES: usize = 128;
/// Packets wait for a session, so many for each peer; the oldest give way.
const MOST_STAGED: usize = 128;
/// Waking once in so long a time costs nothing.
const FOREVER: Duration = Duration::from_hours(24);

/// Locks what is whole at every moment, also after a panic in another thread.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The part that stays while an engine lives.
pub(crate) struct Shared {
    pub(crate) device: Box<dyn Device>,
    pub(crate) tables: Tables,
    pub(crate) mailbox: Mailbox,
    /// The largest packet of the device: packets are not padded beyond it.
    pub(crate) mtu: AtomicU32,
    /// The device is gone.
    pub(crate) lost: AtomicBool,
    started: Instant,
}

impl Shared {
    pub(crate) fn new(device: Box<dyn Device>, table: Option<Arc<Table>>, mtu: u32) -> Self {
        Self {
            device,
            tables: Tables { version: AtomicU64::new(1), table: Mutex::new(table) },
            mailbox: Mailbox::default(),
            mtu: AtomicU32::new(mtu),
            lost: AtomicBool::new(false),
            started: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(self.started.elapsed())
    }

    pub(crate) fn mtu(&self) -> usize {
        self.mtu.load(Ordering::Relaxed) as usize
    }
}

/// The newest snapshot of the protocol's state.
pub(crate) struct Tables {
    version: AtomicU64,
    table: Mutex<Option<Arc<Table>>>,
}

impl Tables {
    pub(crate) fn publish(&self, table: Arc<Table>) {
        *lock(&self.table) = Some(table);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// None only before there is a protocol.
    pub(crate) fn newest(&self) -> Option<Arc<Table>> {
        lock(&self.table).clone()
    }
}

/// One thread's copy of the newest snapshot: looking costs one load while nothing changed.
pub(crate) struct View {
    version: u64,
    table: Option<Arc<Table>>,
}

impl View {
    pub(crate) fn of(tables: &Tables) -> Self {
        let version = tables.version.load(Ordering::Acquire);
        Self { version, table: tables.newest() }
    }

    pub(crate) fn table(&mut self, tables: &Tables) -> Option<&Table> {
        if tables.version.load(Ordering::Acquire) != self.version {
            *self = Self::of(tables);
        }
        self.table.as_deref()
    }
}

/// A handshake message and where it came from.
pub(crate) struct Letter {
    pub(crate) from: SocketAddr,
    pub(crate) datagram: Box<[u8]>,
}

/// What the threads that carry packets leave for the control.
#[derive(Default)]
pub(crate) struct Mailbox {
    state: Mutex<MailboxState>,
    wake: Condvar,
}

#[derive(Default)]
struct MailboxState {
    letters: VecDeque<Letter>,
    staged: Staged,
    rung: bool,
    ended: bool,
}

/// Packets that wait for a session, by peer.
pub(crate) type Staged = BTreeMap<PublicKey, VecDeque<Vec<u8>>>;

/// What the control found.
pub(crate) enum Mail {
    /// Handshakes, or time to look.
    Work(Vec<Letter>),
    /// The engine ends.
    End,
}

impl Mailbox {
    pub(crate) fn ring(&self) {
        lock(&self.state).rung = true;
        self.wake.notify_one();
    }

    pub(crate) fn end(&self) {
        lock(&self.state).ended = true;
        self.wake.notify_one();
    }

    pub(crate) fn put(&self, from: SocketAddr, datagram: &[u8]) {
        let mut state = lock(&self.state);
        if state.letters.len() < MOST_HANDSHAKES {
            state.letters.push_back(Letter { from, datagram: datagram.into() });
            drop(state);
            self.wake.notify_one();
        }
    }

    pub(crate) fn stage(&self, peer: &PublicKey, packet: Vec<u8>) {
        let mut state = lock(&self.state);
        let queue = state.staged.entry(*peer).or_default();
        if queue.len() == MOST_STAGED {
            queue.pop_front();
        }
        queue.push_back(packet);
        state.rung = true;
        drop(state);
        self.wake.notify_one();
    }

    /// Takes the staged packets of the peers that are `ready`; those of peers that are no more are dropped.
    pub(crate) fn unstage(&self, table: &Table) -> Staged {
        let mut state = lock(&self.state);
        if state.staged.is_empty() {
            return Staged::new();
        }
        let known: BTreeMap<_, _> =
            table.paths().iter().map(|path| (path.key(), path.session().is_some())).collect();
        state.staged.retain(|peer, _| known.contains_key(peer));
        let ready = state.staged.extract_if(.., |peer, _| known.get(peer).copied().unwrap_or(false));
        ready.collect()
    }

    /// Waits for mail, or until it is time; takes a few handshakes at once, so that others get their turn.
    pub(crate) fn wait(&self, longest: Option<Duration>) -> Mail {
        const AT_ONCE: usize = 16;
        let mut state = lock(&self.state);
        let deadline = longest.map(|longest| Instant::now() + longest);
        let left = || deadline.map_or(FOREVER, |deadline| deadline.saturating_duration_since(Instant::now()));
        let mut wait = left();
        while !(state.ended || state.rung || wait.is_zero()) && state.letters.is_empty() {
            state = self.wake.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            wait = left();
        }
        if state.ended {
            return Mail::End;
        }
        state.rung = false;
        let count = state.letters.len().min(AT_ONCE);
        Mail::Work(state.letters.drain(..count).collect())
    }
}

/// Tells threads that wait for a file to end: the reading end of a pipe becomes ready when the other end closes.
#[derive(Debug)]
pub(crate) struct Stop {
    reader: std::io::PipeReader,
    writer: Mutex<Option<std::io::PipeWriter>>,
    stopped: AtomicBool,
}

impl Stop {
    pub(crate) fn new() -> std::io::Result<Self> {
        let (reader, writer) = std::io::pipe()?;
        Ok(Self { reader, writer: Mutex::new(Some(writer)), stopped: AtomicBool::new(false) })
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        lock(&self.writer).take();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn readiness(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
