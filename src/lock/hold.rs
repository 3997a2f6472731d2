//! The right to locks, which lets go by itself.
//!
//! Floor 3.

use std::sync::Arc;
use std::time::Duration;

use crate::lock::few::Few;
use crate::lock::holding::Holding;
use crate::lock::outcome::ReleaseOutcome;

/// The right to some locks. There is one for each grant; dropping it lets go.
#[derive(Debug, Default)]
pub(crate) struct Hold(Few<Arc<Holding>>);

impl Hold {
    pub(crate) fn add(&mut self, holding: Arc<Holding>) {
        self.0.push(holding);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// See [`Holding::begin_use`].
    pub(crate) fn begin_use(&self) {
        for holding in &*self.0 {
            holding.begin_use();
        }
    }

    /// See [`Holding::hold_at_most`].
    pub(crate) fn hold_at_most(&self, time: Duration) {
        for holding in &*self.0 {
            holding.hold_at_most(time);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        for holding in &*self.0 {
            // A lock that is let go already stays so.
            holding.let_go();
        }
    }
}

/// Lets go of all, and waits for what becomes of each: the worst of it.
pub(crate) async fn release(all: &[Arc<Holding>]) -> ReleaseOutcome {
    // All are under way before any of them is waited for.
    let under_way: Vec<_> = all.iter().map(|holding| holding.release()).collect();
    let mut worst = ReleaseOutcome::Freed;
    for release in under_way {
        let outcome = match release {
            Ok(told) => told.await.unwrap_or(ReleaseOutcome::Unknown),
            Err(outcome) => outcome,
        };
        worst = worst.worse(outcome);
    }
    worst
}
