//! A key that comes to its holders in each of the ways that there are.

use std::time::Duration;

use futures_util::future::join;
use tower_handoff::lock::{Acquired, Claim, LeaseTime, LockBackend, LockKey, Locks};

/// Locks `till-7` free, after a wait in the backend's line, and passed on within the process, in
/// this order; returns the fences.
pub(crate) async fn each_way(backend: impl LockBackend + Clone, name: &'static str) -> [u64; 3] {
    let locks = Locks::new(backend.clone()).with_name(name);
    let locks = locks.with_wait(Duration::from_secs(60)).expect("in range");
    let key = LockKey::new("till-7").expect("short");
    let turn = async || {
        let lock = locks.acquire(&key).await.expect("it comes free");
        let fence = lock.fence().get();
        lock.release().await;
        fence
    };
    let free = turn().await;
    // Past the manager: it is not renewed, and nobody lets go of it. Long enough for both turns to
    // begin meanwhile, also on a busy machine.
    let lease = LeaseTime::new(Duration::from_secs(2)).expect("in range");
    let silent = backend.acquire(&Claim::new(key.clone(), lease), None).await;
    assert!(matches!(silent, Ok(Acquired::Granted(_))), "{silent:?}");
    // Polled in this order, so they stand in line in this order.
    let (queued, local) = join(turn(), turn()).await;
    [free, queued, local]
}
