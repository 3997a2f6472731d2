//! Locks taken in several runtimes of one process, of which some end.

use tokio::runtime::{Builder, Runtime};
use tower_handoff::lock::{LockBackend, LockErrorKind, LockKey, Locks, OwnedLock};

use tower_handoff::redis::RedisHandle;

use super::rig::{ms, on_both};
use crate::support::eventually::eventually;
use crate::support::redis_server::RedisServer;

on_both!(
    leases_are_renewed_though_the_runtime_ends_that_did_so,
    a_runtime_that_has_ended_takes_no_lock_along_with_it,
);

fn runtimes() -> [Runtime; 2] {
    let one = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let other = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    [one.unwrap(), other.unwrap()]
}

async fn taken_in(runtime: &Runtime, locks: &Locks, key: &'static str) -> OwnedLock {
    let locks = locks.clone();
    let key = LockKey::new(key).unwrap();
    let taken = runtime.spawn(async move { locks.acquire(key).await.unwrap() });
    taken.await.unwrap()
}

async fn is_busy(locks: &Locks, key: &str) -> bool {
    let tried = locks.try_acquire(LockKey::new(key).unwrap()).await;
    tried.is_err_and(|error| error.kind() == LockErrorKind::Busy)
}

/// The first lock's runtime renews for all; then another one has to.
async fn leases_are_renewed_though_the_runtime_ends_that_did_so(backend: impl LockBackend + Clone) {
    let locks = Locks::new(backend).with_lease(ms(1_500)).unwrap();
    let [first, second] = runtimes();
    let _first = taken_in(&first, &locks, "first").await;
    let kept = taken_in(&second, &locks, "second").await;
    first.shutdown_background();
    let over = tokio::time::Instant::now() + ms(4_500);
    while tokio::time::Instant::now() < over {
        assert!(kept.check().is_ok() && is_busy(&locks, "second").await);
        tokio::time::sleep(ms(100)).await;
    }
    second.shutdown_background();
}

/// What it held is renewed by the runtime that is left, as its owner is: it was moved out of there.
async fn a_runtime_that_has_ended_takes_no_lock_along_with_it(backend: impl LockBackend + Clone) {
    let locks = Locks::new(backend).with_lease(ms(1_500)).unwrap();
    let [first, second] = runtimes();
    let orphan = taken_in(&first, &locks, "orphan").await;
    first.shutdown_background();
    // Nobody renews it yet: there is no runtime in which anything else was taken.
    let _here = taken_in(&second, &locks, "here").await;
    tokio::time::sleep(ms(3_000)).await;
    assert!(orphan.check().is_ok() && is_busy(&locks, "orphan").await);
    drop(orphan);
    second.shutdown_background();
}

/// The one who came first asked Redis for both.
#[tokio::test]
async fn who_waits_is_served_though_the_runtime_ends_that_asked_on_its_behalf() {
    let server = RedisServer::start();
    let [here, rival] = [(); 2].map(|()| {
        let locks = RedisHandle::connect(&server.url()).unwrap().locks();
        Locks::new(locks).with_wait(ms(60_000)).unwrap()
    });
    let [first, second] = runtimes();
    let key = || LockKey::new("a").unwrap();
    let held = rival.acquire(key()).await.unwrap();
    let wait = |runtime: &Runtime| {
        let here = here.clone();
        runtime.spawn(async move { here.acquire(key()).await.map(|_| ()) })
    };
    let gone = wait(&first);
    eventually("the first is in Redis's line", async || {
        server.command(&["LLEN", "app:l1:{a}:q"]) == redis::Value::Int(1)
    })
    .await;
    let served = wait(&second);
    tokio::time::sleep(ms(100)).await;
    first.shutdown_background();
    assert!(gone.await.is_err(), "its runtime is gone");
    drop(held);
    served.await.unwrap().expect("it is served");
    // Nothing is left that would keep those who come later.
    let again = rival.acquire(key()).await.unwrap();
    let later = wait(&second);
    tokio::time::sleep(ms(100)).await;
    drop(again);
    later.await.unwrap().expect("it is served");
    second.shutdown_background();
}
