//! The port: what keeps the results of jobs, beside the locks that they run under.
//!
//! Floor 3.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::lock::backend::LockBackend;
use crate::lock::error::LockError;
use crate::lock::lease::Claim;
use crate::lock::lock_key::LockKey;

/// Keeps who runs a job and what came of it.
///
/// # Contract
/// 1. **Owned.** `begin` and `finish` act only for the claim that holds its key, and look at that
///    and write in one step: whoever was suspended past its lease changes nothing.
/// 2. **Done is done.** From a `finish` until its time is over, `look` and `begin` answer
///    [`Done`](Begun::Done), also to whoever was granted the key a moment after it.
/// 3. **Asked again.** Each of them may be sent again where its answer was lost.
/// 4. **Bounded.** Every call ends by itself, in error when the store is silent, and what is kept
///    goes away by itself.
pub trait OnceStore: Send + Sync + 'static {
    /// What keeps the locks.
    type Locks: LockBackend;

    /// The locks that `begin` and `finish` look at: of every call the same.
    fn locks(&self) -> Self::Locks;

    /// What is known of a job.
    ///
    /// # Errors
    /// When the store cannot tell.
    fn look(&self, key: &LockKey) -> impl Future<Output = Result<Found, LockError>> + Send;

    /// Notes that the claim's holder runs the job, as `by`; unless it is done.
    ///
    /// # Errors
    /// When the store cannot tell. It may be noted all the same.
    fn begin(
        &self,
        claim: &Claim,
        by: &str,
    ) -> impl Future<Output = Result<Begun, LockError>> + Send;

    /// Keeps the result, for `fresh` from now on by the store's clock; zero keeps nothing.
    /// Returns whether the claim held its key.
    ///
    /// # Errors
    /// When the store cannot tell. It may be kept all the same.
    fn finish(
        &self,
        claim: &Claim,
        result: Bytes,
        fresh: Duration,
    ) -> impl Future<Output = Result<bool, LockError>> + Send;
}

/// What is known of a job.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// Its result.
    Done(Bytes),
    /// Who holds its lock and has begun.
    Running(String),
    /// Neither.
    Nothing,
}

/// What became of a beginning.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Begun {
    /// It is noted.
    Begun,
    /// The job is done already, and this is its result.
    Done(Bytes),
    /// The claim does not hold its key.
    Lost,
}

// A result may be secret: only its length is shown.
impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(result) => write!(f, "Done({} bytes)", result.len()),
            Self::Running(by) => f.debug_tuple("Running").field(by).finish(),
            Self::Nothing => f.write_str("Nothing"),
        }
    }
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun => f.write_str("Begun"),
            Self::Done(result) => write!(f, "Done({} bytes)", result.len()),
            Self::Lost => f.write_str("Lost"),
        }
    }
}
