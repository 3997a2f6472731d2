//! What everybody was told by the last event, and whether it may be so.
//!
//! Floor 4.

use futures_util::FutureExt;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::Instant;

use super::backend::{RIVAL, owner};
use super::{Stage, World};
use crate::lock::cohort::words::Turn;
use crate::lock::lease::Lease;

impl World {
    pub(super) fn look(&mut self) {
        match self.cohorts.terms(&self.key) {
            Some((_, news)) => self.news |= news.notified().now_or_never().is_some(),
            None => {
                assert_eq!(self.driver, None, "who asks for the line was forgotten");
                self.news = false;
            }
        }
        for at in 0..self.stages.len() {
            let Stage::Waiting(turn) = &mut self.stages[at] else {
                continue;
            };
            match turn.try_recv() {
                Ok(Turn::Granted(lease)) => self.now_held(at, lease),
                Ok(Turn::Failed(_)) if self.cuts == 0 => {
                    self.order.retain(|waiting| *waiting != at);
                    self.stages[at] = Stage::Over;
                }
                Err(TryRecvError::Empty) => {
                    assert!(self.driver.is_some(), "nobody asks for the line");
                }
                other => panic!("{other:?}"),
            }
        }
        let now = Instant::now();
        let live = |stage: &&Stage| matches!(stage, Stage::Holding(it) if it.deadline() > now);
        let holders = self.stages.iter().filter(live).count();
        let rivals = usize::from(self.redis.rival_holds());
        assert!(holders + rivals <= 1, "two hold the key");
        self.is_told_of_others();
    }

    /// Once all is quiet, and no message was lost, whoever holds the key here knows that a rival waits.
    fn is_told_of_others(&self) {
        let quiet = self.commands.is_empty() && self.answers.is_empty() && self.cuts > 0;
        let (Some((holder, _)), true) = (self.redis.holder, quiet && !self.redis.is_free()) else {
            return;
        };
        let state = self.cohorts.lock();
        let unlimited = state
            .by_key
            .get(&self.key)
            .is_some_and(|entry| entry.cohort.holds(owner(holder)) && !entry.cohort.is_limited());
        let waits = self.redis.line.contains(&RIVAL);
        assert!(!(waits && unlimited), "nobody here knows of the rival");
    }

    pub(super) fn now_held(&mut self, at: usize, lease: Lease) {
        let fence = lease.fence().get();
        assert!(fence > self.last_fence, "fences only grow");
        self.last_fence = fence;
        if self.order.contains(&at) {
            assert_eq!(self.order.remove(0), at, "first come, first served");
        }
        self.stages[at] = Stage::Holding(lease);
    }
}
