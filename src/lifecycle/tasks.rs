//! Background work that the drain waits for.
//!
//! Floor 4.

use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::in_flight::oldest::oldest;
use crate::in_flight::tracker::Tracker;
use crate::lifecycle::phase::Phase;
use crate::lifecycle::unfinished::{Stage, Unfinished};
use crate::lifecycle::watch::PhaseWatch;

/// The background tasks that have not ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tasks {
    tracker: Tracker<Task>,
}

struct Task {
    name: Arc<str>,
    since: Instant,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            tracker: Tracker::new(),
        }
    }

    pub(crate) fn spawn<F>(self, watch: PhaseWatch, name: Arc<str>, work: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Counted before it is spawned: a request that spawns it and ends leaves no gap.
        let token = self.tracker.enter_as(Task {
            name,
            since: Instant::now(),
        });
        tokio::spawn(async move {
            let dropped = tokio::select! {
                // The phase first: what begins when the time is over does nothing at all.
                biased;
                () = watch.reached(Phase::Forcing) => true,
                () = work => false,
            };
            if dropped {
                // Listed until the drain has named it: it may have begun when the time was over.
                tokio::spawn(async move {
                    watch.reached(Phase::Stopping).await;
                    drop(token);
                });
            }
        })
    }

    pub(crate) fn count(self) -> u64 {
        self.tracker.count()
    }

    pub(crate) fn is_idle(self) -> bool {
        self.tracker.is_idle()
    }

    pub(crate) fn idle(self) -> impl Future<Output = ()> + Send {
        self.tracker.idle()
    }

    /// The oldest `most`, oldest first; dropped ones too until phase `Stopping`.
    pub(crate) fn list(self, most: usize) -> Vec<Unfinished> {
        let now = Instant::now();
        let unfinished = |task: &Task| Unfinished {
            method: None,
            route: None,
            path: None,
            request_id: None,
            name: Some(task.name.clone()),
            peer: None,
            age: now.saturating_duration_since(task.since),
            stage: Stage::Task,
        };
        oldest(self.tracker, most, |task| task.since, unfinished)
    }
}
