//! Locks: taking and letting go of a free key, and handing a key over while others wait.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tower_handoff::lock::{
    Acquired, Claim, LeaseTime, LockBackend, LockKey, MemoryLocks, RedisLocks,
};
use tower_handoff::redis::RedisHandle;

use redis_server::RedisServer;

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/support/redis_server.rs"]
mod redis_server;

fn claim() -> Claim {
    let key = LockKey::new("bench").expect("a good key");
    Claim::new(key, LeaseTime::DEFAULT)
}

async fn acquire_and_release(locks: &impl LockBackend, wait: Option<Duration>) {
    let claim = claim();
    let acquired = locks.acquire(&claim, wait).await.expect("reachable");
    assert!(matches!(acquired, Acquired::Granted(_)), "{acquired:?}");
    if wait.is_some() {
        // Lets the others get in line, so that every release changes the owner.
        tokio::task::yield_now().await;
    }
    black_box(locks.release(&claim).await.expect("reachable"));
}

/// What a hand-written lock does: `SET NX PX`, then compare-and-delete.
async fn by_hand(connection: &mut redis::aio::MultiplexedConnection, script: &redis::Script) {
    let owner = tower_handoff::lock::Owner::random();
    let () = redis::cmd("SET")
        .arg("by-hand")
        .arg(owner.as_bytes())
        .arg(&["NX", "PX", "10000"])
        .query_async(connection)
        .await
        .expect("reachable");
    let _: i64 = script
        .key("by-hand")
        .arg(owner.as_bytes())
        .invoke_async(connection)
        .await
        .expect("reachable");
}

/// The time of `iterations` owner changes among 16 tasks, half of them on each of two backends.
async fn contended<B: LockBackend + Clone>(backends: [B; 2], iterations: u64) -> Duration {
    const TASKS: u64 = 16;
    let begun = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let locks = backends[usize::try_from(number % 2).expect("0 or 1")].clone();
            let rounds = iterations / TASKS + u64::from(number < iterations % TASKS);
            tokio::spawn(async move {
                for _ in 0..rounds {
                    acquire_and_release(&locks, Some(Duration::from_secs(60))).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    begun.elapsed()
}

fn locks(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let server = RedisServer::start();
    let memory = MemoryLocks::new();
    let instance = || -> RedisLocks {
        let _inside = runtime.enter();
        RedisHandle::connect(&server.url())
            .expect("a good url")
            .locks()
    };
    let instances = [instance(), instance()];

    let mut group = criterion.benchmark_group("lock/uncontended");
    group.bench_function("memory", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| acquire_and_release(&memory, None));
    });
    group.bench_function("redis", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| acquire_and_release(&instances[0], None));
    });
    group.bench_function("by-hand", |bencher| {
        let client = redis::Client::open(server.url()).expect("a good url");
        let connection = runtime
            .block_on(client.get_multiplexed_async_connection())
            .expect("reachable");
        let script = redis::Script::new(
            "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
        );
        bencher.to_async(&runtime).iter(|| {
            let (mut connection, script) = (connection.clone(), &script);
            async move { by_hand(&mut connection, script).await }
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("lock/hand-over");
    group.sample_size(10);
    group.bench_function("memory, 16 tasks", |bencher| {
        bencher
            .to_async(&runtime)
            .iter_custom(|iterations| contended([memory.clone(), memory.clone()], iterations));
    });
    group.bench_function("redis, 16 tasks on two connections", |bencher| {
        bencher
            .to_async(&runtime)
            .iter_custom(|iterations| contended(instances.clone(), iterations));
    });
    group.finish();
}

criterion_group!(benches, locks);
criterion_main!(benches);
