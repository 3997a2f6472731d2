//! What this process has to do with one key.
//!
//! Floor 4.

use std::sync::Arc;

use tokio::time::Instant;

use crate::lock::cohort::Cohort;
use crate::lock::cohort::words::Ended;
use crate::lock::lease::{Claim, Lease, LeaseTime, Owner};
use crate::lock::redis::reply::Ran;
use crate::lock::redis::waiters::Waiting;
use crate::lock::sync::Notify;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) cohort: Cohort,
    /// The longest of those that its claims ask for.
    pub(super) lease: LeaseTime,
    /// Made when first asked for: a key that is not contended has nobody to wake.
    pub(super) news: Option<Arc<Notify>>,
    /// Where a release got in line again: the ear for the grant, open before the release left. Or,
    /// where the key is held and nobody waits for it here, for word of others who do.
    pub(super) waiting: Option<Box<(Owner, Waiting)>>,
    pub(super) ran: Option<Ran>,
}

impl Entry {
    pub(super) fn new(claim: &Claim) -> Self {
        Self {
            cohort: Cohort::new(claim.owner),
            lease: claim.lease,
            news: None,
            waiting: None,
            ran: None,
        }
    }

    /// Wakes the one who asks for the line.
    pub(super) fn tell_news(&self) {
        if let Some(news) = &self.news {
            news.notify_one();
        }
    }

    pub(super) fn granted(&mut self, token: Owner, lease: Lease, limited: bool) -> bool {
        let of_use = self.cohort.granted(token, lease, limited, Instant::now());
        if of_use {
            // Whoever rests while a claim asks for itself does not know of this lease's end.
            self.tell_news();
        }
        of_use
    }

    pub(super) fn overdue(&mut self) -> Option<(Owner, Ended, LeaseTime)> {
        let (holder, ended) = self.cohort.take_overdue()?;
        Some((holder, ended, self.lease))
    }
}
