//! The way to the one who may run a job, and what it leaves behind.
//!
//! Floor 6.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::lock::error::LockError;
use crate::lock::guard::LockGuard;
use crate::lock::lease::{LeaseTime, end_of};
use crate::lock::lock_key::LockKey;
use crate::lock::lock_keys::LockKeys;
use crate::lock::manager::{Manager, NotHeld};
use crate::lock::note::Note;
use crate::lock::owned::OwnedLock;
use crate::lock::terms::Terms;
use crate::once::erased::ErasedStore;
use crate::once::sharing::Sharing;
use crate::once::store::{Begun, Found, OnceStore};
use crate::telemetry::lock_meter::LockMeter;

/// How long one who finds a job busy gives whoever has it to say who it is, or to be over: each
/// is the pause before another look, in milliseconds.
const LOOKS: [u64; 10] = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256];

/// How often one who has no place in line, as that is full, looks for one while it waits.
const NO_PLACE: Duration = Duration::from_secs(1);

/// Where jobs are kept, and their locks.
#[derive(Clone)]
pub(super) struct Place {
    store: Arc<dyn ErasedStore>,
    manager: Manager,
    sharing: Sharing,
    meter: LockMeter,
}

/// How one who wants a job run goes on.
pub(super) enum Entry {
    /// It is the one who runs it.
    Inside(OwnedLock),
    /// It is done: the result.
    Done(Bytes),
    /// Another one runs it.
    Elsewhere(Option<String>),
}

/// Why it does not.
#[derive(Debug)]
pub(super) enum Refused {
    Unavailable(LockError),
    Draining,
}

impl From<LockError> for Refused {
    fn from(error: LockError) -> Self {
        Self::Unavailable(error)
    }
}

impl Place {
    pub(super) fn new(store: impl OnceStore) -> Self {
        Self {
            manager: Manager::new(store.locks()),
            store: Arc::new(store),
            sharing: Sharing::default(),
            meter: LockMeter::named("once"),
        }
    }

    /// Whether a shutdown has begun, so that nothing more is begun.
    pub(super) fn is_closed(&self) -> bool {
        self.manager.is_closed()
    }

    /// Finds out whose turn it is. Dropped at any await it leaves nothing behind but, at most, a
    /// note of who began: what it claimed is withdrawn, what it held is let go.
    pub(super) async fn enter(
        &self,
        key: &LockKey,
        lease: LeaseTime,
        wait: Option<Duration>,
        by: &Arc<str>,
    ) -> Result<Entry, Refused> {
        let end = wait.map(end_of);
        let keys = LockKeys::from(key);
        let mut busy = false;
        let mut pauses = LOOKS.into_iter();
        // Heard from before the look on, so that no end falls in between.
        let mut sharer = self.sharing.join(key);
        loop {
            match sharer.look(&self.store).await? {
                Found::Done(result) => return Ok(Entry::Done(result)),
                Found::Running(by) if busy => return Ok(Entry::Elsewhere(Some(by))),
                // A note alone says nothing: whoever left it may be dead.
                Found::Running(_) | Found::Nothing => {}
            }
            let wait = end.map(|end| end.saturating_duration_since(Instant::now()));
            let terms = Terms {
                lease,
                wait,
                max_hold: None,
                meter: self.meter,
                note: Note::default(),
            };
            let held = tokio::select! {
                biased;
                held = self.manager.acquire(&keys, terms, None) => held,
                // All who wait here are told at once, not one after the other with the key in hand.
                result = sharer.done() => return Ok(Entry::Done(result)),
            };
            match held {
                // Lost, where this process was suspended since it was granted.
                Ok(guard) => {
                    if let Ok(lock) = guard.into_owned() {
                        match self
                            .store
                            .clone()
                            .begin(lock.claim().clone(), by.clone())
                            .await?
                        {
                            // Lost, where this process was suspended while it asked.
                            Begun::Begun if lock.check().is_ok() => {
                                return Ok(Entry::Inside(lock));
                            }
                            Begun::Done(result) => {
                                self.sharing.tell(key, &result);
                                return Ok(Entry::Done(result));
                            }
                            Begun::Begun | Begun::Lost => {}
                        }
                    }
                }
                // Whoever stands in line may fail, or a shutdown begin: so not all of the wait at once.
                Err(NotHeld::QueueFull) if wait.is_some_and(|left| !left.is_zero()) => {
                    let pause = wait.unwrap_or_default().min(NO_PLACE);
                    tokio::select! {
                        biased;
                        result = sharer.done() => return Ok(Entry::Done(result)),
                        () = sleep(pause) => continue,
                    }
                }
                Err(NotHeld::Busy(_) | NotHeld::QueueFull) => busy = true,
                Err(NotHeld::Unavailable(error)) => return Err(error.into()),
                Err(NotHeld::Closed) => return Err(Refused::Draining),
            }
            let Some(pause) = pauses.next() else {
                return Ok(Entry::Elsewhere(None));
            };
            if pause > 0 {
                sleep(Duration::from_millis(pause)).await;
            }
        }
    }

    /// Keeps the result of the job that `lock` was for, and asks again while the store is away or out
    /// of memory and the lease lasts: for one lease more at most, for a store that refuses the result
    /// may go on to renew the lease.
    pub(super) async fn keep(
        &self,
        lock: &LockGuard,
        result: Bytes,
        fresh: Duration,
    ) -> Result<(), LockError> {
        let claim = lock.claim();
        let mut pause = Duration::from_millis(50);
        let mut end = None;
        loop {
            lock.check()?;
            let answer = self.store.clone();
            match answer.finish(claim.clone(), result.clone(), fresh).await {
                Ok(true) if fresh.is_zero() => return Ok(()),
                Ok(true) => {
                    self.sharing.tell(&claim.key, &result);
                    return Ok(());
                }
                Ok(false) => return Err(LockError::lost()),
                Err(error) if !error.may_pass() => return Err(error),
                Err(error) => {
                    let end = *end.get_or_insert_with(|| end_of(claim.lease.get()));
                    if Instant::now() >= end {
                        return Err(error);
                    }
                    tracing::debug!(key = %claim.key, %error, "a job's result is not kept yet");
                }
            }
            tokio::select! {
                () = lock.lost() => {}
                () = sleep(pause) => pause = (pause * 2).min(Duration::from_secs(1)),
            }
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("manager", &self.manager)
            .finish_non_exhaustive()
    }
}
