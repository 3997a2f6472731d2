//! Locks taken in several runtimes of one process, of which some end.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tower_handoff::lock::{LockBackend, LockErrorKind, LockKey, Locks, OwnedLock};

use super::rig::{ms, on_both};
use crate::support::eventually::{PATIENCE, eventually};
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

on_both!(
    leases_are_renewed_though_the_runtime_ends_that_did_so,
    a_runtime_that_has_ended_takes_no_lock_along_with_it,
    renewals_move_on_to_a_runtime_that_runs_and_not_to_one_that_nobody_enters,
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

/// Renewed when a third of it is over: what is left is longer than a busy machine stands still.
const LEASE: Duration = ms(4_000);
/// For so long nothing is held that is not renewed.
const LONGER: Duration = ms(6_000);

/// The first lock's runtime renews for all; then another one has to.
async fn leases_are_renewed_though_the_runtime_ends_that_did_so(backend: impl LockBackend + Clone) {
    let locks = Locks::new(backend).with_lease(LEASE).unwrap();
    let [first, second] = runtimes();
    let _first = taken_in(&first, &locks, "first").await;
    let kept = taken_in(&second, &locks, "second").await;
    first.shutdown_background();
    let over = tokio::time::Instant::now() + LONGER;
    while tokio::time::Instant::now() < over {
        assert!(kept.check().is_ok() && is_busy(&locks, "second").await);
        tokio::time::sleep(ms(100)).await;
    }
    second.shutdown_background();
}

/// What it held is renewed by the runtime that is left, as its owner is: it was moved out of there.
async fn a_runtime_that_has_ended_takes_no_lock_along_with_it(backend: impl LockBackend + Clone) {
    let locks = Locks::new(backend).with_lease(LEASE).unwrap();
    let [first, second] = runtimes();
    let orphan = taken_in(&first, &locks, "orphan").await;
    first.shutdown_background();
    // Nobody renews it yet: there is no runtime in which anything else was taken.
    let _here = taken_in(&second, &locks, "here").await;
    tokio::time::sleep(LONGER).await;
    assert!(orphan.check().is_ok() && is_busy(&locks, "orphan").await);
    drop(orphan);
    second.shutdown_background();
}

/// A runtime of one thread runs its tasks while somebody is inside, and at no other time.
async fn renewals_move_on_to_a_runtime_that_runs_and_not_to_one_that_nobody_enters(
    backend: impl LockBackend + Clone,
) {
    let locks = Locks::new(backend).with_lease(LEASE).unwrap();
    let [first, second] = runtimes();
    let _first = taken_in(&first, &locks, "first").await;
    let mut idle = Vec::new();
    for number in 0..8 {
        let locks = locks.clone();
        let enter = move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let key = LockKey::new(format!("idle {number}")).unwrap();
            let lock = runtime.block_on(locks.acquire(key)).unwrap();
            (runtime, lock)
        };
        idle.push(tokio::task::spawn_blocking(enter).await.unwrap());
    }
    let kept = taken_in(&second, &locks, "second").await;
    first.shutdown_background();
    tokio::time::sleep(LONGER).await;
    assert!(kept.check().is_ok() && is_busy(&locks, "second").await);
    for (runtime, lock) in idle {
        assert!(lock.check().is_ok(), "{} was lost", lock.key());
        runtime.shutdown_background();
    }
    second.shutdown_background();
}

/// Whoever waits there on a thread of its own, as inside of `spawn_blocking`, is waited for.
#[tokio::test]
async fn a_runtime_can_end_though_somebody_waits_in_it_for_a_key() {
    let server = RedisServer::start();
    let [here, rival] = [(); 2].map(|()| {
        let locks = patient(&server.url()).locks();
        Locks::new(locks).with_wait(ms(600_000)).unwrap()
    });
    let key = || LockKey::new("a").unwrap();
    let held = rival.acquire(key()).await.unwrap();
    let [runtime, other] = runtimes();
    let (inside, waits) = (runtime.handle().clone(), here.clone());
    runtime.spawn_blocking(move || inside.block_on(waits.acquire(key())).map(drop));
    eventually("it is in Redis's line", async || {
        server.command(&["LLEN", "app:l1:{a}:q"]) == redis::Value::Int(1)
    })
    .await;
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        drop(runtime);
        let _ = tell.send(());
    });
    let ended = tokio::time::timeout(PATIENCE, told).await;
    assert!(ended.is_ok(), "it waits for a wait that has no end");
    drop(held);
    let later = other.spawn(async move { here.acquire(key()).await.map(drop) });
    later.await.unwrap().expect("it is served");
    other.shutdown_background();
}

/// Each has a line of its own, and the inbox was subscribed to for the one who came first.
#[tokio::test]
async fn a_grant_is_heard_though_the_runtime_ends_that_first_listened() {
    let server = RedisServer::start();
    let [here, rival] = [(); 2].map(|()| {
        let locks = patient(&server.url()).locks();
        let locks = Locks::new(locks).with_wait(ms(60_000)).unwrap();
        locks.with_lease(ms(60_000)).unwrap()
    });
    let [first, second] = runtimes();
    let key = |name| LockKey::new(name).unwrap();
    let _a = rival.acquire(key("a")).await.unwrap();
    let mut b = rival.acquire(key("b")).await.unwrap();
    let wait = |runtime: &Runtime, name: &'static str| {
        let here = here.clone();
        runtime.spawn(async move { here.acquire(key(name)).await })
    };
    let in_line = async |line: &str| {
        eventually("it is in Redis's line", async || {
            server.command(&["LLEN", line]) == redis::Value::Int(1)
        })
        .await;
    };
    let gone = wait(&first, "a");
    in_line("app:l1:{a}:q").await;
    let mut served = wait(&second, "b");
    in_line("app:l1:{b}:q").await;
    first.shutdown_background();
    assert!(gone.await.is_err(), "its runtime is gone");
    // Once more where this machine stood still for as long as a hand-over lasts; a bounded number of times.
    for attempt in 1.. {
        server.command(&["CONFIG", "RESETSTAT"]);
        eventually("it looks less often than a hand-over lasts", async || {
            let counts = server.command_counts();
            counts.get("evalsha").is_some_and(|looks| *looks >= 3)
        })
        .await;
        b.release().await;
        let fence = server.command(&["GETRANGE", "app:l1:{b}", "17", "32"]);
        let fence: String = redis::from_redis_value(fence).unwrap();
        let lock = served.await.unwrap().unwrap();
        // Too late for that, it would have asked again and been given another one.
        if lock.fence().to_string() == fence {
            break;
        }
        assert!(attempt < 4, "it never hears: {} for {fence}", lock.fence());
        lock.release().await;
        b = rival.acquire(key("b")).await.unwrap();
        served = wait(&second, "b");
        in_line("app:l1:{b}:q").await;
    }
    second.shutdown_background();
}

/// The connection's runtime gives it the key on the spot; its own one is held up for longer than a
/// hand-over lasts.
#[tokio::test]
async fn who_finds_its_lease_over_before_it_could_begin_is_granted_another_one() {
    let server = Arc::new(RedisServer::start());
    let [here, rival] = [(); 2].map(|()| {
        let locks = patient(&server.url()).locks();
        Locks::new(locks).with_wait(ms(60_000)).unwrap()
    });
    let key = || LockKey::new("a").unwrap();
    let in_line = async |server: &RedisServer| {
        eventually("it is in Redis's line", async || {
            server.command(&["LLEN", "app:l1:{a}:q"]) == redis::Value::Int(1)
        })
        .await;
    };
    // The first message of a connection is never used on the spot.
    let held = rival.acquire(key()).await.unwrap();
    let (first, ()) = tokio::join!(here.acquire(key()), async {
        in_line(&server).await;
        held.release().await;
    });
    first.unwrap().release().await;
    let held = rival.acquire(key()).await.unwrap();
    let (stalls, stalled) = tokio::sync::oneshot::channel();
    let waits = tokio::task::spawn_blocking({
        let server = server.clone();
        move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (lock, ()) = tokio::join!(here.acquire(key()), async {
                    in_line(&server).await;
                    // For the answer, which tells of Redis's clock, to come in.
                    tokio::time::sleep(ms(100)).await;
                    stalls.send(()).unwrap();
                    #[expect(clippy::disallowed_methods, reason = "to hold the runtime up")]
                    std::thread::sleep(ms(1_500));
                });
                lock.unwrap().check()
            })
        }
    });
    stalled.await.unwrap();
    held.release().await;
    waits.await.unwrap().expect("what it is granted it has");
}

/// The one who came first asked Redis for both.
#[tokio::test]
async fn who_waits_is_served_though_the_runtime_ends_that_asked_on_its_behalf() {
    let server = RedisServer::start();
    let [here, rival] = [(); 2].map(|()| {
        let locks = patient(&server.url()).locks();
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
