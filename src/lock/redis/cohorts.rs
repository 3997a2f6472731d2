//! What this process has to do with each key: who holds it here, who waits, who asks.
//!
//! Floor 4.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use tokio::time::Instant;

use crate::lock::cohort::words::{Arrival, Ended, Leave, Place, Step, Turn};
use crate::lock::lease::{Claim, Lease, LeaseTime, Owner};
use crate::lock::lock_key::LockKey;
use crate::lock::redis::cohorts::entry::Entry;
use crate::lock::redis::cohorts::unsettled::Unsettled;
use crate::lock::redis::reply::Ran;
use crate::lock::redis::waiters::Waiting;
use crate::lock::sync::{Mutex, MutexGuard, Notified, Notify};

mod entry;
mod unsettled;

/// One [`Entry`] for each key that somebody here holds or wants; a free key has none.
#[derive(Debug, Default)]
pub(super) struct Cohorts {
    state: Mutex<State>,
    /// One of those who asked for a line is gone with its runtime.
    orphaned: Notify,
}

#[derive(Debug, Default)]
struct State {
    by_key: HashMap<LockKey, Entry>,
    unsettled: Unsettled,
}

impl Cohorts {
    pub(super) fn arrive(&self, claim: &Claim, wait: bool, max: usize) -> Arrival {
        let mut state = self.lock();
        let entry = state
            .by_key
            .entry(claim.key.clone())
            .or_insert_with(|| Entry::new(claim));
        entry.lease = entry.lease.max(claim.lease);
        let arrival = entry.cohort.arrive(claim, wait, Instant::now(), max);
        let overdue = entry.overdue();
        state.unsettled.remember(overdue);
        arrival
    }

    pub(super) fn queue_up(&self, claim: &Claim) -> Option<Place> {
        self.with(&claim.key, |entry| {
            let place = entry.cohort.queue_up(claim);
            if !place.drive {
                entry.tell_news();
            }
            place
        })
    }

    pub(super) fn asked_in_vain(&self, claim: &Claim) {
        self.with(&claim.key, |entry| {
            if entry.cohort.asked_in_vain(claim.owner) {
                entry.tell_news();
            }
        });
    }

    /// Whether the grant is of use; otherwise it is to be given back.
    pub(super) fn granted(&self, key: &LockKey, token: Owner, lease: Lease, limited: bool) -> bool {
        self.with(key, |entry| entry.granted(token, lease, limited))
            .unwrap_or(false)
    }

    /// As [`granted`](Self::granted) to a claim that asked for itself: nobody told this process of others
    /// who came before it listened.
    pub(super) fn granted_unheard(&self, key: &LockKey, token: Owner, lease: Lease, others: bool) {
        self.with(key, |entry| {
            if entry.granted(token, lease, others) {
                entry.cohort.is_unheard(Instant::now());
            }
        });
    }

    /// As [`granted`](Self::granted) where the line waits for a grant that came in by itself, and
    /// that can be read by what is known of Redis's clock.
    pub(super) fn heard(
        &self,
        key: &LockKey,
        token: Owner,
        others: bool,
        read: impl FnOnce(Option<Ran>) -> Option<Lease>,
    ) -> bool {
        self.with(key, |entry| {
            let waits = entry.cohort.asks(token);
            let lease = read(entry.ran).filter(|_| waits);
            lease.is_some_and(|lease| entry.granted(token, lease, others))
        })
        .unwrap_or(false)
    }

    pub(super) fn leave(&self, claim: &Claim) -> Leave {
        self.with(&claim.key, |entry| {
            let leave = entry.cohort.leave(claim.owner, Instant::now());
            // Whoever gets in line again says so when it has an ear open.
            let over = match leave {
                Leave::Withdraw(_) | Leave::Release { again: None, .. } => true,
                // Else the one who asks would ask once more for nothing.
                Leave::Settled => entry.cohort.nobody_waits(),
                Leave::Passed | Leave::Release { .. } | Leave::Unknown => false,
            };
            if over {
                entry.tell_news();
            }
            leave
        })
        .unwrap_or(Leave::Unknown)
    }

    pub(super) fn step(&self, key: &LockKey) -> Step {
        self.with(key, |entry| entry.cohort.step(Instant::now()))
            .unwrap_or(Step::Over(None))
    }

    pub(super) fn fail(&self, key: &LockKey, token: Owner, turn: impl Fn() -> Turn) {
        self.with(key, |entry| entry.cohort.fail(token, turn));
    }

    pub(super) fn others_wait(&self, key: &LockKey, token: Owner) {
        self.with(key, |entry| entry.cohort.others_wait(token, Instant::now()));
    }

    pub(super) fn token_of(&self, claim: &Claim) -> Option<Owner> {
        self.with(&claim.key, |entry| {
            entry.cohort.token_of(claim.owner, Instant::now())
        })?
    }

    pub(super) fn renewed(&self, claim: &Claim, token: Owner, until: Instant) -> Option<Lease> {
        self.with(&claim.key, |entry| {
            entry
                .cohort
                .renewed(token, claim.owner, until, Instant::now())
        })?
    }

    pub(super) fn lost(&self, key: &LockKey, token: Owner) {
        self.with(key, |entry| {
            entry.cohort.lost(token);
            entry.tell_news();
        });
    }

    /// Whoever asked for the line is gone: those who wait are to find somebody else.
    pub(super) fn orphan(&self, key: &LockKey) {
        self.with(key, |entry| entry.cohort.orphaned(Instant::now()));
        self.orphaned.notify_waiters();
    }

    /// Resolves when that has befallen a line, from when it is enabled on.
    pub(super) fn orphaned(&self) -> Notified<'_> {
        self.orphaned.notified()
    }

    /// Whether the caller is to ask for the line from now on, as nobody does.
    pub(super) fn adopt(&self, key: &LockKey) -> bool {
        self.with(key, |entry| entry.cohort.adopt())
            .unwrap_or(false)
    }

    /// The lease that whoever is served next asks for.
    pub(super) fn next_lease(&self, key: &LockKey) -> Option<LeaseTime> {
        self.with(key, |entry| entry.cohort.next_lease())?
    }

    /// The longest lease that the cohort's claims ask for, and what wakes the one who asks.
    pub(super) fn terms(&self, key: &LockKey) -> Option<(LeaseTime, Arc<Notify>)> {
        self.with(key, |entry| {
            (entry.lease, entry.news.get_or_insert_default().clone())
        })
    }

    pub(super) fn ran(&self, key: &LockKey) -> Option<Ran> {
        self.with(key, |entry| entry.ran)?
    }

    pub(super) fn set_ran(&self, key: &LockKey, ran: Ran) {
        self.with(key, |entry| entry.ran = Some(ran));
    }

    /// `token` gets in line, or is: the one who asks for the line need not.
    pub(super) fn set_waiting(&self, key: &LockKey, token: Owner, waiting: Option<Waiting>) {
        self.with(key, |entry| {
            entry.waiting = waiting.map(|waiting| Box::new((token, waiting)));
            entry.tell_news();
        });
    }

    /// Whoever asked for the line goes, and the key is held: that others wait is told to its token, and
    /// only once.
    pub(super) fn keep_ear(&self, key: &LockKey, token: Owner, waiting: Waiting) {
        self.with(key, |entry| {
            if entry.cohort.holds(token) {
                let ear = || Box::new((token, waiting));
                entry.waiting.get_or_insert_with(ear);
            }
        });
    }

    /// Whether `token` is what the line waits under.
    pub(super) fn asks(&self, key: &LockKey, token: Owner) -> bool {
        self.with(key, |entry| entry.cohort.asks(token))
            .unwrap_or(false)
    }

    /// Whether somebody here holds the key under `token`.
    pub(super) fn holds(&self, key: &LockKey, token: Owner) -> bool {
        self.with(key, |entry| entry.cohort.holds(token))
            .unwrap_or(false)
    }

    /// A token that was asked for in place of the one who asks for the line, or is held, and its ear.
    pub(super) fn take_waiting(&self, key: &LockKey) -> Option<(Owner, Waiting)> {
        self.with(key, |entry| entry.waiting.take())?
            .map(|waiting| *waiting)
    }

    /// Remembers a release until Redis has answered it.
    pub(super) fn unsettled(&self, claim: &Claim, ended: Ended) {
        let over = (claim.owner, ended, claim.lease);
        self.lock().unsettled.remember(Some(over));
    }

    pub(super) fn take_unsettled(&self, claim: &Claim) -> Option<Ended> {
        self.lock().unsettled.take(claim.owner)
    }

    /// Does something to a key's entry, and forgets the entry when that was the last.
    fn with<T>(&self, key: &LockKey, act: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let mut state = self.lock();
        let entry = state.by_key.get_mut(key)?;
        let done = act(entry);
        let overdue = entry.overdue();
        let forgotten = entry
            .cohort
            .is_over()
            .then(|| state.by_key.remove(key))
            .flatten();
        state.unsettled.remember(overdue);
        drop(state);
        // An ear takes another lock when it closes.
        drop(forgotten);
        Some(done)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod interleavings;
