//! A task with a name that ends with its handle.

use std::any::Any;
use std::borrow::Cow;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use tokio::task::JoinHandle;
use tracing::error;

/// A running task: dropping it ends it; an error or a panic is logged with its name.
#[derive(Debug)]
pub struct Task {
    name: Cow<'static, str>,
    handle: JoinHandle<()>,
}

/// What a task may come to.
pub trait Outcome {
    /// Why it failed, if it did.
    fn failure(self) -> Option<String>;
}

impl Outcome for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Display> Outcome for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| format!("{error:#}"))
    }
}

impl Task {
    /// Runs a future on the current runtime.
    pub fn spawn<F>(name: impl Into<Cow<'static, str>>, future: F) -> Self
    where
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        let name = name.into();
        let label = name.clone();
        let handle = tokio::spawn(async move {
            let failure = match AssertUnwindSafe(future).catch_unwind().await {
                Ok(outcome) => outcome.failure(),
                Err(panic) => Some(format!("panic: {}", words(&*panic))),
            };
            if let Some(failure) = failure {
                error!(task = %label, error = %failure, "task failed");
            }
        });
        Self { name, handle }
    }

    /// The name it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Waits until it has ended, whatever it came to.
    pub async fn finished(&mut self) {
        if !self.handle.is_finished() {
            // An error here says that the task was aborted or panicked; both were dealt with inside.
            drop((&mut self.handle).await);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn dropped_task_ends() {
        let (alive, mut ended) = tokio::sync::mpsc::channel::<()>(1);
        let task = Task::spawn("sleeper", async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
        drop(task);
        assert!(ended.recv().await.is_none());
    }

    #[tokio::test]
    async fn panic_ends_only_its_task() {
        let numbers: Vec<u8> = Vec::new();
        let mut broken = Task::spawn("broken", async move { assert_eq!(numbers.len(), 1, "on purpose") });
        broken.finished().await;
        assert!(broken.is_finished());
        let mut sound = Task::spawn("sound", async { Err::<(), _>("no more than a line in the log") });
        tokio::time::timeout(Duration::from_secs(5), sound.finished()).await.unwrap();
    }
}
