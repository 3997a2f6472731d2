//! What those of one process who want the same job share: looks at it, and word that it is done.
//!
//! Floor 4.

use std::collections::HashMap;
use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OnceCell, watch};
use tokio::time::sleep;

use crate::lock::error::LockError;
use crate::lock::lock_key::LockKey;
use crate::once::erased::ErasedStore;
use crate::once::store::Found;

/// How long one who shares a look puts up with another's task that does not go on, as where a
/// `select!` has turned to something else; and how often one that does go on shows it. However long
/// the look takes then, it is shared.
const PATIENCE: Duration = Duration::from_secs(5);
const BEAT: Duration = Duration::from_secs(1);

/// How many ask for a key now, and what they share.
type ByKey = HashMap<LockKey, (usize, Arc<Shared>)>;
type Look = OnceCell<Result<Found, LockError>>;

/// A key that nobody asks for takes no memory.
#[derive(Clone, Default)]
pub(super) struct Sharing {
    by_key: Arc<Mutex<ByKey>>,
}

#[derive(Default)]
struct Shared {
    /// One look is under way at a time, and those who came since it was sent share the next: a
    /// thousand who read a large result take Redis's output buffer twice, not a thousand times.
    looking: tokio::sync::Mutex<()>,
    next: Mutex<Arc<Look>>,
    /// Changes while the one whose look is under way goes on.
    beats: AtomicU64,
    done: watch::Sender<Option<Bytes>>,
}

/// One who wants a job.
pub(super) struct Sharer {
    sharing: Sharing,
    key: LockKey,
    shared: Arc<Shared>,
    done: watch::Receiver<Option<Bytes>>,
}

impl Sharing {
    /// Hears from now on what is told of `key`.
    pub(super) fn join(&self, key: &LockKey) -> Sharer {
        let shared = {
            let mut by_key = self.lock();
            let (sharers, shared) = by_key.entry(key.clone()).or_default();
            *sharers += 1;
            shared.clone()
        };
        Sharer {
            sharing: self.clone(),
            key: key.clone(),
            done: shared.done.subscribe(),
            shared,
        }
    }

    /// The job has just been learnt to be done.
    pub(super) fn tell(&self, key: &LockKey, result: &Bytes) {
        // Most often nobody waits.
        let shared = self.lock().get(key).map(|(_, shared)| shared.clone());
        if let Some(shared) = shared {
            shared.done.send_replace(Some(result.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, ByKey> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn next(&self) -> MutexGuard<'_, Arc<Look>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sharer {
    /// What is known of the job, by a look that is sent after this call. Whoever sent it may go
    /// away: the next of those who share it sends it again.
    pub(super) async fn look(&self, store: &Arc<dyn ErasedStore>) -> Result<Found, LockError> {
        let look = self.shared.next().clone();
        let ask = || store.clone().look(self.key.clone());
        let shared = look.get_or_init(|| async {
            let _alone = self.shared.looking.lock().await;
            {
                let mut next = self.shared.next();
                if Arc::ptr_eq(&next, &look) {
                    *next = Arc::default();
                }
            }
            let mut found = pin!(ask());
            loop {
                tokio::select! {
                    biased;
                    found = &mut found => return found,
                    // Made when it is polled: a look that is over at once needs no timer.
                    () = async { sleep(BEAT).await } => {
                        self.shared.beats.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        // Its place in line is another's, from when it gives up on it.
        {
            let mut shared = pin!(shared);
            loop {
                let heard = self.shared.beats.load(Ordering::Relaxed);
                tokio::select! {
                    biased;
                    found = &mut shared => return found.clone(),
                    () = async { sleep(PATIENCE).await } => {}
                }
                if self.shared.beats.load(Ordering::Relaxed) == heard {
                    break;
                }
            }
        }
        ask().await
    }

    /// Resolves with the result when the job is done.
    pub(super) async fn done(&mut self) -> Bytes {
        while self.done.changed().await.is_ok() {
            if let Some(result) = &*self.done.borrow_and_update() {
                return result.clone();
            }
        }
        pending().await
    }
}

impl Drop for Sharer {
    fn drop(&mut self) {
        let mut by_key = self.sharing.lock();
        if let Some((sharers, _)) = by_key.get_mut(&self.key) {
            *sharers -= 1;
            if *sharers == 0 {
                by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
