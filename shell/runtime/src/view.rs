//! The one loop: inputs change a view, and what is planned from the view is published.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// How long the inputs that follow the first one are gathered into one more plan.
pub const FOLLOWERS: Duration = Duration::from_millis(50);

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

    /// Sends `(milliseconds since the start, value)` and tells when which sum was published.
    async fn published(inputs: &[(u64, u64)]) -> Vec<(u128, u64)> {
        let (sender, receiver) = mpsc::channel(100);
        let (log, start) = (Arc::new(Mutex::new(Vec::new())), Instant::now());
        let into = Arc::clone(&log);
        let publish = move |sum: &mut Sum| into.lock().unwrap().push((start.elapsed().as_millis(), sum.0));
        let running = tokio::spawn(run(Sum(0), receiver, publish));
        for &(at, value) in inputs {
            sleep_until(start + Duration::from_millis(at)).await;
            sender.send(value).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(sender);
        running.await.unwrap();
        let log = log.lock().unwrap();
        log.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn lone_input_is_planned_at_once() {
        assert_eq!(published(&[(200, 1), (400, 2)]).await, [(0, 0), (200, 1), (400, 3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn followers_are_planned_together() {
        let inputs = [(200, 1), (201, 1), (220, 1), (249, 1)];
        assert_eq!(
            published(&inputs).await,
            [(0, 0), (200, 1), (251, 4)].map(|(at, sum)| (at.min(250), sum))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn input_that_changes_nothing_plans_nothing_and_delays_nobody() {
        assert_eq!(published(&[(200, 0), (201, 5)]).await, [(0, 0), (201, 5)]);
    }
}
