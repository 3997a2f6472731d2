//! Where renewals begin.
//!
//! Floor 4.

use tokio::runtime::{Builder, Handle};
use tokio::time::{Duration, sleep};

use super::*;
use crate::lock::backend::{Acquired, LockBackend};
use crate::lock::holding::Holding;
use crate::lock::lease::{Claim, LeaseTime};
use crate::lock::lock_key::LockKey;
use crate::lock::memory::MemoryLocks;

const LEASE: Duration = Duration::from_secs(10);

/// A runtime that is over, as its tasks find it.
fn ended() -> Handle {
    let runtime = Builder::new_multi_thread().worker_threads(1).build();
    let runtime = runtime.expect("a runtime");
    let handle = runtime.handle().clone();
    // Not here: this waits for its threads.
    let ends = std::thread::spawn(move || drop(runtime));
    ends.join().expect("it ends");
    handle
}

async fn held_at(home: Handle, key: &str, locks: &MemoryLocks) -> Arc<Holding> {
    let lease = LeaseTime::new(LEASE).expect("a lease");
    let claim = Claim::new(LockKey::new(key).expect("a key"), lease);
    let Ok(Acquired::Granted(lease)) = locks.acquire(&claim, None).await else {
        panic!("it is free");
    };
    let (owner, held, backend) = (claim.owner, locks.held(), Arc::new(locks.clone()));
    let holding = Holding::new(claim, lease, backend, held, Arc::default(), Some(home));
    let holding = Arc::new(holding);
    let listed = locks.held().add(owner, holding.clone());
    assert_eq!(listed, Ok(true), "nobody renews yet");
    holding
}

/// The first was told to see to the renewals, and its runtime takes no task any more; the second,
/// that somebody does.
#[tokio::test(start_paused = true)]
async fn renewals_begin_in_a_runtime_that_lives_where_the_first_one_has_ended() {
    let locks = MemoryLocks::new();
    let all = [
        held_at(ended(), "first", &locks).await,
        held_at(ended(), "second", &locks).await,
        held_at(Handle::current(), "third", &locks).await,
    ];
    renew_held(&locks.held(), &None);
    sleep(5 * LEASE).await;
    for lock in all {
        assert!(lock.check().is_ok(), "{lock:?}");
    }
}
