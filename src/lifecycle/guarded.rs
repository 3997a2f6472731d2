//! Somebody else's code, with an end in time and its panics kept in.
//!
//! Floor 0.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// How guarded code ended.
#[derive(Debug)]
pub(crate) enum Ended<T> {
    Returned(T),
    Panicked,
    TimedOut,
}

/// Runs `work` as a task of its own until `deadline`.
///
/// A panic ends only the task. At the deadline, or when this future is dropped, the task is
/// dropped at its next await; work that blocks its thread without one is left behind.
pub(crate) async fn run_guarded<T, W>(work: W, deadline: Instant) -> Ended<T>
where
    W: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let mut task = AbortOnDrop(tokio::spawn(work));
    match timeout_at(deadline, &mut task.0).await {
        Ok(Ok(value)) => Ended::Returned(value),
        Ok(Err(_)) => Ended::Panicked,
        Err(_) => Ended::TimedOut,
    }
}

/// A task that lives no longer than who waits for it.
#[derive(Debug)]
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
