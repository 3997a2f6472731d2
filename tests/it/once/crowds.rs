//! Many of one process who want the same job.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tower_handoff::lock::{
    Acquired, Claim, LockBackend, LockError, LockKey, MemoryLocks, Released, Renewed,
};
use tower_handoff::once::{Begun, Found, MemoryOnce, Once, OnceError, OnceStore, Outcome};

use super::rig::{Ran, fleet, job, ms, run};
use crate::support::eventually::eventually;
use crate::support::redis_server::RedisServer;

const LINE: &str = "app:l1:{once:x}:q";

fn asked(server: &RedisServer) -> [u64; 2] {
    let counts = server.command_counts();
    ["mget", "evalsha"].map(|name| counts.get(name).copied().unwrap_or(0))
}

/// So many who want job `x`.
fn crowd(once: &Once, many: usize) -> Vec<JoinHandle<Ran<u64>>> {
    let one = || {
        let once = once.clone();
        tokio::spawn(async move { run(&once, &job("x"), 2).await })
    };
    (0..many).map(|_| one()).collect()
}

async fn all_are_told(crowd: Vec<JoinHandle<Ran<u64>>>, value: u64) {
    for told in join_all(crowd).await {
        assert_eq!(told.unwrap().unwrap(), Outcome::Fresh(value));
    }
}

/// Job `x`, which answers 1 when it is told to.
async fn begin(once: &Once) -> (Arc<Notify>, JoinHandle<Ran<u64>>) {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (once, begins, hear) = (once.clone(), begun.clone(), go_on.clone());
    let runs = tokio::spawn(async move {
        let work = |_| async move {
            begins.notify_one();
            hear.notified().await;
            Ok::<u64, Infallible>(1)
        };
        once.run(&job("x"), work).await
    });
    begun.notified().await;
    (go_on, runs)
}

/// The result may be of megabytes: what one of a process has learnt the others need not read.
#[tokio::test]
async fn a_thousand_who_wait_for_a_result_read_it_a_few_times() {
    for runs_elsewhere in [false, true] {
        let server = RedisServer::start();
        let fleet = fleet(&server);
        let waiting = fleet.a.clone().with_wait(ms(60_000)).unwrap();
        run(&waiting, &job("warm"), 1).await.unwrap();
        let who = if runs_elsewhere { &fleet.b } else { &fleet.a };
        let (go_on, runs) = begin(who).await;
        server.command(&["CONFIG", "RESETSTAT"]);
        let others = crowd(&waiting, 1_000);
        // Those of the process that has the lock stand in its own line.
        eventually("they stand in line", async || {
            let line = server.command(&["LLEN", LINE]);
            asked(&server)[0] > 0 && line == redis::Value::Int(i64::from(runs_elsewhere))
        })
        .await;
        tokio::time::sleep(ms(300)).await;
        go_on.notify_one();
        assert_eq!(runs.await.unwrap().unwrap(), Outcome::Ran(1));
        all_are_told(others, 1).await;
        let [reads, scripts] = asked(&server);
        assert!(reads <= 10, "{reads}");
        assert!(scripts <= 20, "{scripts}");
    }
}

#[tokio::test]
async fn a_thousand_who_find_it_done_read_it_a_few_times() {
    let server = RedisServer::start();
    let fleet = fleet(&server);
    run(&fleet.a, &job("x"), 1).await.unwrap();
    server.command(&["CONFIG", "RESETSTAT"]);
    all_are_told(crowd(&fleet.b, 1_000), 1).await;
    assert!(asked(&server)[0] <= 10, "{:?}", asked(&server));
}

/// Of whose locks one may wait.
struct Narrow(MemoryOnce);

impl OnceStore for Narrow {
    type Locks = MemoryLocks;

    fn locks(&self) -> MemoryLocks {
        self.0.locks().with_max_waiters(1)
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
        fresh: Duration,
    ) -> Result<bool, LockError> {
        self.0.finish(claim, result, fresh).await
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_find_no_place_in_line_wait_for_the_result_too() {
    let once = Once::new(Narrow(MemoryOnce::new()))
        .with_wait(ms(60_000))
        .unwrap();
    let (go_on, runs) = begin(&once).await;
    let others = crowd(&once, 10);
    tokio::time::sleep(ms(10_000)).await;
    assert!(others.iter().all(|other| !other.is_finished()));
    go_on.notify_one();
    assert_eq!(runs.await.unwrap().unwrap(), Outcome::Ran(1));
    all_are_told(others, 1).await;
}

#[tokio::test(start_paused = true)]
async fn those_who_find_no_place_in_line_are_done_when_their_wait_or_the_process_is() {
    let store = MemoryOnce::new();
    let once = Once::new(Narrow(store.clone()));
    let (_go_on, runs) = begin(&once.clone().with_wait(ms(60_000)).unwrap()).await;
    let brief = crowd(&once.clone().with_wait(ms(2_500)).unwrap(), 10);
    for other in join_all(brief).await {
        let other = other.unwrap().unwrap();
        assert!(
            matches!(other, Outcome::Skipped { by: Some(_) }),
            "{other:?}"
        );
    }
    let long = crowd(&once.with_wait(ms(60_000)).unwrap(), 10);
    tokio::time::sleep(ms(10)).await;
    store.locks().held().release_all().await;
    for other in join_all(long).await {
        let refused = other.unwrap();
        assert!(matches!(refused, Err(OnceError::Draining)), "{refused:?}");
    }
    assert!(runs.await.unwrap().is_err());
}

/// Holds the process up as soon as it has been granted the first key, for longer than the lease.
#[derive(Clone, Default)]
struct HeldUp(MemoryOnce, Arc<AtomicBool>);

impl LockBackend for HeldUp {
    async fn acquire(&self, claim: &Claim, wait: Option<Duration>) -> Result<Acquired, LockError> {
        self.0.locks().acquire(claim, wait).await
    }

    async fn renew(&self, claim: &Claim) -> Result<Renewed, LockError> {
        self.0.locks().renew(claim).await
    }

    async fn release(&self, claim: &Claim) -> Result<Released, LockError> {
        self.0.locks().release(claim).await
    }

    #[expect(clippy::disallowed_methods, reason = "the thread is held up")]
    fn reconnects(&self) -> Option<watch::Receiver<u64>> {
        if !self.1.swap(true, Ordering::SeqCst) {
            std::thread::sleep(ms(600));
        }
        None
    }
}

impl OnceStore for HeldUp {
    type Locks = Self;

    fn locks(&self) -> Self {
        self.clone()
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
        fresh: Duration,
    ) -> Result<bool, LockError> {
        self.0.finish(claim, result, fresh).await
    }
}

#[tokio::test]
async fn a_lease_that_is_over_as_soon_as_it_was_granted_is_asked_for_again() {
    let store = HeldUp::default();
    let once = Once::new(store.clone()).with_lease(ms(500)).unwrap();
    let ran = run(&once, &job("x"), 1).await;
    assert!(store.1.load(Ordering::SeqCst), "it was held up");
    assert_eq!(ran.unwrap(), Outcome::Ran(1));
}
