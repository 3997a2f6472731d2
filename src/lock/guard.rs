//! What a handler holds.
//!
//! Floor 5.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::lock::error::LockError;
use crate::lock::held::HeldLocks;
use crate::lock::holding::{Holding, ReleaseOutcome};
use crate::lock::lease::Fence;
use crate::lock::lock_key::LockKey;

/// The handler's view of the lock that its request holds; found in the request's extensions,
/// and an axum extractor.
///
/// Clones are views of the same lock. Dropping them releases nothing: the layer does, at the end
/// of the answer, so that a clone forgotten somewhere cannot keep the key. A clone that outlives
/// the request sees [`lost`](Self::lost) resolve.
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
pub struct LockGuard {
    holding: Arc<Holding>,
    /// The lock of a layer further out.
    outer: Option<Arc<LockGuard>>,
}

impl LockGuard {
    pub(crate) fn new(holding: Arc<Holding>, outer: Option<Self>) -> Self {
        let outer = outer.map(Arc::new);
        Self { holding, outer }
    }

    /// What is locked.
    #[must_use]
    pub fn key(&self) -> &LockKey {
        &self.holding.claim().key
    }

    /// The number that grows with every grant of the key: send it along with every write.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.holding.fence()
    }

    /// Whether the lock is held at this moment. Local: no round trip.
    ///
    /// The answer can be out of date as soon as it is given; what must not happen twice checks
    /// the [`fence`](Self::fence) where it happens.
    ///
    /// # Errors
    /// [`Lost`](crate::lock::LockErrorKind::Lost) or
    /// [`Released`](crate::lock::LockErrorKind::Released).
    pub fn check(&self) -> Result<(), LockError> {
        self.holding.check()
    }

    /// Resolves as soon as the lock is not held any more, before anybody else can hold it: the
    /// backend says so, the lease's deadline has passed unrenewed, or the lock was let go.
    ///
    /// Borrows nothing, so it can be moved into a task. Cancel safe.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        let holding = self.holding.clone();
        async move { holding.ended().await }
    }

    /// How long the lease lasts if it is not renewed; it is, while the request lasts. Zero when
    /// the lock is not held.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.holding.remaining()
    }

    /// Lets go before the end of the request, and says what became of it. One round trip.
    ///
    /// # Cancel safety
    /// The release is under way from the first poll on, whether or not the future is polled
    /// again.
    pub async fn release(&self) -> ReleaseOutcome {
        match self.holding.let_go() {
            Ok(told) => told.await.unwrap_or(ReleaseOutcome::Unknown),
            Err(outcome) => outcome,
        }
    }

    /// This lock or one further out, if it is held in `held` under `key`.
    pub(crate) fn find(&self, held: &HeldLocks, key: &LockKey) -> Option<&Arc<Holding>> {
        let mut guard = Some(self);
        while let Some(LockGuard { holding, outer }) = guard {
            if holding.claim().key == *key && holding.held().same(held) && holding.check().is_ok() {
                return Some(holding);
            }
            guard = outer.as_deref();
        }
        None
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { holding, outer: _ } = self;
        f.debug_struct("LockGuard")
            .field("key", self.key())
            .field("fence", &self.fence())
            .field("remaining", &holding.remaining())
            .finish()
    }
}
