//! Locks in this process's memory.
//!
//! Floor 4.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::instance::place;
use crate::lock::backend::{Acquired, LockBackend, Released, Renewed};
use crate::lock::error::LockError;
use crate::lock::held::HeldLocks;
use crate::lock::holder::Holder;
use crate::lock::lease::{Claim, Lease, MAX_WAITERS, Owner, end_of};
use crate::lock::lock_key::LockKey;
use crate::lock::memory::slots::{Slots, Turn};

mod slots;

/// Locks in this process's memory: for one instance, for development, for tests.
///
/// Clones share the locks. What is free takes no memory. Fences begin at the wall clock's
/// microseconds, so they grow across restarts too, unless the clock is set back.
///
/// ```
/// use tower_handoff::lock::{LockKey, LockLayer, MemoryLocks};
///
/// let locks = MemoryLocks::new();
/// let layer = LockLayer::new(locks.clone(), LockKey::new("import")?);
/// # Ok::<(), tower_handoff::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct MemoryLocks {
    slots: Arc<Mutex<Slots>>,
    held: HeldLocks,
    max_waiters: usize,
}

impl MemoryLocks {
    /// No locks yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            slots: Arc::default(),
            held: HeldLocks::default(),
            max_waiters: MAX_WAITERS,
        }
    }

    /// How many may wait for one key before the next one is refused. Default 1024.
    #[must_use]
    pub fn with_max_waiters(mut self, max: usize) -> Self {
        self.max_waiters = max;
        self
    }

    /// The locks that are held now.
    #[must_use]
    pub fn held(&self) -> HeldLocks {
        self.held.clone()
    }

    pub(crate) fn is_held_by(&self, key: &LockKey, owner: &Owner) -> bool {
        let slots = self.slots();
        let holder = slots.by_key.get(key).and_then(|slot| slot.holder.as_ref());
        holder.is_some_and(|holder| holder.owner == *owner && Instant::now() < holder.until)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LockBackend for MemoryLocks {
    async fn acquire(&self, claim: &Claim, wait: Option<Duration>) -> Result<Acquired, LockError> {
        let patience = wait.map(|wait| (end_of(wait), Arc::new(Notify::new())));
        let since = Instant::now();
        let mut seat = claim.seat;
        loop {
            let now = Instant::now();
            let line = patience.as_ref().filter(|(end, _)| now < *end);
            let wake = line.map(|(_, wake)| wake);
            let turn = self
                .slots()
                .take_turn(claim, now, wake, seat, self.max_waiters);
            let busy_until = match turn {
                Turn::Granted(fence, path) => {
                    let lease = Lease::confirmed(fence, now, claim.lease.get());
                    return Ok(Acquired::Granted(lease.with_path(path)));
                }
                Turn::QueueFull => return Ok(Acquired::QueueFull),
                Turn::Busy { until, in_line } => {
                    if in_line {
                        claim.waits();
                        // Whoever is out of the line then was served, and came too late to take it.
                        seat.get_or_insert(since);
                    }
                    until
                }
            };
            let Some((end, wake)) = line else {
                self.slots().release(claim, now);
                let retry_after = busy_until.saturating_duration_since(now);
                return Ok(Acquired::Busy { retry_after });
            };
            tokio::select! {
                () = wake.notified() => {}
                () = sleep_until(busy_until.min(*end)) => {}
            }
        }
    }

    async fn renew(&self, claim: &Claim) -> Result<Renewed, LockError> {
        let now = Instant::now();
        let mut slots = self.slots();
        let holder = slots
            .by_key
            .get_mut(&claim.key)
            .and_then(|slot| slot.holder.as_mut());
        Ok(match holder {
            Some(holder) if holder.owner == claim.owner && now < holder.until => {
                holder.until = now + claim.lease.get();
                Renewed::Renewed(Lease::confirmed(holder.fence, now, claim.lease.get()))
            }
            _ => Renewed::Lost,
        })
    }

    async fn release(&self, claim: &Claim) -> Result<Released, LockError> {
        Ok(self.slots().release(claim, Instant::now()))
    }

    async fn inspect(&self, key: &LockKey) -> Result<Option<Holder>, LockError> {
        let now = Instant::now();
        let slots = self.slots();
        let slot = slots.by_key.get(key).filter(|slot| slot.is_held(now));
        let found = slot.and_then(|slot| Some((slot, slot.holder.as_ref()?)));
        Ok(found.map(|(slot, grant)| {
            let remaining = grant.until.saturating_duration_since(now);
            let mut holder = Holder::new(grant.fence, remaining).with_place(place());
            holder.note = grant.note.clone();
            holder.waiting = slot.waiting();
            holder
        }))
    }

    fn held(&self) -> HeldLocks {
        self.held.clone()
    }
}

impl Default for MemoryLocks {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLocks")
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}
