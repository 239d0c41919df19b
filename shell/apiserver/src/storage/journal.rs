//! Writes on their way to the disk: those that come while one group is synced make up the next.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::sync::watch;

use crate::refusal::Refusal;
use crate::storage::{Row, Storage, StorageError};

/// A group has at most so many bytes, so that those in it do not wait for too many others.
const LARGEST_GROUP: usize = 8 * 1024 * 1024;

/// How far the disk is.
#[derive(Debug, Clone, Default)]
struct Progress {
    synced: u64,
    groups: u64,
    failure: Option<Arc<StorageError>>,
}

/// The thread that writes, and who waits for it.
#[derive(Debug)]
pub(crate) struct Journal {
    /// None when it ends.
    queue: Option<mpsc::Sender<Vec<Row>>>,
    /// The version of the newest write in the queue or on the disk.
    submitted: AtomicU64,
    progress: watch::Receiver<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    pub(crate) fn start(storage: Storage, version: u64) -> Self {
        let (queue, rows) = mpsc::channel();
        let (told, progress) = watch::channel(Progress { synced: version, ..Progress::default() });
        let work = move || write_groups(&storage, &rows, &told);
        let thread = std::thread::Builder::new().name("storage".to_owned()).spawn(work);
        // Without a thread the queue has no reader, and every write is refused.
        Self { queue: Some(queue), submitted: AtomicU64::new(version), progress, thread: thread.ok() }
    }

    /// Takes changes in the order of the calls.
    pub(crate) fn submit(&self, rows: Vec<Row>) {
        let newest = rows.iter().map(|row| row.version).max().unwrap_or_default();
        self.submitted.fetch_max(newest, Ordering::AcqRel);
        if let Some(queue) = &self.queue {
            // A thread that ended has told why; whoever waits learns it there.
            let _ended = queue.send(rows);
        }
    }

    /// Waits until everything submitted so far is on the disk.
    pub(crate) async fn settled(&self) -> Result<(), Refusal> {
        let wanted = self.submitted.load(Ordering::Acquire);
        let mut progress = self.progress.clone();
        let settled = progress
            .wait_for(|progress| progress.synced >= wanted || progress.failure.is_some())
            .await
            .map(|progress| progress.synced >= wanted);
        if settled.unwrap_or(false) { Ok(()) } else { Err(Refusal::NotStored) }
    }

    /// The same for callers that are not asynchronous.
    pub(crate) fn settle(&self) -> Result<(), Refusal> {
        // A task of tokio that used up its turn would wait here for ever: nobody else runs it meanwhile.
        futures::executor::block_on(tokio::task::unconstrained(self.settled()))
    }

    /// Waits until the disk fails.
    pub(crate) async fn failure(&self) -> Arc<StorageError> {
        let mut progress = self.progress.clone();
        let failed = progress.wait_for(|progress| progress.failure.is_some()).await;
        let failure = failed.ok().and_then(|progress| progress.failure.clone());
        match failure {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    /// How many groups were synced.
    pub(crate) fn groups(&self) -> u64 {
        self.progress.borrow().groups
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It panics where the library does; what it had is told by the file at the next start.
            let _panicked = thread.join();
        }
    }
}

fn write_groups(storage: &Storage, queue: &mpsc::Receiver<Vec<Row>>, told: &watch::Sender<Progress>) {
    while let Ok(mut group) = queue.recv() {
        let mut size = bytes_of(&group);
        while size < LARGEST_GROUP
            && let Ok(more) = queue.try_recv()
        {
            size += bytes_of(&more);
            group.extend(more);
        }
        let newest = group.iter().map(|row| row.version).max().unwrap_or_default();
        match storage.write(&group) {
            Ok(()) => told.send_modify(|progress| {
                progress.synced = newest;
                progress.groups += 1;
            }),
            Err(error) => {
                tracing::error!(%error, "objects cannot be stored; nothing is written any more");
                told.send_modify(|progress| progress.failure = Some(Arc::new(error)));
                return;
            }
        }
    }
}

fn bytes_of(rows: &[Row]) -> usize {
    rows.iter().map(|row| row.key.len() + row.text.as_ref().map_or(0, bytes::Bytes::len)).sum()
}
