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
    AbortOnDrop(tokio::spawn(work)).until(deadline).await
}

/// Runs `works` as tasks of their own that begin in order: each when the one before has ended, or
/// has taken an even share of what was left until `ends`. What they returned, in that order.
///
/// Each ends by itself at `ends`. Dropped, it drops them all at their next await.
pub(crate) async fn run_shared<T, W>(works: Vec<W>, ends: Instant) -> Vec<T>
where
    T: Send + 'static,
    W: Future<Output = T> + Send + 'static,
{
    let left = (1..=works.len()).rev();
    let mut begun = Vec::with_capacity(works.len());
    for (work, left) in works.into_iter().zip(left) {
        let mut task = AbortOnDrop(tokio::spawn(work));
        let ended = timeout_at(share(ends, left), &mut task.0).await;
        begun.push(ended.map_err(|_| task));
    }
    let mut returned = Vec::with_capacity(begun.len());
    for ended in begun {
        let joined = match ended {
            Ok(joined) => joined,
            Err(mut task) => (&mut task.0).await,
        };
        // An error only where the runtime ends.
        returned.extend(joined);
    }
    returned
}

/// Until when one of so many that are left has the others wait.
fn share(ends: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let left = u32::try_from(left).unwrap_or(u32::MAX);
    now + ends.saturating_duration_since(now) / left
}

/// A task that lives no longer than who waits for it.
#[derive(Debug)]
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    /// How it ends, once; at `deadline` it is told to, which it does at its next await.
    pub(crate) async fn until(&mut self, deadline: Instant) -> Ended<T> {
        match timeout_at(deadline, &mut self.0).await {
            Ok(Ok(value)) => Ended::Returned(value),
            Ok(Err(_)) => Ended::Panicked,
            Err(_) => {
                self.0.abort();
                Ended::TimedOut
            }
        }
    }

    /// Whether one that was told to end has, until `deadline`.
    pub(crate) async fn is_gone_by(&mut self, deadline: Instant) -> bool {
        timeout_at(deadline, &mut self.0).await.is_ok()
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
