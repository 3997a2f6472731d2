//! Why there is no outcome.
//!
//! Floor 4.

use std::fmt;
use std::time::Duration;

use crate::BoxError;
use crate::answer::Refusal;
use crate::lock::error::LockError;
use crate::reason::Reason;

/// Why [`Once::run`](crate::once::Once::run) has no outcome; `E` is the job's own error.
#[derive(Debug)]
#[non_exhaustive]
pub enum OnceError<E> {
    /// The job failed. Its slot is free again.
    Job(E),
    /// The store is away, or what it holds is not this crate's to touch. The job was not run.
    Unavailable(LockError),
    /// The instance lets go of its locks for good. The job was not run.
    Draining,
    /// The job ran, whole or in part, and lost its lease before its result was kept: another
    /// instance may run it as well. Stopped, unless
    /// [`with_on_lost`](crate::once::Once::with_on_lost) says otherwise.
    Lost(LockError),
    /// The job ran, and its result could not be kept: the store refused it for good, or for longer
    /// than a lease after the first try, as one that is out of memory. Its slot is free again.
    NotKept(LockError),
    /// The job ran, and its result is too large to be kept. Its slot is free again.
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be: [`with_max_bytes`](crate::once::Once::with_max_bytes).
        max: usize,
    },
    /// The job ran, and its result has no JSON. Its slot is free again.
    Unencodable(BoxError),
    /// The job is done, and what is kept of it is no such value: another version's, most likely.
    /// A job whose result changes its type needs another name.
    Undecodable(BoxError),
}

impl<E> OnceError<E> {
    /// The answer that [`LockLayer`](crate::lock::LockLayer) would give, for handlers that run
    /// jobs: 503 with `Retry-After` while nothing was run for want of the store or of time, 500
    /// where the lease was lost. `None` where the answer is the handler's own affair, as of all that
    /// ran.
    ///
    /// ```
    /// use tower_handoff::once::OnceError;
    ///
    /// let refusal = OnceError::<()>::Draining.refusal().unwrap();
    /// assert_eq!(refusal.response().status(), 503);
    /// assert!(OnceError::Job("no paper").refusal().is_none());
    /// ```
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let soon = Duration::from_secs(1);
        Some(match self {
            Self::Unavailable(_) => Refusal::new(Reason::LockUnavailable).retry_about(soon),
            Self::Draining => Refusal::new(Reason::Draining).retry_about(soon),
            // When to come back nobody knows: the outcome is unknown.
            Self::Lost(_) => Refusal::new(Reason::LockLost),
            _ => return None,
        })
    }
}

impl<E> fmt::Display for OnceError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Job(_) => "the job failed",
            Self::Unavailable(_) => "the job was not run: its store is unavailable",
            Self::Draining => "the job was not run: this instance is shutting down",
            Self::Lost(_) => "the job's lease was lost before its result was kept",
            Self::NotKept(_) => "the job ran, but its result could not be kept",
            Self::TooLarge { bytes, max } => {
                return write!(
                    f,
                    "the job ran, but its result of {bytes} bytes is not kept; accepted: \
                     at most {max} bytes"
                );
            }
            Self::Unencodable(_) => "the job ran, but its result cannot be encoded",
            Self::Undecodable(_) => "the job is done, but its result cannot be decoded",
        })
    }
}

impl<E: std::error::Error + 'static> std::error::Error for OnceError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Job(error) => Some(error),
            Self::Unavailable(error) | Self::Lost(error) | Self::NotKept(error) => Some(error),
            Self::Unencodable(error) | Self::Undecodable(error) => Some(&**error),
            Self::Draining | Self::TooLarge { .. } => None,
        }
    }
}
