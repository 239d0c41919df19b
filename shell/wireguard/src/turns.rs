//! Who reads next, and who may write: threads that do the same work without handing any over.
//!
//! Each thread reads a batch, works on it and writes it. Reading is for one thread at a time, writing goes in the
//! order of reading; what lies between overlaps. While little comes, one thread does all of it and the others sleep:
//! it lets another one read only when it has more to do than one core can (`pace.rs`).

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in a thread aborts what it did, never what the others share: every state in between is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    state: Mutex<ReadingState>,
    free: Condvar,
}

#[derive(Debug, Default)]
struct ReadingState {
    taken: bool,
    asleep: usize,
    ended: bool,
    next: u64,
}

/// The number of a batch: the order in which it was read and is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// How the batch came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// It was there when the thread looked.
    AtOnce,
    /// The thread had to wait.
    AfterWait,
}

/// Whether another thread would be of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Help {
    Needless,
    Wanted,
}

/// Whether the right to read is still with the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Kept,
    Released,
}

impl Reading {
    /// Waits for the right; false when all has ended.
    pub(crate) fn acquire(&self) -> bool {
        let mut state = lock(&self.state);
        while state.taken && !state.ended {
            state.asleep += 1;
            state = self.free.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.asleep -= 1;
        }
        state.taken = true;
        !state.ended
    }

    /// Takes a number for a batch that was read, and lets the next thread read if there is work for it.
    pub(crate) fn take_ticket(&self, help: Help) -> (Ticket, Right) {
        let mut state = lock(&self.state);
        let ticket = Ticket(state.next);
        state.next += 1;
        if help == Help::Needless {
            return (ticket, Right::Kept);
        }
        state.taken = false;
        let wake = state.asleep > 0;
        drop(state);
        if wake {
            self.free.notify_one();
        }
        (ticket, Right::Released)
    }

    /// Ends it: nobody gets the right any more.
    pub(crate) fn end(&self) {
        lock(&self.state).ended = true;
        self.free.notify_all();
    }
}

/// The order of writing. Batches whose turn has not come are parked, and written by whoever's turn it is.
#[derive(Debug)]
pub(crate) struct Writing<B> {
    state: Mutex<WritingState<B>>,
    spare: Condvar,
}

#[derive(Debug)]
struct WritingState<B> {
    turn: u64,
    parked: BTreeMap<u64, B>,
    spares: Vec<B>,
}

impl<B> Writing<B> {
    /// With batches that stand in for parked ones.
    // INVARIANT: the thread whose turn it is never waits for a spare, so a spare always comes back.
    pub(crate) fn new(spares: Vec<B>) -> Self {
        let state = WritingState { turn: 0, parked: BTreeMap::new(), spares };
        Self { state: Mutex::new(state), spare: Condvar::new() }
    }

    /// Writes a batch, or parks it; gives back one to go on with.
    pub(crate) fn deliver(&self, ticket: Ticket, mut batch: B, mut write: impl FnMut(&mut B)) -> B {
        let mut state = lock(&self.state);
        if state.turn != ticket.0 {
            state.parked.insert(ticket.0, batch);
            return self.take_spare(state);
        }
        loop {
            drop(state);
            write(&mut batch);
            state = lock(&self.state);
            state.turn += 1;
            let turn = state.turn;
            let Some(next) = state.parked.remove(&turn) else { return batch };
            state.spares.push(batch);
            self.spare.notify_one();
            batch = next;
        }
    }

    fn take_spare(&self, mut state: MutexGuard<'_, WritingState<B>>) -> B {
        loop {
            if let Some(spare) = state.spares.pop() {
                return spare;
            }
            state = self.spare.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// What threads read from, and where they write.
    struct Line {
        reading: Reading,
        writing: Writing<u64>,
        source: AtomicU64,
        written: Mutex<Vec<u64>>,
    }

    impl Line {
        const END: u64 = 3000;

        fn run(&self) {
            let mut right = Right::Released;
            while right == Right::Kept || self.reading.acquire() {
                right = self.carry();
            }
        }

        fn carry(&self) -> Right {
            let batch = self.source.fetch_add(1, Relaxed);
            if batch == Self::END {
                self.reading.end();
            }
            let (ticket, right) = self.reading.take_ticket(Help::Wanted);
            if batch.is_multiple_of(7) {
                thread::sleep(Duration::from_micros(100));
            }
            self.writing.deliver(ticket, batch, |batch| lock(&self.written).push(*batch));
            right
        }
    }

    #[test]
    fn batches_are_written_in_the_order_of_reading() {
        let line = Line {
            reading: Reading::default(),
            writing: Writing::new(vec![0; 2]),
            source: AtomicU64::new(0),
            written: Mutex::new(Vec::new()),
        };
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| line.run());
            }
        });
        let written = lock(&line.written);
        assert!(written.len() as u64 > Line::END, "{} batches", written.len());
        assert!(written.iter().copied().eq(0..written.len() as u64), "in order");
    }

    #[test]
    fn one_thread_keeps_reading_while_it_needs_no_help() {
        let reading = Reading::default();
        assert!(reading.acquire());
        assert_eq!(reading.take_ticket(Help::Needless).1, Right::Kept);
        assert_eq!(reading.take_ticket(Help::Wanted).1, Right::Released);
        assert!(reading.acquire());
    }
}
