//! A lock of its owner's, bound to no request.
//!
//! Floor 5.

use std::ops::Deref;

use crate::lock::error::{LockError, LockErrorKind};
use crate::lock::guard::LockGuard;
use crate::lock::hold::Hold;
use crate::lock::outcome::ReleaseOutcome;

/// A lock that lasts until its owner drops it: renewed until then, and let go whatever ends the
/// owner, a panic and a cancelled task included. Dropping it sends the release and waits for
/// nothing, inside or outside of a runtime.
///
/// Everything that a [`LockGuard`] tells it tells too. Clones of that guard are views, which hold
/// nothing.
///
/// A shutdown takes it away from work that has not ended by then, as it does with every lock:
/// spawn such work through [`Lifecycle::spawn`](crate::lifecycle::LifecycleHandle::spawn), so that the drain waits
/// for it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_handoff::BoxError> {
/// use tower_handoff::lock::{LockKey, Locks, MemoryLocks};
///
/// let locks = Locks::new(MemoryLocks::new());
/// let lock = locks.acquire(LockKey::new("nightly-report")?).await?;
/// lock.check()?;
/// println!("writing under {}", lock.fence());
/// lock.release().await; // or drop it
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the lock is let go when this is dropped"]
pub struct OwnedLock {
    guard: LockGuard,
    hold: Hold,
}

impl OwnedLock {
    /// Lets go, and says what became of it. One round trip, as [`LockGuard::release`].
    ///
    /// # Cancel safety
    /// As [`LockGuard::release`]; a future that is never polled lets go when it is dropped.
    pub async fn release(self) -> ReleaseOutcome {
        let Self { guard, hold } = self;
        let outcome = guard.release().await;
        drop(hold);
        outcome
    }
}

impl Deref for OwnedLock {
    type Target = LockGuard;

    fn deref(&self) -> &LockGuard {
        &self.guard
    }
}

impl LockGuard {
    /// Takes the lock out of the request, so that it outlives the answer: for work in the
    /// background. The layer then does not let go of it, nor cap it for a streaming body; a
    /// [max hold](crate::lock::LockLayer::with_max_hold) that was set still ends it.
    ///
    /// ```
    /// # use tower_handoff::Lifecycle;
    /// # use tower_handoff::lock::{LockError, LockGuard};
    /// # async fn import(fence: u64) {}
    /// async fn start(lock: LockGuard, lifecycle: Lifecycle) -> Result<&'static str, LockError> {
    ///     let lock = lock.into_owned()?;
    ///     lifecycle.spawn("import", async move { import(lock.fence().get()).await });
    ///     Ok("begun")
    /// }
    /// ```
    ///
    /// # Errors
    /// [`NotOwned`](LockErrorKind::NotOwned) where it was taken before, where a layer further out
    /// holds it or one of several keys, and for the guards of [`get`](Self::get),
    /// [`guards`](Self::guards) and [`Locks::with`](crate::lock::Locks::with);
    /// [`Lost`](LockErrorKind::Lost) and [`Released`](LockErrorKind::Released).
    pub fn into_owned(self) -> Result<OwnedLock, LockError> {
        self.check()?;
        match self.take_all() {
            Some(hold) => Ok(OwnedLock { guard: self, hold }),
            None => Err(LockError::of(LockErrorKind::NotOwned)),
        }
    }
}
