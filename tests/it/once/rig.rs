//! Two instances of one fleet, and what the tests ask of them.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower_handoff::lock::{LockBackend, LockError};
use tower_handoff::once::{Job, Once, OnceError, OnceStore, Outcome};

use crate::support::eventually::eventually;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

pub(super) type Ran<T> = Result<Outcome<T>, OnceError<Infallible>>;

/// Runs each test with two instances that share memory, and two that share a Redis.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod on_memory {
            $(#[tokio::test]
            async fn $name() {
                let store = tower_handoff::once::MemoryOnce::new();
                super::$name(crate::once::rig::Fleet::of([store.clone(), store])).await;
            })+
        }
        mod on_redis {
            $(#[tokio::test]
            async fn $name() {
                let server = crate::support::redis_server::RedisServer::start();
                super::$name(crate::once::rig::fleet(&server)).await;
            })+
        }
    };
}
pub(super) use on_both;

/// Instances `a` and `b`, whose leases last an hour: what comes free sooner was let go.
pub(super) struct Fleet<S> {
    pub(super) a: Once,
    pub(super) b: Once,
    pub(super) stores: [S; 2],
}

impl<S: OnceStore + Clone> Fleet<S> {
    pub(super) fn of(stores: [S; 2]) -> Self {
        let [a, b] = &stores;
        let once = |store: &S, name| {
            let once = Once::new(store.clone()).with_instance_id(name).unwrap();
            once.with_lease(ms(3_600_000)).unwrap()
        };
        Self {
            a: once(a, "a"),
            b: once(b, "b"),
            stores,
        }
    }

    /// Waits until `a` holds the lock of a job.
    pub(super) async fn a_holds(&self) {
        let held = self.stores[0].locks().held();
        eventually("a holds it", async || held.names().len() == 1).await;
    }
}

pub(super) fn fleet(server: &RedisServer) -> Fleet<tower_handoff::once::RedisOnce> {
    Fleet::of([(); 2].map(|()| patient(&server.url()).once()))
}

/// A job that stays done for an hour.
pub(super) fn job(name: &str) -> Job {
    fresh_for(name, ms(3_600_000))
}

pub(super) fn fresh_for(name: &str, time: Duration) -> Job {
    Job::new(name).unwrap().with_fresh_for(time).unwrap()
}

/// Runs a job that answers `value`.
pub(super) async fn run(once: &Once, job: &Job, value: u64) -> Ran<u64> {
    once.run(job, |_| async move { Ok(value) }).await
}

/// Runs a job that never ends.
pub(super) async fn hang(once: Once, job: Job) -> Ran<u64> {
    once.run(&job, |_| pending()).await
}

/// Starts a job that never ends, and waits until it has begun.
pub(super) async fn occupy(once: &Once, job: &Job) -> JoinHandle<Ran<u64>> {
    let (begin, begun) = oneshot::channel();
    let (once, job) = (once.clone(), job.clone());
    let runs = tokio::spawn(async move {
        let work = |_| {
            begin.send(()).unwrap();
            pending()
        };
        once.run(&job, work).await
    });
    begun.await.expect("it begins");
    runs
}

/// Runs a job until somebody gets to run it.
pub(super) async fn comes_free(once: &Once, job: &Job) {
    eventually("it is free", async || {
        matches!(run(once, job, 0).await, Ok(Outcome::Ran(_)))
    })
    .await;
}

pub(super) fn lost<T: std::fmt::Debug>(ran: Ran<T>) -> LockError {
    match ran {
        Err(OnceError::Lost(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Counts how often a job was run.
#[derive(Debug, Clone, Default)]
pub(super) struct Count(Arc<AtomicU64>);

impl Count {
    pub(super) fn add(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
