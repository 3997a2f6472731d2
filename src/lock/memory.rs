//! Locks in this process's memory.
//!
//! Floor 4.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::instance::place;
use crate::lock::backend::{Acquired, LockBackend, Released, Renewed};
use crate::lock::error::LockError;
use crate::lock::grant_path::GrantPath;
use crate::lock::held::HeldLocks;
use crate::lock::holder::Holder;
use crate::lock::lease::{Claim, Fence, HAND_OVER, Lease, MAX_WAITERS, Owner, end_of};
use crate::lock::lock_key::LockKey;
use crate::lock::note::Note;

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

#[derive(Default)]
struct Slots {
    by_key: HashMap<LockKey, Slot>,
    last_fence: u64,
    /// When `by_key` reaches this size, what expired without a release is looked for.
    sweep_at: usize,
}

#[derive(Default)]
struct Slot {
    holder: Option<Grant>,
    line: VecDeque<Waiter>,
}

struct Waiter {
    owner: Owner,
    wake: Arc<Notify>,
    note: Note,
}

struct Grant {
    owner: Owner,
    note: Note,
    fence: Fence,
    until: Instant,
    path: GrantPath,
}

enum Turn {
    Granted(Fence, GrantPath),
    Busy {
        until: Instant,
        /// Whether the claim has just got in line.
        in_line: bool,
    },
    QueueFull,
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
        loop {
            let now = Instant::now();
            let line = patience.as_ref().filter(|(end, _)| now < *end);
            let wake = line.map(|(_, wake)| wake);
            let turn = self.slots().take_turn(claim, now, wake, self.max_waiters);
            let busy_until = match turn {
                Turn::Granted(fence, path) => {
                    let lease = Lease::confirmed(fence, now, claim.lease.get());
                    return Ok(Acquired::Granted(lease.with_path(path)));
                }
                Turn::QueueFull => return Ok(Acquired::QueueFull),
                Turn::Busy { until, in_line } => {
                    if in_line {
                        claim.waits();
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
            holder.waiting = slot.line.len();
            holder
        }))
    }

    fn held(&self) -> HeldLocks {
        self.held.clone()
    }
}

impl Slots {
    /// Grants the key, or gives the claim its place in line where it has a `wake` to wait on.
    fn take_turn(
        &mut self,
        claim: &Claim,
        now: Instant,
        wake: Option<&Arc<Notify>>,
        max_waiters: usize,
    ) -> Turn {
        self.sweep(now);
        let fence = self.next_fence();
        let slot = self.by_key.entry(claim.key.clone()).or_default();
        slot.pass_on(now, fence, GrantPath::Queued);
        match &mut slot.holder {
            Some(holder) if holder.owner == claim.owner => {
                holder.until = now + claim.lease.get();
                Turn::Granted(holder.fence, holder.path)
            }
            Some(holder) => {
                let until = holder.until;
                let waits = slot.line.iter().any(|waiter| waiter.owner == claim.owner);
                let place = wake.filter(|_| !waits);
                if let Some(wake) = place {
                    if slot.line.len() >= max_waiters {
                        return Turn::QueueFull;
                    }
                    slot.line.push_back(Waiter {
                        owner: claim.owner,
                        wake: wake.clone(),
                        note: claim.note.clone(),
                    });
                }
                let in_line = place.is_some();
                Turn::Busy { until, in_line }
            }
            None => {
                slot.holder = Some(Grant {
                    owner: claim.owner,
                    note: claim.note.clone(),
                    fence,
                    until: now + claim.lease.get(),
                    path: GrantPath::Free,
                });
                Turn::Granted(fence, GrantPath::Free)
            }
        }
    }

    fn release(&mut self, claim: &Claim, now: Instant) -> Released {
        let fence = self.next_fence();
        let Some(slot) = self.by_key.get_mut(&claim.key) else {
            return Released::NotHeld;
        };
        slot.line.retain(|waiter| waiter.owner != claim.owner);
        let held = slot
            .holder
            .take_if(|holder| holder.owner == claim.owner)
            .is_some_and(|holder| now < holder.until);
        let path = match held {
            true => GrantPath::Local,
            false => GrantPath::Queued,
        };
        slot.pass_on(now, fence, path);
        let handed_over = slot.holder.is_some();
        if !handed_over {
            self.by_key.remove(&claim.key);
        }
        match (held, handed_over) {
            (true, true) => Released::HandedOver,
            (true, false) => Released::Freed,
            (false, _) => Released::NotHeld,
        }
    }

    fn next_fence(&mut self) -> Fence {
        let micros = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
            });
        self.last_fence = micros.max(self.last_fence + 1);
        Fence::new(self.last_fence)
    }

    /// Forgets keys that expired without a release, at a cost that evens out.
    fn sweep(&mut self, now: Instant) {
        if self.by_key.len() < self.sweep_at.max(1024) {
            return;
        }
        self.by_key
            .retain(|_, slot| !slot.line.is_empty() || slot.is_held(now));
        self.sweep_at = self.by_key.len() * 2;
    }
}

impl Slot {
    fn is_held(&self, now: Instant) -> bool {
        let holder = self.holder.as_ref();
        holder.is_some_and(|holder| now < holder.until)
    }

    /// Gives a key whose lease is over to the oldest waiter, for as long as a waiter that is
    /// still there needs to come and take it.
    fn pass_on(&mut self, now: Instant, fence: Fence, path: GrantPath) {
        if self.is_held(now) {
            return;
        }
        self.holder = self.line.pop_front().map(|waiter| {
            waiter.wake.notify_one();
            let until = now + HAND_OVER;
            let Waiter { owner, note, .. } = waiter;
            Grant {
                owner,
                note,
                fence,
                until,
                path,
            }
        });
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
