//! Locks for code that is no request.

use http::StatusCode;
use tower_handoff::lock::{
    LockBackend, LockError, LockErrorKind, LockKeys, Locks, MemoryLocks, OwnedLock, ReleaseOutcome,
};
use tower_handoff::redis::RedisHandle;

use super::rig::{fencing, free_again, is_free, key, layer, ms, on_both, poll_times, status};
use crate::support::eventually::eventually;
use crate::support::patient::patient;
use crate::support::redis_server::{RedisServer, free_port};

on_both!(
    one_holds_a_key_at_a_time_and_fences_grow,
    keys_that_differ_only_in_case_are_two_locks,
    who_waits_gets_the_key_when_it_comes_free,
    jobs_and_requests_exclude_each_other,
    an_acquire_dropped_at_any_await_leaves_nothing,
    a_lock_outlasts_its_lease_until_it_is_dropped,
    a_lock_dropped_outside_of_any_runtime_is_let_go,
    a_shutdown_takes_what_is_owned_away,
    who_is_refused_is_told_what_is_left_of_the_lease,
);

fn kind(result: Result<OwnedLock, LockError>) -> LockErrorKind {
    result.unwrap_err().kind()
}

async fn one_holds_a_key_at_a_time_and_fences_grow(backend: impl LockBackend + Clone) {
    let locks = Locks::new(backend);
    let first = locks.acquire(key("a")).await.unwrap();
    assert_eq!(first.key(), &key("a"));
    assert_eq!(kind(locks.try_acquire(key("a")).await), LockErrorKind::Busy);
    let impatient = locks.clone().with_wait(ms(100)).unwrap();
    assert_eq!(kind(impatient.acquire(key("a")).await), LockErrorKind::Busy);
    let other = locks.try_acquire(key("A")).await.unwrap();
    first.check().unwrap();
    let (fence, view) = (first.fence(), first.clone());
    assert_eq!(first.release().await, ReleaseOutcome::Freed);
    assert_eq!(view.check().unwrap_err().kind(), LockErrorKind::Released);
    view.lost().await;
    let second = locks.try_acquire(key("a")).await.unwrap();
    assert!(second.fence() > fence);
    // A view of a lock that was let go lets go of nothing.
    assert_eq!(view.release().await, ReleaseOutcome::AlreadyReleased);
    drop(view);
    second.check().unwrap();
    other.check().unwrap();
}

async fn who_is_refused_is_told_what_is_left_of_the_lease(backend: impl LockBackend + Clone) {
    let locks = Locks::new(backend.clone());
    let hour = ms(3_600_000);
    let holder = locks.clone().with_lease(2 * hour).unwrap();
    let held = holder.acquire(key("a")).await.unwrap();
    let refused = locks.try_acquire(key("a")).await.unwrap_err();
    assert_eq!(refused.kind(), LockErrorKind::Busy);
    let left = refused.retry_after().unwrap();
    assert!((hour..=2 * hour).contains(&left), "{left:?}");
    let both = LockKeys::new([key("0"), key("a")]).unwrap();
    let left = locks.try_acquire(both).await.unwrap_err().retry_after();
    assert!(left.is_some_and(|left| left > hour), "{left:?}");
    let impatient = locks.clone().with_wait(ms(50)).unwrap();
    let refused = impatient.acquire(key("a")).await.unwrap_err();
    let left = refused.retry_after().unwrap();
    assert!(!left.is_zero() && left <= 2 * hour, "{left:?}");
    // Nobody's lease is what keeps these away.
    backend.held().close();
    let closed = locks.try_acquire(key("b")).await.unwrap_err();
    assert_eq!(
        (closed.kind(), closed.retry_after()),
        (LockErrorKind::Closed, None)
    );
    drop(held);
}

#[tokio::test]
async fn what_is_left_of_another_instances_lease_is_what_redis_says() {
    let server = RedisServer::start();
    let instance = || Locks::new(patient(&server.url()).locks());
    let hour = ms(3_600_000);
    let holder = instance().with_lease(2 * hour).unwrap();
    let held = holder.acquire(key("a")).await.unwrap();
    let impatient = instance().with_wait(ms(50)).unwrap();
    for refused in [
        impatient.try_acquire(key("a")).await,
        impatient.acquire(key("a")).await,
    ] {
        let left = refused.unwrap_err().retry_after().unwrap();
        assert!((hour..=2 * hour).contains(&left), "{left:?}");
    }
    drop(held);
}

async fn who_waits_gets_the_key_when_it_comes_free(backend: impl LockBackend + Clone) {
    let locks = Locks::new(backend.clone()).with_wait(ms(60_000)).unwrap();
    let holder = locks.acquire(key("a")).await.unwrap();
    let waiter = {
        let locks = locks.clone();
        tokio::spawn(async move { locks.acquire(key("a")).await.unwrap().fence() })
    };
    tokio::time::sleep(ms(100)).await;
    let fence = holder.fence();
    drop(holder);
    assert!(waiter.await.unwrap() > fence);
    free_again(&backend, "a").await;
}

async fn keys_that_differ_only_in_case_are_two_locks(backend: impl LockBackend) {
    let locks = Locks::new(backend);
    let names = ["straße:a", "straße:A", "STRASSE:a"];
    let mut held = Vec::new();
    for name in names {
        held.push(locks.try_acquire(key(name)).await.unwrap());
    }
    for name in names {
        assert_eq!(
            kind(locks.try_acquire(key(name)).await),
            LockErrorKind::Busy
        );
    }
}

async fn jobs_and_requests_exclude_each_other(backend: impl LockBackend + Clone) {
    let locks = Locks::new(backend.clone());
    let job = locks.acquire(key("a")).await.unwrap();
    let service = fencing(&layer(&backend).with_try());
    assert_eq!(status(&service, "a").await, StatusCode::CONFLICT);
    job.release().await;
    assert_eq!(status(&service, "a").await, StatusCode::OK);
}

async fn an_acquire_dropped_at_any_await_leaves_nothing(backend: impl LockBackend + Clone) {
    let locks = Locks::new(backend.clone());
    for polls in 0..8 {
        let name = format!("{polls}");
        poll_times(polls, locks.acquire(key(&name))).await;
        free_again(&backend, &name).await;
        // And one that waits.
        let holder = locks.acquire(key(&name)).await.unwrap();
        poll_times(polls, locks.acquire(key(&name))).await;
        drop(holder);
        free_again(&backend, &name).await;
    }
    eventually("nothing is held", async || {
        backend.held().names().is_empty()
    })
    .await;
}

async fn a_lock_outlasts_its_lease_until_it_is_dropped(backend: impl LockBackend + Clone) {
    let locks = Locks::new(backend.clone()).with_lease(ms(3_000)).unwrap();
    let lock = locks.acquire(key("a")).await.unwrap();
    for _ in 0..50 {
        tokio::time::sleep(ms(100)).await;
        lock.check().unwrap();
        assert!(lock.remaining() <= ms(3_000));
        assert_eq!(kind(locks.try_acquire(key("a")).await), LockErrorKind::Busy);
    }
    drop(lock);
    free_again(&backend, "a").await;
}

async fn a_lock_dropped_outside_of_any_runtime_is_let_go(backend: impl LockBackend + Clone) {
    let lock = Locks::new(backend.clone()).acquire(key("a")).await.unwrap();
    std::thread::spawn(move || drop(lock)).join().unwrap();
    free_again(&backend, "a").await;
}

async fn a_shutdown_takes_what_is_owned_away(backend: impl LockBackend + Clone) {
    let locks = Locks::new(backend.clone());
    let lock = locks.acquire(key("a")).await.unwrap();
    let waiter = {
        let locks = locks.clone();
        tokio::spawn(async move { kind(locks.acquire(key("a")).await) })
    };
    tokio::time::sleep(ms(50)).await;
    backend.held().release_all().await;
    assert_eq!(lock.check().unwrap_err().kind(), LockErrorKind::Lost);
    assert_eq!(waiter.await.unwrap(), LockErrorKind::Closed);
    assert_eq!(kind(locks.acquire(key("b")).await), LockErrorKind::Closed);
    assert_eq!(lock.release().await, ReleaseOutcome::AlreadyReleased);
}

#[tokio::test]
async fn a_shutdown_leaves_no_owned_key_in_redis() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    let locks = Locks::new(handle.locks());
    let lock = locks.acquire(key("a")).await.unwrap();
    assert!(!is_free(&server, "x-lock:a"));
    handle.locks().held().release_all().await;
    assert!(is_free(&server, "x-lock:a"));
    drop(lock);
}

#[tokio::test]
async fn a_full_line_and_a_backend_that_is_away_are_told_apart() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    full(handle.locks(), handle.locks().with_max_waiters(0)).await;
    let memory = MemoryLocks::new();
    full(memory.clone(), memory.with_max_waiters(0)).await;
    let away = RedisHandle::connect(&format!("redis://127.0.0.1:{}", free_port())).unwrap();
    let locks = Locks::new(away.locks());
    for result in [
        locks.acquire(key("a")).await,
        locks.try_acquire(key("a")).await,
    ] {
        assert_eq!(kind(result), LockErrorKind::Unavailable);
    }
}

async fn full(backend: impl LockBackend + Clone, bounded: impl LockBackend + Clone) {
    let _holder = Locks::new(backend).acquire(key("a")).await.unwrap();
    let refused = Locks::new(bounded).acquire(key("a")).await;
    assert_eq!(kind(refused), LockErrorKind::QueueFull);
}

#[test]
fn a_lock_that_outlives_its_runtime_is_dropped_without_a_panic() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lock = runtime.block_on(async {
        let handle = patient(&server.url());
        Locks::new(handle.locks()).acquire(key("a")).await.unwrap()
    });
    drop(runtime);
    drop(lock);
}
