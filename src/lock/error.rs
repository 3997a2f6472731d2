//! What can go wrong with a lock.
//!
//! Floor 1.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::BoxError;

/// An error of a lock or of its backend.
#[derive(Debug, Clone)]
pub struct LockError {
    kind: LockErrorKind,
    outcome: Outcome,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// What can have become of the request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Unknown,
    NotSent,
    Refused,
    #[cfg(feature = "redis")]
    RefusedForNow,
}

/// What happened, as far as the caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockErrorKind {
    /// The backend is away, or refuses: what it holds under the key is not this crate's to touch, a
    /// right is missing, too few replicas acknowledge. Or the lock would be of no use:
    /// each of three grants was over before it was read, or of several keys one was lost while another
    /// one was waited for. The [source](std::error::Error::source) says which.
    Unavailable,
    /// The lease ended, or the shutdown took the lock away, while the holder was at work:
    /// somebody else may hold the key.
    Lost,
    /// The lock was let go, by [`LockGuard::release`](crate::lock::LockGuard::release) or at the
    /// end of its request.
    Released,
    /// Somebody else holds the key, still at the end of the wait.
    Busy,
    /// Too many already wait for the key.
    QueueFull,
    /// This process is shutting down and takes no further locks.
    Closed,
    /// [`LockGuard::into_owned`](crate::lock::LockGuard::into_owned) of a lock that was taken
    /// already, or that a layer further out holds.
    NotOwned,
}

impl LockError {
    /// The backend gave no answer: what was asked may have been done.
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::from_backend(Outcome::Unknown, source.into())
    }

    /// The backend is away and was not asked: nothing has been done.
    pub fn not_sent(source: impl Into<BoxError>) -> Self {
        Self::from_backend(Outcome::NotSent, source.into())
    }

    /// The backend refused, and will again: nothing has been done.
    pub fn refused(source: impl Into<BoxError>) -> Self {
        Self::from_backend(Outcome::Refused, source.into())
    }

    /// An error that is no failure of the backend's.
    pub(crate) fn of(kind: LockErrorKind) -> Self {
        Self {
            kind,
            outcome: Outcome::Refused,
            retry_after: None,
            source: None,
        }
    }

    /// Somebody else's lease lasts so long, as the backend has it.
    pub(crate) fn busy(left: Duration) -> Self {
        Self {
            retry_after: Some(left),
            ..Self::of(LockErrorKind::Busy)
        }
    }

    pub(crate) fn lost() -> Self {
        Self::of(LockErrorKind::Lost)
    }

    pub(crate) fn released() -> Self {
        Self::of(LockErrorKind::Released)
    }

    fn from_backend(outcome: Outcome, source: BoxError) -> Self {
        Self {
            kind: LockErrorKind::Unavailable,
            outcome,
            retry_after: None,
            source: Some(source.into()),
        }
    }

    /// Whether what was asked may have been done all the same.
    pub(crate) fn may_have_happened(&self) -> bool {
        self.outcome == Outcome::Unknown
    }

    /// Whether asking again is of any use.
    pub(crate) fn may_pass(&self) -> bool {
        self.outcome != Outcome::Refused
    }

    /// Whether the backend was there, and refused.
    pub(crate) fn is_refusal(&self) -> bool {
        !matches!(self.outcome, Outcome::Unknown | Outcome::NotSent)
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> LockErrorKind {
        self.kind
    }

    /// Of a [`Busy`](LockErrorKind::Busy) key, what was left of the holder's lease: when the key comes
    /// free if the holder neither lets go nor renews, as after a crash. None of any other kind.
    ///
    /// An estimate, to pace the next try by: most holders let go sooner, a living one that is at work
    /// for long renews, and others may stand in line. In memory it is right when the error is made.
    /// With Redis it is what Redis said when it was asked for the key, at the beginning of a wait; where
    /// somebody of this process has the key or asks for it too, Redis is not asked again, and it is what
    /// this process knows, or else the lease that the claim asks for.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_handoff::BoxError> {
    /// use std::time::Duration;
    /// use tower_handoff::lock::{LockErrorKind, LockKey, Locks, MemoryLocks};
    ///
    /// let locks = Locks::new(MemoryLocks::new());
    /// let report = LockKey::new("nightly-report")?;
    /// let held = locks.acquire(&report).await?;
    ///
    /// let refused = locks.try_acquire(&report).await.unwrap_err();
    /// assert_eq!(refused.kind(), LockErrorKind::Busy);
    /// assert!(refused.retry_after().is_some_and(|left| left <= Duration::from_secs(10)));
    /// # drop(held);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

#[cfg(feature = "redis")]
impl LockError {
    /// The backend refused, for a reason that may pass: nothing has been done.
    pub(crate) fn refused_for_now(source: impl Into<BoxError>) -> Self {
        Self::from_backend(Outcome::RefusedForNow, source.into())
    }

    /// The same error, for one who has left no traces that somebody else does not remove.
    pub(crate) fn settled(mut self) -> Self {
        if self.outcome == Outcome::Unknown {
            self.outcome = Outcome::NotSent;
        }
        self
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            LockErrorKind::Unavailable => "the lock backend is unavailable",
            LockErrorKind::Lost => "the lock was lost",
            LockErrorKind::Released => "the lock was already released",
            LockErrorKind::Busy => "somebody else holds the lock",
            LockErrorKind::QueueFull => "too many already wait for the lock",
            LockErrorKind::Closed => "this process is shutting down and takes no further locks",
            LockErrorKind::NotOwned => {
                "the lock cannot be taken out of the request: it was already, \
                 or a layer further out holds it"
            }
        })
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}
