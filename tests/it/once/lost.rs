//! A job whose lease is lost: it is stopped, and nothing of it is kept.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tower_handoff::lock::{
    Acquired, Claim, LeaseTime, LockBackend, LockError, LockErrorKind, LockKey, MemoryLocks, OnLost,
};
use tower_handoff::once::{Begun, Found, MemoryOnce, Once, OnceStore, Outcome};
use tower_handoff::redis::RedisHandle;

use super::rig::{Fleet, comes_free, fleet, job, lost, ms, occupy, on_both, run};
use crate::support::eventually::eventually;
use crate::support::proxy::Proxy;
use crate::support::redis_server::RedisServer;

const LOCK: &str = "app:l1:{once:x}";
const KEPT: &str = "app:o1:{once:x}";

on_both!(
    a_job_that_lets_go_itself_keeps_nothing,
    a_late_holder_changes_nothing_in_the_store,
);

async fn a_job_that_lets_go_itself_keeps_nothing<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let work = |lock: tower_handoff::LockGuard| async move {
        lock.release().await;
        Ok::<u64, Infallible>(1)
    };
    let error = lost(fleet.a.run(&job("x"), work).await);
    assert_eq!(error.kind(), LockErrorKind::Released);
    assert_eq!(run(&fleet.b, &job("x"), 2).await.unwrap(), Outcome::Ran(2));
}

async fn a_late_holder_changes_nothing_in_the_store<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let [a, b] = &fleet.stores;
    let key = job("x").key();
    let claim = |lease| Claim::new(key.clone(), LeaseTime::new(ms(lease)).unwrap());
    let (late, next) = (claim(100), claim(3_600_000));
    let result = || Bytes::from_static(b"result");
    for (store, claim) in [(a, &late), (b, &next)] {
        let acquired = store.locks().acquire(claim, Some(ms(20_000))).await;
        assert!(matches!(acquired, Ok(Acquired::Granted(_))), "{acquired:?}");
    }
    assert_eq!(a.begin(&late, "a").await.unwrap(), Begun::Lost);
    assert!(!a.finish(&late, result(), ms(60_000)).await.unwrap());
    assert_eq!(b.look(&key).await.unwrap(), Found::Nothing);
    for _ in 0..2 {
        assert_eq!(b.begin(&next, "b").await.unwrap(), Begun::Begun);
        assert_eq!(a.look(&key).await.unwrap(), Found::Running("b".to_owned()));
    }
    assert!(!a.finish(&late, result(), ms(0)).await.unwrap());
    for _ in 0..2 {
        assert!(b.finish(&next, result(), ms(60_000)).await.unwrap());
        assert_eq!(a.look(&key).await.unwrap(), Found::Done(result()));
        assert_eq!(b.begin(&next, "b").await.unwrap(), Begun::Done(result()));
    }
    b.locks().release(&next).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_process_suspended_past_its_lease_takes_no_further_step_and_keeps_nothing() {
    let once = Once::new(MemoryOnce::new());
    let (resume, stepped) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (after, told) = (resume.clone(), stepped.clone());
    let x = job("x");
    let mut runs = Box::pin(once.run(&x, |_| async move {
        after.notified().await;
        told.store(true, Ordering::SeqCst);
        Ok::<u64, Infallible>(1)
    }));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(runs.as_mut().poll(&mut context).is_pending());
    // Nothing is polled while the clock goes on; then everything is ready at once.
    tokio::time::advance(ms(60_000)).await;
    resume.notify_one();
    assert_eq!(run(&once, &x, 2).await.unwrap(), Outcome::Ran(2));
    lost(runs.await);
    assert!(!stepped.load(Ordering::SeqCst));
    assert_eq!(run(&once, &x, 3).await.unwrap(), Outcome::Fresh(2));
}

/// A store whose first note of a beginning takes longer than any lease.
#[derive(Clone, Default)]
struct SlowOnce(MemoryOnce, Arc<AtomicBool>);

impl OnceStore for SlowOnce {
    type Locks = MemoryLocks;

    fn locks(&self) -> MemoryLocks {
        self.0.locks()
    }

    async fn look(&self, key: &LockKey) -> Result<Found, LockError> {
        self.0.look(key).await
    }

    async fn begin(&self, claim: &Claim, by: &str) -> Result<Begun, LockError> {
        let begun = self.0.begin(claim, by).await;
        if !self.1.swap(true, Ordering::SeqCst) {
            tokio::time::advance(ms(60_000)).await;
        }
        begun
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
async fn nothing_begins_under_a_lease_that_is_over() {
    let once = Once::new(SlowOnce::default()).with_on_lost(OnLost::Signal);
    let work = |lock: tower_handoff::LockGuard| async move { lock.check().map(|()| 1_u64) };
    let ran = once.run(&job("x"), work).await.unwrap();
    assert_eq!(ran, Outcome::Ran(1), "it was claimed anew");
}

/// What Redis itself thinks of the holder, while the holder thinks that it has an hour left.
#[tokio::test]
async fn whoever_redis_does_not_know_as_the_holder_keeps_nothing() {
    let server = RedisServer::start();
    let fleet = fleet(&server);
    for commands in [
        &[&["PEXPIRE", LOCK, "86400000"][..]][..], // the lease is over
        &[&["SETRANGE", LOCK, "1", "another's token!"]],
        &[&["DEL", LOCK]],
    ] {
        server.command(&["FLUSHALL"]);
        let work = |_| async {
            commands
                .iter()
                .for_each(|command| drop(server.command(command)));
            Ok::<u64, Infallible>(1)
        };
        lost(fleet.a.run(&job("x"), work).await);
        let kept: Vec<u8> = redis::from_redis_value(server.command(&["GET", KEPT])).unwrap();
        assert!(!kept.starts_with(b"1d"), "{commands:?}");
    }
}

#[tokio::test]
async fn after_redis_lost_its_data_the_one_who_came_later_counts() {
    let server = RedisServer::start();
    let fleet = fleet(&server);
    let first = fleet.a.clone().with_lease(ms(3_000)).unwrap();
    let first = occupy(&first, &job("x")).await;
    server.command(&["FLUSHALL"]);
    assert_eq!(run(&fleet.b, &job("x"), 2).await.unwrap(), Outcome::Ran(2));
    lost(first.await.unwrap());
    assert_eq!(
        run(&fleet.a, &job("x"), 3).await.unwrap(),
        Outcome::Fresh(2)
    );
}

#[tokio::test]
async fn a_job_is_stopped_or_told_when_redis_dies_for_longer_than_its_lease() {
    for on_lost in [OnLost::Stop, OnLost::Signal] {
        let server = RedisServer::start();
        let fleet = fleet(&server);
        let once = fleet.a.clone().with_lease(ms(1_000)).unwrap();
        let once = once.with_on_lost(on_lost);
        let (went_on, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        let (went, hear) = (went_on.clone(), told.clone());
        let (begin, begun) = oneshot::channel();
        let runs = tokio::spawn(async move {
            let work = |lock: tower_handoff::LockGuard| async move {
                begin.send(()).unwrap();
                lock.lost().await;
                hear.notified().await;
                went.store(true, Ordering::SeqCst);
                Ok::<u64, Infallible>(1)
            };
            once.run(&job("x"), work).await
        });
        begun.await.expect("it begins");
        server.signal("KILL");
        if on_lost == OnLost::Signal {
            told.notify_one();
        }
        lost(runs.await.unwrap());
        assert_eq!(went_on.load(Ordering::SeqCst), on_lost == OnLost::Signal);
    }
}

#[tokio::test]
async fn a_result_is_kept_when_redis_comes_back_before_the_lease_ends() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let handle = RedisHandle::connect(&proxy.url()).unwrap();
    let once = Once::new(handle.once()).with_lease(ms(60_000)).unwrap();
    let begun = AtomicBool::new(false);
    let work = |_| async {
        proxy.black_hole(true);
        begun.store(true, Ordering::SeqCst);
        Ok::<u64, Infallible>(1)
    };
    let x = job("x");
    let mut runs = Box::pin(once.run(&x, work));
    let away = eventually("Redis is away", async || {
        begun.load(Ordering::SeqCst) && !handle.status().is_up()
    });
    tokio::select! {
        early = &mut runs => panic!("{early:?}"),
        () = away => {}
    }
    proxy.black_hole(false);
    assert_eq!(runs.await.unwrap(), Outcome::Ran(1));
    let other = RedisHandle::connect(&server.url()).unwrap().once();
    assert_eq!(
        run(&Once::new(other), &x, 2).await.unwrap(),
        Outcome::Fresh(1)
    );
}

#[tokio::test]
async fn a_renewed_lease_outlasts_its_first_time() {
    let server = RedisServer::start();
    let fleet = fleet(&server);
    let once = fleet.a.clone().with_lease(ms(4_000)).unwrap();
    let runs = tokio::spawn(async move {
        let work = |lock: tower_handoff::LockGuard| async move {
            tokio::time::sleep(ms(6_000)).await;
            lock.check().map(|()| 1_u64)
        };
        once.run(&job("x"), work).await
    });
    fleet.a_holds().await;
    while !runs.is_finished() {
        let other = run(&fleet.b, &job("x"), 2).await.unwrap();
        assert_ne!(other, Outcome::Ran(2));
        tokio::time::sleep(ms(50)).await;
    }
    assert_eq!(runs.await.unwrap().unwrap(), Outcome::Ran(1));
    comes_free(&fleet.b, &job("y")).await;
}
