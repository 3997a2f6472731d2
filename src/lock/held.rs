//! Every lock that this process holds.
//!
//! Floor 2.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, MutexGuard};

use tokio::runtime::{Handle, Id, RuntimeFlavor};
use tokio::time::{Instant, timeout_at};

use crate::lock::held::list::{Held, Shared, State};
use crate::lock::held::under_way::{BLIP, UnderWay};
use crate::lock::lease::Owner;
use crate::lock::lock_key::LockKey;

pub(crate) mod list;
pub(crate) mod under_way;

/// How many renewals, and in a shutdown releases, are under way at a time: so that those who hold
/// thousands take no memory for all of them, nor ask more at once than the backend answers in time.
pub(crate) const AT_ONCE: usize = 512;

/// The locks held through one backend in this process: what an operator wants to see, and what
/// a shutdown has to let go of. Clones share the list.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use tower_handoff::lock::MemoryLocks;
///
/// let held = MemoryLocks::new().held();
/// assert!(held.names().is_empty());
/// held.release_all().await; // from now on this backend grants nothing in this process
/// assert!(held.is_closed());
/// # }
/// ```
#[derive(Clone, Default)]
pub struct HeldLocks(Arc<Shared>);

impl HeldLocks {
    /// The names of the locks held just now, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<LockKey> {
        let mut names: Vec<_> = self.lock().held.values().map(|h| h.key().clone()).collect();
        names.sort();
        names
    }

    /// Refuses every further acquire, and those that wait now. What is held stays held.
    ///
    /// There is no way back: this is for the end of the process.
    pub fn close(&self) {
        self.lock().closed = true;
        self.0.closing.notify_waiters();
    }

    /// Whether [`close`](Self::close) or [`release_all`](Self::release_all) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Closes the list, lets go of everything that is held, and waits until the backend has
    /// answered for each lock, and for all that was already under way; not for more than a second
    /// and one last attempt where the backend fails.
    ///
    /// A handler that still runs sees its lock as lost.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting, not the releases.
    pub async fn release_all(&self) {
        self.close();
        // Dropped last: by then what is left is under way.
        let _flush = self.0.releases.flush();
        let (patience, held) = {
            let mut state = self.lock();
            let since = *state.ending.get_or_insert_with(Instant::now);
            (since + BLIP, state.held.values().cloned().collect())
        };
        let mut left = ToTakeAway(held);
        while let Some(lock) = left.0.pop() {
            lock.take_away();
            // No timer where there is room, so that nothing but a backend in trouble needs a runtime.
            if self.lock().under_way >= AT_ONCE {
                let room = self.comes_to(|state| state.under_way < AT_ONCE);
                // A backend that is silent makes no room: what is left has its one attempt now.
                let _ = timeout_at(patience, room).await;
            }
        }
        self.comes_to(|state| state.under_way == 0 && state.held.is_empty())
            .await;
    }

    /// Resolves when the closed list has come to this.
    async fn comes_to(&self, this: impl Fn(&State) -> bool) {
        loop {
            let mut changed = pin!(self.0.closing.notified());
            changed.as_mut().enable();
            if this(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// Whether both are the same list, hence of the same backend.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Resolves when the list is closed.
    pub(crate) async fn closed(&self) {
        let mut closing = pin!(self.0.closing.notified());
        closing.as_mut().enable();
        if !self.is_closed() {
            closing.await;
        }
    }

    /// Begins an acquire, which a shutdown waits for; none once the list is closed.
    pub(crate) fn begin(&self) -> Option<UnderWay> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        state.under_way += 1;
        Some(UnderWay::new(&self.0, None))
    }

    /// Something that a shutdown waits for, also one that has begun.
    #[cfg(feature = "redis")]
    pub(crate) fn under_way(&self) -> UnderWay {
        self.lock().under_way += 1;
        UnderWay::new(&self.0, None)
    }

    /// Lists a lock. `Err` when the list is closed; else whether a renewal task must be started.
    pub(crate) fn add(&self, owner: Owner, lock: Arc<dyn Held>) -> Result<bool, ()> {
        let due = lock.due(Instant::now());
        let mut state = self.lock();
        if state.closed {
            return Err(());
        }
        state.held.insert(owner, lock);
        let next_look = state.next_look;
        if due.zip(next_look).is_some_and(|(due, next)| due.at < next) {
            self.0.renewals.notify_one();
        }
        Ok(next_look.is_none())
    }

    /// A listed lock is due at `due`, which may be sooner than the renewal task knows of.
    pub(crate) fn due_at(&self, due: Instant) {
        if self.lock().next_look.is_some_and(|next| due < next) {
            self.0.renewals.notify_one();
        }
    }

    /// Takes a lock off the list; the release counts as under way until the result is dropped.
    pub(crate) fn leave(&self, owner: &Owner) -> UnderWay {
        let mut state = self.lock();
        state.under_way += 1;
        let lock = state.held.remove(owner);
        drop(state);
        drop(lock);
        UnderWay::new(&self.0, Some(self.0.releases.begin()))
    }

    /// Strikes off the locks whose lease is over, and says what the renewal task does next.
    pub(crate) fn renewals(&self) -> Renewals {
        let mut state = self.lock();
        let now = Instant::now();
        let held = state.held.len();
        let mut due_now = Vec::new();
        let mut next: Option<Instant> = None;
        state.held.retain(|_, lock| {
            let Some(due) = lock.due(now) else {
                return false;
            };
            if due.is_now(now, held) {
                due_now.push(lock.clone());
            } else {
                next = Some(next.map_or(due.at, |next| next.min(due.at)));
            }
            true
        });
        if !due_now.is_empty() {
            return Renewals::Due(due_now);
        }
        state.next_look = next;
        next.map_or(Renewals::Over, Renewals::At)
    }

    /// A connection was replaced: what it led to is due now.
    pub(crate) fn reconnected(&self) {
        // Asked outside of the list's mutex: a backend of the user's own says which connection it is.
        let held: Vec<_> = self.lock().held.values().cloned().collect();
        held.iter().for_each(|lock| lock.reconnected());
    }

    /// Says that the renewal task ended without having been told to.
    pub(crate) fn renewals_ended(&self) {
        self.lock().next_look = None;
    }

    /// Claims the renewal task for the caller to start, in a runtime where something held was taken
    /// and which was not tried; none where there is such a task, or no such runtime.
    pub(crate) fn begin_renewals(&self, tried: &[Id]) -> Option<Handle> {
        let mut state = self.lock();
        if state.next_look.is_some() {
            return None;
        }
        let homes = state.held.values().filter_map(|lock| lock.home());
        let home = homes
            .filter(|home| !tried.contains(&home.id()))
            .max_by_key(|home| home.runtime_flavor() != RuntimeFlavor::CurrentThread)?
            .clone();
        state.next_look = Some(Instant::now());
        Some(home)
    }

    /// Resolves when a lock was added that is due before the renewal task looks again.
    pub(crate) async fn due_earlier(&self) {
        self.0.renewals.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl fmt::Debug for HeldLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("HeldLocks")
            .field("held", &state.held.len())
            .field("closed", &state.closed)
            .finish_non_exhaustive()
    }
}

/// What the renewal task does next.
pub(crate) enum Renewals {
    /// Nothing is held: it ends.
    Over,
    /// Renew these, and look again.
    Due(Vec<Arc<dyn Held>>),
    /// Sleep until then.
    At(Instant),
}

/// Dropped, it takes away at once what there was no turn for yet.
struct ToTakeAway(Vec<Arc<dyn Held>>);

impl Drop for ToTakeAway {
    fn drop(&mut self) {
        for lock in self.0.drain(..) {
            lock.take_away();
        }
    }
}

#[cfg(test)]
mod tests;
