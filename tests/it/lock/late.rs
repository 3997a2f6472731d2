//! Grants that are over before anybody could use them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;
use tower_handoff::lock::{
    Acquired, Claim, HeldLocks, LockBackend, LockError, LockErrorKind, LockKey, LockKeys, Locks,
    MemoryLocks, OwnedLock, Released, Renewed,
};
use tower_handoff::once::{
    Begun, Found, Job, MemoryOnce, OnAway, Once, OnceError, OnceStore, Outcome,
};

use super::rig::ms;
use crate::support::eventually::eventually;

/// Locks in memory, of which the first few grants of a key come in when their lease is over.
#[derive(Clone)]
pub(super) struct HeldUp {
    locks: MemoryLocks,
    late: Arc<dyn Fn(&LockKey) -> usize + Send + Sync>,
    counts: Arc<Mutex<HashMap<LockKey, Count>>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    asked: usize,
    let_go: usize,
}

impl HeldUp {
    pub(super) fn new(
        locks: MemoryLocks,
        late: impl Fn(&LockKey) -> usize + Send + Sync + 'static,
    ) -> (Self, Locks) {
        let backend = Self {
            locks,
            late: Arc::new(late),
            counts: Arc::default(),
        };
        (backend.clone(), Locks::new(backend))
    }

    fn count(&self, key: &LockKey, add: impl FnOnce(&mut Count)) -> Count {
        let mut counts = self.counts.lock().unwrap();
        let count = counts.entry(key.clone()).or_default();
        add(count);
        *count
    }

    fn asked(&self, key: &LockKey) -> usize {
        self.count(key, |_| {}).asked
    }

    /// Each question was a grant, so as often as that it is let go.
    async fn is_left_alone(&self, key: &LockKey) {
        eventually("all is let go", async || {
            let count = self.count(key, |_| {});
            count.asked == count.let_go
        })
        .await;
        assert_eq!(self.locks.inspect(key).await.unwrap(), None);
    }
}

impl LockBackend for HeldUp {
    async fn acquire(&self, claim: &Claim, wait: Option<Duration>) -> Result<Acquired, LockError> {
        let acquired = self.locks.acquire(claim, wait).await?;
        let count = self.count(&claim.key, |count| count.asked += 1);
        if count.asked <= (self.late)(&claim.key) {
            sleep(claim.lease.get()).await;
        }
        Ok(acquired)
    }

    async fn renew(&self, claim: &Claim) -> Result<Renewed, LockError> {
        self.locks.renew(claim).await
    }

    async fn release(&self, claim: &Claim) -> Result<Released, LockError> {
        self.count(&claim.key, |count| count.let_go += 1);
        self.locks.release(claim).await
    }

    fn held(&self) -> HeldLocks {
        self.locks.held()
    }
}

/// Once with a wait, and once without.
async fn take(
    locks: &Locks,
    waits: bool,
    keys: impl Into<LockKeys>,
) -> Result<OwnedLock, LockError> {
    match waits {
        true => locks.acquire(keys).await,
        false => locks.try_acquire(keys).await,
    }
}

/// Nobody else holds the key, so it is not told to be busy, and a wait of minutes is not spent on it.
#[tokio::test(start_paused = true)]
async fn a_grant_that_comes_too_late_is_taken_back_and_asked_for_again_a_few_times() {
    for (late, asked) in [(0, 1), (1, 2), (2, 3), (3, 3)] {
        for waits in [false, true] {
            let (backend, locks) = HeldUp::new(MemoryLocks::new(), move |_| late);
            let locks = locks.with_wait(ms(600_000)).unwrap();
            let key = LockKey::new("a").unwrap();
            match take(&locks, waits, key.clone()).await {
                Ok(lock) => lock.check().expect("it is held"),
                Err(error) => {
                    assert_eq!(late, 3, "{error}");
                    assert_eq!(error.kind(), LockErrorKind::Unavailable, "{error}");
                }
            }
            assert_eq!(backend.asked(&key), asked);
            backend.is_left_alone(&key).await;
        }
    }
}

/// Of several keys each may be late as often: those held before are renewed meanwhile, and let go
/// where one is too late for good, and what comes after that one is not asked for.
#[tokio::test(start_paused = true)]
async fn of_several_keys_each_is_asked_for_again_and_all_are_let_go_where_one_is_too_late() {
    for late in [[0, 0], [0, 2], [2, 0], [2, 2], [0, 3], [3, 0], [2, 3]] {
        for waits in [false, true] {
            let both = ["a", "b"].map(|name| LockKey::new(name).unwrap());
            let of = both.clone();
            let (backend, locks) = HeldUp::new(MemoryLocks::new(), move |key| {
                late[usize::from(*key != of[0])]
            });
            let locks = locks.with_wait(ms(600_000)).unwrap();
            let taken = take(&locks, waits, LockKeys::new(both.clone()).unwrap()).await;
            match taken {
                Ok(lock) => {
                    lock.check().expect("both are held");
                    for key in &both {
                        assert!(backend.locks.inspect(key).await.unwrap().is_some());
                    }
                }
                Err(error) => {
                    assert!(late.contains(&3), "{late:?}: {error}");
                    assert_eq!(error.kind(), LockErrorKind::Unavailable, "{error}");
                }
            }
            let second = if late[0] < 3 { (late[1] + 1).min(3) } else { 0 };
            let asked = both.each_ref().map(|key| backend.asked(key));
            assert_eq!(asked, [(late[0] + 1).min(3), second], "{late:?}");
            for key in &both {
                backend.is_left_alone(key).await;
            }
        }
    }
}

/// Jobs in memory, under locks that are held up.
struct HeldUpJobs(MemoryOnce, HeldUp);

impl OnceStore for HeldUpJobs {
    type Locks = HeldUp;

    fn locks(&self) -> HeldUp {
        self.1.clone()
    }

    async fn look(&self, key: &LockKey) -> Result<Found, LockError> {
        self.0.look(key).await
    }

    async fn begin(&self, claim: &Claim, by: &str) -> Result<Begun, LockError> {
        self.0.begin(claim, by).await
    }

    async fn finish(
        &self,
        claim: &Claim,
        result: Bytes,
        time: Duration,
    ) -> Result<bool, LockError> {
        self.0.finish(claim, result, time).await
    }
}

/// A job is begun under a lock that is held, and is nobody's own where its locks are too late for good:
/// they are there, for another one too.
#[tokio::test(start_paused = true)]
async fn a_job_is_run_under_a_grant_that_came_in_time_or_is_refused() {
    for late in [0, 1, 2, 3] {
        for waits in [false, true] {
            let kept = MemoryOnce::new();
            let (backend, _) = HeldUp::new(kept.locks(), move |_| late);
            let once = Once::new(HeldUpJobs(kept, backend.clone()));
            let mut once = once.with_on_away(OnAway::RunLocally);
            if waits {
                once = once.with_wait(ms(600_000)).unwrap();
            }
            let job = Job::new("a").unwrap();
            let mut runs = 0;
            let mut outcomes = Vec::new();
            while !matches!(outcomes.last(), Some(Ok(_))) {
                let work = |lock: tower_handoff::lock::LockGuard| {
                    runs += 1;
                    async move { Ok::<_, Infallible>(lock.check().is_ok()) }
                };
                outcomes.push(once.run(&job, work).await);
            }
            let refused = outcomes.len() - 1;
            assert_eq!(refused, late / 3, "{outcomes:?}");
            for outcome in &outcomes[..refused] {
                assert!(
                    matches!(outcome, Err(OnceError::Unavailable(_))),
                    "{outcome:?}"
                );
            }
            let last = outcomes.pop().unwrap();
            assert!(matches!(last, Ok(Outcome::Ran(true))), "{last:?}");
            assert_eq!(runs, 1);
            let keys: Vec<_> = backend.counts.lock().unwrap().keys().cloned().collect();
            assert_eq!(keys.len(), 1, "one job, one lock");
            assert_eq!(backend.asked(&keys[0]), late + 1);
            backend.is_left_alone(&keys[0]).await;
        }
    }
}
