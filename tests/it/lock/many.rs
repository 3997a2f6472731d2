//! Thousands of locks held at once by one process.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower_handoff::lock::{LockKey, Locks};
use tower_handoff::redis::RedisHandle;

use crate::support::eventually::PATIENCE;
use crate::support::redis_server::RedisServer;

const LOCKS: u64 = 10_000;
/// Long enough for ten thousand renewals at a time on a machine that is busy elsewhere.
const LEASE: Duration = Duration::from_secs(8);

fn key(number: u64) -> LockKey {
    LockKey::new(format!("order:{number}")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_held_locks_outlive_two_leases_for_one_command_a_third_each() {
    let server = RedisServer::start();
    // Another one would be a renewal more, or an acquire that is refused: what is asked at once here
    // takes a debug build a second, and a machine that is busy elsewhere some.
    let builder = RedisHandle::builder(server.url()).command_timeout(PATIENCE);
    let redis = builder.connect().unwrap();
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
    sleep(2 * LEASE).await;
    for lock in &held {
        assert!(lock.check().is_ok(), "{} was lost", lock.key());
    }
    // A third of a lease, less what comes off for drift, and a tenth of that for those that are renewed
    // along with others, is the soonest; the latest is the lease, or it would have been lost.
    let soonest = LEASE.as_secs_f64() * 0.98 * 0.9 / 3.0;
    let most = begun.elapsed().as_secs_f64() / soonest;
    let scripts = server.command_counts()["evalsha"];
    let each = (scripts - LOCKS) as f64 / LOCKS as f64;
    println!("{each:.2} renewals each, of at most {most:.2}");
    assert!((2.0..=most).contains(&each), "{each} renewals each");
    assert_eq!(redis.locks().held().names().len(), held.len());
    // A shutdown lets go of all of them, and none has to be tried twice for want of time.
    redis.locks().held().release_all().await;
    let kept = server.command(&["EVAL", "local n = 0 for _, k in ipairs(redis.call('KEYS', 'app:l1:*')) do if string.byte(redis.call('GET', k)) == 49 then n = n + 1 end end return n", "0"]);
    assert_eq!(kept, redis::Value::Int(0), "a lock was left");
}
