//! Locks for code that is no request.
//!
//! Floor 5.

use std::future::Future;
use std::time::Duration;

use crate::config::ConfigError;
use crate::lock::backend::LockBackend;
use crate::lock::error::LockError;
use crate::lock::guard::LockGuard;
use crate::lock::holder::Holder;
use crate::lock::lock_key::LockKey;
use crate::lock::lock_keys::LockKeys;
use crate::lock::manager::Manager;
use crate::lock::on_lost::OnLost;
use crate::lock::owned::OwnedLock;
use crate::lock::terms::Terms;

/// Locks for code that is no request: jobs, consumers, migrations. The same locks as those of a
/// [`LockLayer`](crate::lock::LockLayer) on the same backend: a job and a request with the same
/// key exclude each other.
///
/// Cheap to clone; several keys at once are [`LockKeys`].
///
/// **Cost**, with Redis: one script to acquire, one to let go that nobody waits for, one more for
/// each third of a lease that the lock is held; each of them for each key.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_handoff::BoxError> {
/// use std::time::Duration;
/// use tower_handoff::lock::{LockErrorKind, LockKey, Locks, MemoryLocks, OnLost};
///
/// let locks = Locks::new(MemoryLocks::new()) // with Redis: `redis.locks()`
///     .with_wait(Duration::from_secs(30))?
///     .with_on_lost(OnLost::Stop);
/// let report = LockKey::new("nightly-report")?;
///
/// let written = locks
///     .with(&report, |lock| async move { format!("written under {}", lock.fence()) })
///     .await?;
/// # let _ = written;
///
/// match locks.try_acquire(&report).await {
///     Ok(lock) => drop(lock), // ours until here
///     Err(error) if error.kind() == LockErrorKind::Busy => {} // somebody else is at it
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Locks {
    manager: Manager,
    terms: Terms,
    on_lost: OnLost,
}

impl Locks {
    /// Locks in `backend`.
    pub fn new(backend: impl LockBackend) -> Self {
        Self {
            manager: Manager::new(backend),
            terms: Terms::usual(),
            on_lost: OnLost::Signal,
        }
    }

    /// What metrics and [spans](crate::lock#seen-from-outside) call these locks, in the label `lock`:
    /// never their keys, of which there is no end. Default `unnamed`. Operators who ask who [holds](Self::inspect) one are told the name
    /// too.
    pub fn with_name(mut self, name: &'static str) -> Self {
        self.terms.set_name(name);
        self
    }

    /// How long a lock outlives a process that dies; a living one renews it. Default 10 s.
    ///
    /// # Errors
    /// When `lease` is shorter than 100 ms or longer than 24 h.
    pub fn with_lease(mut self, lease: Duration) -> Result<Self, ConfigError> {
        self.terms.set_lease(lease)?;
        Ok(self)
    }

    /// How long [`acquire`](Self::acquire) waits in line. Default 5 s.
    ///
    /// # Errors
    /// When `wait` is zero, for which there is [`try_acquire`](Self::try_acquire), or longer than
    /// ten minutes.
    pub fn with_wait(mut self, wait: Duration) -> Result<Self, ConfigError> {
        self.terms.set_wait(wait, "try_acquire")?;
        Ok(self)
    }

    /// How long a lock is held at most. Then it is let go, and is lost to whoever still works
    /// under it. Default: as long as its owner keeps it.
    ///
    /// # Errors
    /// When `time` is shorter than 100 ms or longer than 24 h.
    pub fn with_max_hold(mut self, time: Duration) -> Result<Self, ConfigError> {
        self.terms.set_max_hold(time)?;
        Ok(self)
    }

    /// What becomes of the work of [`with`](Self::with) when its lock is lost. Default: it is told.
    pub fn with_on_lost(mut self, on_lost: OnLost) -> Self {
        self.on_lost = on_lost;
        self
    }

    /// Locks a key, or several, and waits in line for it while somebody else holds it.
    ///
    /// # Errors
    /// [`Busy`](crate::lock::LockErrorKind::Busy) when the wait is over, with what was left of the
    /// holder's lease ([`retry_after`](LockError::retry_after)), [`QueueFull`](crate::lock::LockErrorKind::QueueFull),
    /// [`Unavailable`](crate::lock::LockErrorKind::Unavailable) while the backend is away or refuses, and
    /// where the lock would be of no use;
    /// [`Closed`](crate::lock::LockErrorKind::Closed) in a shutdown.
    ///
    /// # Cancel safety
    /// A future that is dropped has taken nothing: what it claimed is withdrawn, its place in line
    /// is given up.
    pub async fn acquire(&self, keys: impl Into<LockKeys>) -> Result<OwnedLock, LockError> {
        self.lock(keys.into(), self.terms.clone()).await
    }

    /// Locks a key, or several, if nobody else holds it now.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), without a wait.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self, keys: impl Into<LockKeys>) -> Result<OwnedLock, LockError> {
        let terms = Terms {
            wait: None,
            ..self.terms.clone()
        };
        self.lock(keys.into(), terms).await
    }

    /// Who holds the key, for operators; `None` where it is free. What a client may know is that it
    /// is busy.
    ///
    /// With Redis it is one read-only script, one round trip, and says what Redis knows. The process is
    /// always the right one. The note is that of the claim to which the key was granted at once. Where
    /// it was waited for, or passed on within the process, the note is empty or that of the one before,
    /// until the first renewal after a third of the lease tells.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_handoff::BoxError> {
    /// use tower_handoff::lock::{LockKey, Locks, MemoryLocks};
    ///
    /// let locks = Locks::new(MemoryLocks::new()).with_name("reports");
    /// let report = LockKey::new("nightly-report")?;
    /// assert!(locks.inspect(&report).await?.is_none());
    ///
    /// let lock = locks.acquire(&report).await?;
    /// let holder = locks.inspect(&report).await?.expect("it is held");
    /// assert_eq!(holder.pid, Some(std::process::id()));
    /// assert_eq!(holder.note.name(), Some("reports"));
    /// assert_eq!((holder.fence, holder.waiting), (lock.fence(), 0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Unavailable`](crate::lock::LockErrorKind::Unavailable) where the backend cannot tell, or what
    /// it has under the key is no lock of this version's.
    ///
    /// # Cancel safety
    /// It reads, and leaves nothing behind.
    pub async fn inspect(&self, key: &LockKey) -> Result<Option<Holder>, LockError> {
        self.manager.inspect(key).await
    }

    async fn lock(&self, keys: LockKeys, terms: Terms) -> Result<OwnedLock, LockError> {
        self.manager.acquire(&keys, terms, None).await?.into_owned()
    }

    /// Runs `work` under a lock, for which it waits as [`acquire`](Self::acquire) does, and lets
    /// go when the work ends, panics, or is dropped with this future.
    ///
    /// When the lock is lost meanwhile, work that is [told](OnLost::Signal) goes on and can see it
    /// in its guard; work that is to be [stopped](OnLost::Stop) is dropped where it waits, before
    /// anybody else can hold the lock.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire); [`Lost`](crate::lock::LockErrorKind::Lost) where the work was stopped, so
    /// that its outcome is unknown.
    ///
    /// # Cancel safety
    /// Dropping the future drops the work, and then lets go.
    pub async fn with<F, W>(
        &self,
        keys: impl Into<LockKeys>,
        work: F,
    ) -> Result<W::Output, LockError>
    where
        F: FnOnce(LockGuard) -> W,
        W: Future,
    {
        // Dropped after the work, whatever ends it.
        let lock = self.acquire(keys).await?;
        let work = work(LockGuard::clone(&lock));
        if self.on_lost == OnLost::Signal {
            return Ok(work.await);
        }
        let done = lock.watch().run(work).await;
        done.ok_or_else(LockError::lost)
    }
}
