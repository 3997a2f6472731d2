//! What the log says of each phase.
//!
//! Floor 3.

use std::mem::replace;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::lifecycle::phase::Phase;

/// Says each phase as it begins, and how long the one before has taken.
///
/// Events and no spans: a span is entered by those whose work it covers, and a phase is the state of
/// all tasks of an instance together, most of which have begun before it and end after it.
#[derive(Debug)]
pub(crate) struct PhaseLog {
    grace: Duration,
    last: Mutex<(Phase, Instant)>,
}

impl PhaseLog {
    pub(crate) fn new(grace: Duration) -> Self {
        Self {
            grace,
            last: Mutex::new((Phase::Starting, Instant::now())),
        }
    }

    /// Says that `phase` has begun, with what is left of the grace since the shutdown was asked for.
    pub(crate) fn begins(&self, phase: Phase, in_flight: u64, asked: Option<Instant>) {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (previous, since) = replace(&mut *last, (phase, now));
        drop(last);
        let took = now.saturating_duration_since(since);
        let gone = asked.map(|at| now.saturating_duration_since(at));
        let left = gone.map(|gone| tracing::field::debug(self.grace.saturating_sub(gone)));
        tracing::info!(%previous, ?took, in_flight, left, "{phase}");
    }
}
