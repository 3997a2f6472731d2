//! What is held through one backend, and how much is under way.
//!
//! Floor 2.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

use crate::lock::due::Due;
use crate::lock::lease::Owner;
use crate::lock::lock_key::LockKey;
use crate::telemetry::pending::Pending;

#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// The list was closed, or something of a closed one is no longer under way.
    pub(super) closing: Notify,
    /// The renewal task has to look again.
    pub(super) renewals: Notify,
    /// Releases.
    pub(super) releases: Pending,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) held: HashMap<Owner, Arc<dyn Held>>,
    pub(super) closed: bool,
    /// Since when a shutdown waits for what is under way.
    pub(super) ending: Option<Instant>,
    /// Acquires, and releases of locks that are no longer in `held`, under way.
    pub(super) under_way: usize,
    /// When the renewal task looks again; `None` while there is no such task.
    pub(super) next_look: Option<Instant>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A held lock, as the list sees it.
pub(crate) trait Held: Send + Sync {
    fn key(&self) -> &LockKey;
    /// When the lease wants to be renewed; `None` when it is over.
    fn due(&self, now: Instant) -> Option<Due>;
    /// A connection was replaced: due now, if it was the one to this lock.
    fn reconnected(&self);
    /// Starts a renewal, and puts off the next one until it is known what became of this.
    /// The place is given up when that is known.
    fn renew(self: Arc<Self>, place: Option<OwnedSemaphorePermit>);
    /// The runtime in which it was taken.
    fn home(&self) -> Option<&Handle>;
    /// Takes the lock away from whoever still works under it, and starts the release.
    fn take_away(self: Arc<Self>);
}
