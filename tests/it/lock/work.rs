//! Work that runs under a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tower_handoff::lock::{LockBackend, LockErrorKind, Locks, OnLost};

use super::rig::{free_again, key, ms, on_both, poll_times};

on_both!(
    work_runs_under_the_lock_and_lets_go_however_it_ends,
    work_dropped_at_any_await_lets_go,
    work_is_told_or_stopped_when_its_lock_is_lost,
);

async fn work_runs_under_the_lock_and_lets_go_however_it_ends(backend: impl LockBackend + Clone) {
    let locks = Locks::new(backend.clone());
    let inside = locks.clone();
    let done = locks
        .with(key("a"), |lock| async move {
            lock.check().unwrap();
            let not_ours = lock.clone().into_owned().unwrap_err().kind();
            assert_eq!(not_ours, LockErrorKind::NotOwned);
            inside.try_acquire(key("a")).await.unwrap_err().kind()
        })
        .await;
    assert_eq!(done.unwrap(), LockErrorKind::Busy);
    free_again(&backend, "a").await;

    for early in [true, false] {
        let locks = locks.clone();
        let task = tokio::spawn(async move {
            locks
                .with(key("a"), |_| {
                    assert!(!early, "before there is a future");
                    async { panic!("on purpose") }
                })
                .await
        });
        assert!(task.await.unwrap_err().is_panic());
        free_again(&backend, "a").await;
    }

    let holder = locks.acquire(key("a")).await.unwrap();
    let impatient = locks.with_wait(ms(50)).unwrap();
    let refused = impatient.with(key("a"), |_| async { unreachable!("not held") });
    let error = refused.await.unwrap_err();
    assert_eq!(error.kind(), LockErrorKind::Busy);
    drop(holder);
}

async fn work_dropped_at_any_await_lets_go(backend: impl LockBackend + Clone) {
    for on_lost in [OnLost::Signal, OnLost::Stop] {
        let locks = Locks::new(backend.clone()).with_on_lost(on_lost);
        for polls in 0..8 {
            let work = locks.with(key("a"), |_| std::future::pending::<()>());
            poll_times(polls, work).await;
            free_again(&backend, "a").await;
        }
    }
}

async fn work_is_told_or_stopped_when_its_lock_is_lost(backend: impl LockBackend + Clone) {
    let locks = Locks::new(backend.clone()).with_max_hold(ms(300)).unwrap();
    let told = locks.with(key("a"), |lock| async move {
        lock.lost().await;
        lock.check().unwrap_err().kind()
    });
    assert_eq!(told.await.unwrap(), LockErrorKind::Lost);
    free_again(&backend, "a").await;

    let went_on = Arc::new(AtomicBool::new(false));
    let flag = went_on.clone();
    let locks = locks.with_on_lost(OnLost::Stop);
    let stopped = locks.with(key("a"), |lock| async move {
        lock.lost().await;
        tokio::time::sleep(ms(1)).await;
        flag.store(true, Ordering::SeqCst);
    });
    assert_eq!(stopped.await.unwrap_err().kind(), LockErrorKind::Lost);
    assert!(!went_on.load(Ordering::SeqCst));
    free_again(&backend, "a").await;
}
