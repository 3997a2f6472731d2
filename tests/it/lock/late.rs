//! Grants that are over before anybody could use them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::time::Instant;
use tower_handoff::lock::{
    Acquired, Claim, Fence, Lease, LockBackend, LockError, LockErrorKind, LockKey, Locks, Released,
    Renewed,
};

use crate::support::eventually::eventually;

/// What it grants is over when it says so, but for the last of so many.
#[derive(Clone)]
struct Late {
    grants: Arc<AtomicUsize>,
    taken_back: Arc<AtomicUsize>,
    in_time: usize,
}

impl LockBackend for Late {
    async fn acquire(&self, claim: &Claim, _: Option<Duration>) -> Result<Acquired, LockError> {
        let number = self.grants.fetch_add(1, SeqCst) + 1;
        let time = match number == self.in_time {
            true => claim.lease.get(),
            false => Duration::ZERO,
        };
        let fence = Fence::new(number as u64);
        Ok(Acquired::Granted(Lease::confirmed(
            fence,
            Instant::now(),
            time,
        )))
    }

    async fn renew(&self, _: &Claim) -> Result<Renewed, LockError> {
        Ok(Renewed::Lost)
    }

    async fn release(&self, _: &Claim) -> Result<Released, LockError> {
        self.taken_back.fetch_add(1, SeqCst);
        Ok(Released::Freed)
    }
}

/// With a wait and without one: nobody else holds the key, so it is not told to be busy, and a wait
/// of an hour is not spent on it.
#[tokio::test]
async fn a_grant_that_comes_too_late_is_taken_back_and_asked_for_again_a_few_times() {
    for (in_time, asked) in [(1, 1), (2, 2), (3, 3), (4, 3)] {
        for waits in [false, true] {
            let backend = Late {
                grants: Arc::default(),
                taken_back: Arc::default(),
                in_time,
            };
            let locks = Locks::new(backend.clone());
            let key = LockKey::new("a").unwrap();
            let acquired = match waits {
                true => locks.acquire(key).await,
                false => locks.try_acquire(key).await,
            };
            match acquired {
                Ok(lock) => assert_eq!(lock.fence().get(), in_time as u64),
                Err(error) => {
                    assert_eq!(in_time, 4, "{error}");
                    assert_eq!(error.kind(), LockErrorKind::Unavailable, "{error}");
                }
            }
            assert_eq!(backend.grants.load(SeqCst), asked);
            eventually("all is let go", async || {
                backend.taken_back.load(SeqCst) == asked
            })
            .await;
        }
    }
}
