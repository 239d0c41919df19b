//! Knobs by which tests and the playground make the server misbehave, at run time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// Whether the server can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It can.
    Up,
    /// Connections are reset and new ones refused.
    Refused,
    /// Requests and running watches hang until the link is up again.
    Silent,
}

/// The knobs of one server; clones turn the same ones.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Knobs>);

#[derive(Debug)]
struct Knobs {
    latency: AtomicU64,
    expired_watches: AtomicU64,
    conflicting_writes: AtomicU64,
    unavailable: AtomicU64,
    link: watch::Sender<Link>,
    /// Counts how often all watches were cut.
    cuts: watch::Sender<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self(Arc::new(Knobs {
            latency: AtomicU64::new(0),
            expired_watches: AtomicU64::new(0),
            conflicting_writes: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
            link: watch::Sender::new(Link::Up),
            cuts: watch::Sender::new(0),
        }))
    }
}

fn take(counter: &AtomicU64) -> bool {
    counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok()
}

impl Faults {
    /// Answers every request so much later.
    pub fn delay(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.latency.store(micros, Ordering::Release);
    }

    /// Answers the next `count` watches with 410 Gone.
    pub fn expire_watches(&self, count: u64) {
        self.0.expired_watches.store(count, Ordering::Release);
    }

    /// Answers the next `count` writes with 409 Conflict.
    pub fn conflict_writes(&self, count: u64) {
        self.0.conflicting_writes.store(count, Ordering::Release);
    }

    /// Answers the next `count` requests with 503 Service Unavailable; `u64::MAX` means until it is set again.
    pub fn refuse_requests(&self, count: u64) {
        self.0.unavailable.store(count, Ordering::Release);
    }

    /// Ends all running watches.
    pub fn cut_watches(&self) {
        self.0.cuts.send_modify(|count| *count += 1);
    }

    /// Partitions the server off, or joins it again.
    pub fn set_link(&self, link: Link) {
        self.0.link.send_replace(link);
    }

    /// Takes all faults back.
    pub fn clear(&self) {
        self.delay(Duration::ZERO);
        self.expire_watches(0);
        self.conflict_writes(0);
        self.refuse_requests(0);
        self.set_link(Link::Up);
    }

    pub(crate) fn latency(&self) -> Duration {
        Duration::from_micros(self.0.latency.load(Ordering::Acquire))
    }

    pub(crate) fn expires_watch(&self) -> bool {
        take(&self.0.expired_watches)
    }

    pub(crate) fn conflicts_write(&self) -> bool {
        take(&self.0.conflicting_writes)
    }

    pub(crate) fn refuses_request(&self) -> bool {
        take(&self.0.unavailable)
    }

    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.0.link.subscribe()
    }

    pub(crate) fn cuts(&self) -> watch::Receiver<u64> {
        self.0.cuts.subscribe()
    }

    /// Waits while the link is silent; whether the server can be reached then.
    pub(crate) async fn pass(&self) -> Link {
        let mut link = self.link();
        link.wait_for(|link| *link != Link::Silent).await.map_or(Link::Up, |link| *link)
    }
}
