//! What a handler holds.
//!
//! Floor 5.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use crate::lock::error::{LockError, LockErrorKind};
use crate::lock::few::Few;
use crate::lock::held::HeldLocks;
use crate::lock::hold::{Hold, release};
use crate::lock::holding::Holding;
use crate::lock::lease::{Claim, Fence};
use crate::lock::lock_key::LockKey;
use crate::lock::loss::LossWatch;
use crate::lock::outcome::ReleaseOutcome;

/// The handler's view of the lock that its request holds; found in the request's extensions,
/// and an axum extractor.
///
/// Clones are views of the same lock. Dropping them releases nothing: the layer does, at the end
/// of the answer, so that a clone forgotten somewhere cannot keep the key. A clone that outlives
/// the request sees [`lost`](Self::lost) resolve; [`into_owned`](Self::into_owned) is for work
/// that goes on after the answer.
///
/// Where several keys were locked together, it is the view of them all, and [`get`](Self::get) of
/// each.
///
/// ```
/// # use tower_handoff::lock::{LockError, LockGuard};
/// # async fn write_to_the_database(fence: u64) {}
/// async fn pay(lock: LockGuard) -> Result<(), LockError> {
///     lock.check()?;                                    // still ours?
///     write_to_the_database(lock.fence().get()).await;  // which refuses smaller fences
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct LockGuard(Arc<Shared>);

struct Shared {
    /// In the order of their keys; there is at least one.
    all: Few<Arc<Holding>>,
    /// The right to those that no layer further out holds, until it is used or taken over.
    own: Mutex<Option<Hold>>,
    /// The lock of a layer further out.
    outer: Option<LockGuard>,
}

impl LockGuard {
    pub(crate) fn new(all: Few<Arc<Holding>>, own: Option<Hold>, outer: Option<Self>) -> Self {
        Self(Arc::new(Shared {
            all,
            own: Mutex::new(own),
            outer,
        }))
    }

    /// What is locked; of several keys the first in their order.
    #[must_use]
    pub fn key(&self) -> &LockKey {
        &self.claim().key
    }

    /// The number that grows with every grant of the key: send it along with every write. Of
    /// several keys it is that of [`key`](Self::key); each has its own.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.0.all[0].fence()
    }

    /// The guard of one of the keys that are locked together.
    ///
    /// ```
    /// # use tower_handoff::lock::{Fence, LockGuard, LockKey};
    /// fn fence_of(lock: &LockGuard, account: &LockKey) -> Option<Fence> {
    ///     Some(lock.get(account)?.fence())
    /// }
    /// ```
    #[must_use]
    pub fn get(&self, key: &LockKey) -> Option<Self> {
        self.guards().find(|guard| guard.key() == key)
    }

    /// The guard of each key that is locked, in the order of the keys.
    pub fn guards(&self) -> impl Iterator<Item = Self> + '_ {
        let all = self.0.all.iter();
        all.map(|holding| Self::new(holding.clone().into(), None, None))
    }

    /// Whether the lock is held at this moment; of several keys, each of them. Local: no round
    /// trip.
    ///
    /// The answer can be out of date as soon as it is given; what must not happen twice checks
    /// the [`fence`](Self::fence) where it happens.
    ///
    /// # Errors
    /// [`Lost`](LockErrorKind::Lost) or [`Released`](LockErrorKind::Released).
    pub fn check(&self) -> Result<(), LockError> {
        let mut checked = Ok(());
        for error in self
            .0
            .all
            .iter()
            .filter_map(|holding| holding.check().err())
        {
            // Of several, a loss is the one that matters.
            if error.kind() == LockErrorKind::Lost {
                return Err(error);
            }
            checked = Err(error);
        }
        checked
    }

    /// Resolves as soon as the lock is not held any more, before anybody else can hold it: the
    /// backend says so, the lease's deadline has passed unrenewed, or the lock was let go. Of
    /// several keys, as soon as that befalls one of them.
    ///
    /// Borrows nothing, so it can be moved into a task. Cancel safe.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        let guard = self.clone();
        async move {
            let all = &guard.0.all;
            let mut ends: Vec<_> = all.iter().map(|h| Box::pin(h.ended())).collect();
            poll_fn(|cx| {
                let mut ends = ends.iter_mut();
                match ends.any(|end| end.as_mut().poll(cx).is_ready()) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
        }
    }

    /// How long the lease lasts if it is not renewed; it is, while the request lasts. Zero when
    /// the lock is not held. Of several keys, the shortest.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let all = self.0.all.iter().map(|holding| holding.remaining());
        all.min().unwrap_or_default()
    }

    /// Lets go before the end of the request, and says what became of it; of several keys, the
    /// worst that became of one. One round trip, in which all of them leave together. A lock that
    /// a layer further out holds is let go too: nothing of the request runs under it any more.
    ///
    /// # Cancel safety
    /// The release is under way from the first poll on, whether or not the future is polled
    /// again.
    pub async fn release(&self) -> ReleaseOutcome {
        release(&self.0.all).await
    }

    /// The lock on `key`, this one or one further out, if it is held in `held`.
    pub(crate) fn find(&self, held: &HeldLocks, key: &LockKey) -> Option<&Arc<Holding>> {
        let mut guard = Some(self);
        while let Some(LockGuard(shared)) = guard {
            let found = shared.all.iter().find(|holding| {
                holding.claim().key == *key && holding.held().same(held) && holding.check().is_ok()
            });
            if found.is_some() {
                return found;
            }
            guard = shared.outer.as_ref();
        }
        None
    }

    /// What holds the key; of several keys, the first.
    pub(crate) fn claim(&self) -> &Claim {
        self.0.all[0].claim()
    }

    /// Whoever asks it before and after each step stops when the lock is lost.
    pub(crate) fn watch(&self) -> LossWatch {
        LossWatch::new(&self.0.all)
    }

    /// Lets go after `time` at the latest of what this guard's layer still has to let go of.
    pub(crate) fn hold_at_most(&self, time: Duration) {
        if let Some(own) = &*self.own() {
            own.hold_at_most(time);
        }
    }

    /// The right to all of the keys, once.
    pub(crate) fn take_all(&self) -> Option<Hold> {
        let all = self.0.all.len();
        self.own().take_if(|own| own.count() == all)
    }

    fn own(&self) -> MutexGuard<'_, Option<Hold>> {
        self.0.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut guard = f.debug_struct("LockGuard");
        for holding in &*self.0.all {
            guard
                .field("key", &holding.claim().key)
                .field("fence", &holding.fence())
                .field("remaining", &holding.remaining());
        }
        guard.finish()
    }
}

/// The layer's hand on its guard's lock: dropped, it lets go, unless somebody took the lock over.
#[derive(Debug)]
pub(crate) struct Kept(LockGuard);

impl Kept {
    pub(crate) fn new(guard: LockGuard) -> Self {
        Self(guard)
    }

    pub(crate) fn guard(&self) -> &LockGuard {
        &self.0
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let own = self.0.own().take();
        // Lets go, the mutex being free.
        drop(own);
    }
}
