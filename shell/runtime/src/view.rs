//! The one loop: inputs change a view, and what is planned from the view is published.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// How long the inputs that follow the first one are gathered into one more plan. A new member is a Cluster and, some
/// milliseconds later, an Endpoint: what gathers longer than a plan takes keeps its first packet waiting.
pub const FOLLOWERS: Duration = Duration::from_millis(10);

/// Whether an input changed what plans are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dirty {
    /// Nothing to plan anew.
    No,
    /// Plan anew.
    Yes,
}

impl Dirty {
    /// Says `Yes` if two values differ.
    pub fn differs<T: PartialEq>(old: &T, new: &T) -> Self {
        if old == new { Self::No } else { Self::Yes }
    }

    /// Says `Yes` if either does.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self == Self::Yes { self } else { other }
    }
}

/// Everything that an application knows, with one owner.
pub trait View {
    /// Everything that can change it.
    type Input: Send;

    /// Takes one input in.
    fn apply(&mut self, input: Self::Input) -> Dirty;
}

/// Feeds a view until nobody is left who could send, and publishes it at the start and after changes: the first
/// change after quiet at once, those that follow it within [`FOLLOWERS`] together.
pub async fn run<V: View>(
    mut view: V,
    mut inputs: mpsc::Receiver<V::Input>,
    mut publish: impl FnMut(&mut V),
) {
    let mut dirty = Dirty::Yes;
    let mut quiet_from = Instant::now();
    loop {
        // What is already there belongs to the same plan, but a flood must not put the plan off for ever.
        for _ in 0..inputs.len() {
            match inputs.try_recv() {
                Ok(input) => dirty = dirty.or(view.apply(input)),
                Err(_) => break,
            }
        }
        if dirty == Dirty::Yes && Instant::now() >= quiet_from {
            publish(&mut view);
            dirty = Dirty::No;
            quiet_from = Instant::now() + FOLLOWERS;
        }
        tokio::select! {
            input = inputs.recv() => match input {
                Some(input) => dirty = dirty.or(view.apply(input)),
                None => break,
            },
            () = sleep_until(quiet_from), if dirty == Dirty::Yes => {}
        }
    }
    if dirty == Dirty::Yes {
        publish(&mut view);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Sum(u64);

    impl View for Sum {
        type Input = u64;

        fn apply(&mut self, input: u64) -> Dirty {
            self.0 += input;
            Dirty::differs(&0, &input)
        }
    }

    type Log = Arc<Mutex<Vec<(Instant, u64)>>>;

    fn start() -> (mpsc::Sender<u64>, Log) {
        let (sender, receiver) = mpsc::channel(100);
        let log = Log::default();
        let into = Arc::clone(&log);
        tokio::spawn(run(Sum(0), receiver, move |sum: &mut Sum| {
            into.lock().unwrap().push((Instant::now(), sum.0));
        }));
        (sender, log)
    }

    /// Waits until so much was published.
    async fn published(log: &Log, count: usize) -> Vec<(Instant, u64)> {
        let begin = Instant::now();
        loop {
            let entries = log.lock().unwrap().clone();
            if entries.len() >= count {
                return entries;
            }
            assert!(begin.elapsed() < Duration::from_secs(10), "{entries:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn lone_input_is_planned_at_once_and_its_followers_together() {
        let (sender, log) = start();
        assert_eq!(published(&log, 1).await[0].1, 0);
        tokio::time::sleep(FOLLOWERS * 2).await;
        sender.try_send(1).unwrap();
        let first = published(&log, 2).await[1];
        assert_eq!(first.1, 1);
        for _ in 0..3 {
            sender.try_send(1).unwrap();
        }
        let second = published(&log, 3).await[2];
        assert_eq!(second.1, 4);
        assert!(second.0 >= first.0 + FOLLOWERS, "{:?}", second.0 - first.0);
        tokio::time::sleep(FOLLOWERS * 2).await;
        assert_eq!(log.lock().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn input_that_changes_nothing_plans_nothing() {
        let (sender, log) = start();
        sender.try_send(0).unwrap();
        tokio::time::sleep(FOLLOWERS * 3).await;
        assert_eq!(log.lock().unwrap().len(), 1);
        sender.try_send(5).unwrap();
        assert_eq!(published(&log, 2).await[1].1, 5);
    }

    #[tokio::test]
    async fn what_came_before_the_end_is_still_planned() {
        let (sender, log) = start();
        published(&log, 1).await;
        sender.try_send(1).unwrap();
        sender.try_send(2).unwrap();
        drop(sender);
        while published(&log, 2).await.last().unwrap().1 != 3 {}
    }
}
