//! What is said of a lock whose turn to be renewed comes too late.
//!
//! Floor 4.

use std::io::Write;

use tokio::time::advance;

use super::*;
use crate::lock::backend::{Acquired, LockBackend};
use crate::lock::held::Renewals;
use crate::lock::lease::LeaseTime;
use crate::lock::memory::MemoryLocks;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Hears what this thread logs, from `info` on.
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let mine = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || mine.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        let log = self.0.lock().expect("no panic");
        String::from_utf8_lossy(&log).into_owned()
    }
}

/// A lock with a lease of ten seconds.
async fn held() -> Arc<Holding> {
    let backend = MemoryLocks::new();
    let lease = LeaseTime::new(Duration::from_secs(10)).expect("a lease");
    let claim = Claim::new(LockKey::new("a").expect("a key"), lease);
    let Ok(Acquired::Granted(lease)) = backend.acquire(&claim, None).await else {
        panic!("it is free");
    };
    let held = backend.held();
    let holding = Holding::new(claim, lease, Arc::new(backend), held, Arc::default(), None);
    Arc::new(holding)
}

/// What is logged of a lock whose turn to be renewed comes so late.
async fn logged_after(late: Duration, max_hold: Option<Duration>) -> String {
    let log = Log::default();
    let logging = log.listen();
    let holding = held().await;
    if let Some(most) = max_hold {
        holding.hold_at_most(most);
    }
    advance(late).await;
    holding.clone().renew(None);
    assert!(holding.check().is_err());
    drop(logging);
    log.text()
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_logged_for_each_lock_and_a_refusal_once() {
    let log = Log::default();
    let logging = log.listen();
    let holding = held().await;
    for _ in 0..5 {
        for of_the_connection in [LockError::unavailable("late"), LockError::not_sent("away")] {
            holding.renewed(Err(of_the_connection));
        }
    }
    assert_eq!(log.text(), "");
    for _ in 0..5 {
        holding.renewed(Err(LockError::refused("no permission")));
    }
    drop(logging);
    let log = log.text();
    assert!(
        log.contains("was not renewed") && log.lines().count() == 1,
        "{log}"
    );
    assert!(holding.check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_a_lease_that_ran_out_from_a_lock_that_was_held_for_too_long() {
    let secs = Duration::from_secs;
    for (late, most, word) in [
        (secs(11), None, "a lock was lost"),
        (secs(11), Some(secs(60)), "a lock was lost"),
        (secs(6), Some(secs(5)), "held for as long as it may be"),
    ] {
        let log = logged_after(late, most).await;
        assert!(log.contains(word) && log.lines().count() == 1, "{log}");
    }
}

/// A lease that was handed over is longer than the one that was asked for.
#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_under_way_is_not_begun_again() {
    let backend = MemoryLocks::new();
    let lease = LeaseTime::new(Duration::from_millis(100)).expect("a lease");
    let claim = Claim::new(LockKey::new("a").expect("a key"), lease);
    let (owner, held) = (claim.owner, backend.held());
    let granted = Lease::confirmed(Fence::new(1), Instant::now(), Duration::from_secs(1));
    let (backend, list) = (Arc::new(backend), held.clone());
    let holding = Holding::new(claim, granted, backend, list, Arc::default(), None);
    let _ = held.add(owner, Arc::new(holding));
    advance(Duration::from_millis(334)).await;
    let Renewals::Due(due) = held.renewals() else {
        panic!("a third is over");
    };
    for lock in due {
        lock.renew(None);
    }
    assert!(matches!(held.renewals(), Renewals::At(_)));
}
