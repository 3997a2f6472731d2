//! Who holds each key, and who waits for it: what comes in is answered at once.
//!
//! Floor 4.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::lock::backend::Released;
use crate::lock::grant_path::GrantPath;
use crate::lock::lease::{Claim, Fence, HAND_OVER, Owner};
use crate::lock::lock_key::LockKey;
use crate::lock::note::Note;

#[derive(Default)]
pub(super) struct Slots {
    pub(super) by_key: HashMap<LockKey, Slot>,
    last_fence: u64,
    /// When `by_key` reaches this size, what expired without a release is looked for.
    sweep_at: usize,
}

#[derive(Default)]
pub(super) struct Slot {
    pub(super) holder: Option<Grant>,
    line: VecDeque<Waiter>,
}

struct Waiter {
    owner: Owner,
    /// Since when it waits, where it was served before and came too late to use it.
    seat: Option<Instant>,
    wake: Arc<Notify>,
    note: Note,
}

pub(super) struct Grant {
    pub(super) owner: Owner,
    pub(super) note: Note,
    pub(super) fence: Fence,
    pub(super) until: Instant,
    path: GrantPath,
}

pub(super) enum Turn {
    Granted(Fence, GrantPath),
    Busy {
        until: Instant,
        /// Whether the claim has just got in line.
        in_line: bool,
    },
    QueueFull,
}

impl Slots {
    /// Grants the key, or gives the claim its place in line where it has a `wake` to wait on: at the end
    /// or, with a `seat`, where it was.
    pub(super) fn take_turn(
        &mut self,
        claim: &Claim,
        now: Instant,
        wake: Option<&Arc<Notify>>,
        seat: Option<Instant>,
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
                let mut in_line = false;
                if let Some(wake) = wake
                    && !slot.listen_again(claim.owner, wake)
                {
                    // Its place is its own already: nobody is refused for what kept it from taking its turn.
                    if seat.is_none() && slot.line.len() >= max_waiters {
                        return Turn::QueueFull;
                    }
                    slot.enter(Waiter {
                        owner: claim.owner,
                        seat,
                        wake: wake.clone(),
                        note: claim.note.clone(),
                    });
                    in_line = true;
                }
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

    pub(super) fn release(&mut self, claim: &Claim, now: Instant) -> Released {
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
    pub(super) fn waiting(&self) -> usize {
        self.line.len()
    }

    pub(super) fn is_held(&self, now: Instant) -> bool {
        let holder = self.holder.as_ref();
        holder.is_some_and(|holder| now < holder.until)
    }

    /// Wakes who stands in line already by this from now on; what it waited with before may be gone.
    fn listen_again(&mut self, owner: Owner, wake: &Arc<Notify>) -> bool {
        let mut line = self.line.iter_mut();
        let waiter = line.find(|waiter| waiter.owner == owner);
        waiter.map(|waiter| waiter.wake = wake.clone()).is_some()
    }

    /// Whoever was served too late to use it comes before all who were not, the longest wait first.
    fn enter(&mut self, waiter: Waiter) {
        let before = |other: &Waiter| other.seat.is_some_and(|seat| Some(seat) <= waiter.seat);
        let place = match waiter.seat {
            Some(_) => self.line.partition_point(before),
            None => self.line.len(),
        };
        self.line.insert(place, waiter);
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
