//! Jobs of this process alone.
//!
//! Floor 5.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::lock::error::LockError;
use crate::lock::lease::{Claim, Owner};
use crate::lock::lock_key::LockKey;
use crate::lock::memory::MemoryLocks;
use crate::once::store::{Begun, Found, OnceStore};

/// Runs once in this process: for one instance, for development, for tests.
///
/// Clones share what is known.
///
/// ```
/// use tower_handoff::once::{MemoryOnce, Once};
///
/// let once = Once::new(MemoryOnce::new());
/// ```
#[derive(Clone, Default)]
pub struct MemoryOnce {
    locks: MemoryLocks,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    by_key: HashMap<LockKey, State>,
    /// When `by_key` reaches this size, what is over is looked for.
    sweep_at: usize,
}

enum State {
    Running { owner: Owner, by: String },
    Done { result: Bytes, until: Instant },
}

impl MemoryOnce {
    /// Nothing has been run yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn done(&self, key: &LockKey) -> Option<Bytes> {
        match self.by_key.get(key)? {
            State::Done { result, until } => (Instant::now() < *until).then(|| result.clone()),
            State::Running { .. } => None,
        }
    }

    /// Forgets what is over, at a cost that evens out.
    fn sweep(&mut self, locks: &MemoryLocks) {
        if self.by_key.len() < self.sweep_at.max(1024) {
            return;
        }
        let now = Instant::now();
        self.by_key.retain(|key, state| match state {
            State::Running { owner, .. } => locks.is_held_by(key, owner),
            State::Done { until, .. } => now < *until,
        });
        self.sweep_at = self.by_key.len() * 2;
    }
}

impl OnceStore for MemoryOnce {
    type Locks = MemoryLocks;

    fn locks(&self) -> MemoryLocks {
        self.locks.clone()
    }

    async fn look(&self, key: &LockKey) -> Result<Found, LockError> {
        let kept = self.kept();
        if let Some(result) = kept.done(key) {
            return Ok(Found::Done(result));
        }
        Ok(match kept.by_key.get(key) {
            Some(State::Running { owner, by }) if self.locks.is_held_by(key, owner) => {
                Found::Running(by.clone())
            }
            _ => Found::Nothing,
        })
    }

    async fn begin(&self, claim: &Claim, by: &str) -> Result<Begun, LockError> {
        let mut kept = self.kept();
        if !self.locks.is_held_by(&claim.key, &claim.owner) {
            return Ok(Begun::Lost);
        }
        if let Some(result) = kept.done(&claim.key) {
            return Ok(Begun::Done(result));
        }
        kept.sweep(&self.locks);
        let state = State::Running {
            owner: claim.owner,
            by: by.to_owned(),
        };
        kept.by_key.insert(claim.key.clone(), state);
        Ok(Begun::Begun)
    }

    async fn finish(
        &self,
        claim: &Claim,
        result: Bytes,
        fresh: Duration,
    ) -> Result<bool, LockError> {
        // Whoever is granted the key after this look asks for the same mutex before it begins.
        let mut kept = self.kept();
        if !self.locks.is_held_by(&claim.key, &claim.owner) {
            return Ok(false);
        }
        if fresh.is_zero() {
            kept.by_key.remove(&claim.key);
        } else {
            let until = Instant::now() + fresh;
            let state = State::Done { result, until };
            kept.by_key.insert(claim.key.clone(), state);
        }
        Ok(true)
    }
}

impl fmt::Debug for MemoryOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryOnce")
            .field("locks", &self.locks)
            .finish_non_exhaustive()
    }
}
