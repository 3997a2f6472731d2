//! Thousands of locks held at once by one process.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower_handoff::lock::{LockKey, Locks};
use tower_handoff::redis::RedisHandle;

use crate::support::redis_server::RedisServer;

const LOCKS: u64 = 10_000;
const LEASE: Duration = Duration::from_secs(4);

fn key(number: u64) -> LockKey {
    LockKey::new(format!("order:{number}")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_held_locks_outlive_three_leases_for_one_command_a_third_each() {
    let server = RedisServer::start();
    let redis = RedisHandle::connect(&server.url()).unwrap();
    let locks = Locks::new(redis.locks()).with_lease(LEASE).unwrap();
    let begun = Instant::now();
    let mut acquires = JoinSet::new();
    for first in 0..16 {
        let locks = locks.clone();
        acquires.spawn(async move {
            let mut held = Vec::new();
            for number in (first..LOCKS).step_by(16) {
                held.push(locks.acquire(key(number)).await.unwrap());
            }
            held
        });
    }
    let held = acquires
        .join_all()
        .await
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
    sleep(3 * LEASE).await;
    for lock in &held {
        assert!(lock.check().is_ok(), "{} was lost", lock.key());
    }
    // A third of a lease, less what comes off for drift, is the soonest.
    let soonest = LEASE.as_secs_f64() * 0.98 / 3.0;
    let most = begun.elapsed().as_secs_f64() / soonest;
    let scripts = server.command_counts()["evalsha"];
    let each = (scripts - LOCKS) as f64 / LOCKS as f64;
    println!("{each:.2} renewals each, of at most {most:.2}");
    // Three leases have nine thirds; on a machine that is busy elsewhere they come late.
    assert!((6.0..=most).contains(&each), "{each} renewals each");
    assert_eq!(redis.locks().held().names().len(), held.len());
    // A shutdown lets go of all of them, and none has to be tried twice for want of time.
    redis.locks().held().release_all().await;
    let kept = server.command(&["EVAL", "local n = 0 for _, k in ipairs(redis.call('KEYS', 'app:l1:*')) do if string.byte(redis.call('GET', k)) == 49 then n = n + 1 end end return n", "0"]);
    assert_eq!(kept, redis::Value::Int(0), "a lock was left");
}
