//! What a fault leaves behind: no lock and no place in line that nobody stands for.

use http::StatusCode;
use tower_handoff::lock::{LockKey, Locks, RedisLocks};

use super::rig::{fencing, hanging, layer, ms, occupy, send, status};
use crate::support::eventually::eventually;
use crate::support::patient::patient;
use crate::support::proxy::Proxy;
use crate::support::redis_server::RedisServer;

fn locks(url: &str) -> RedisLocks {
    patient(url).locks()
}

fn line(server: &RedisServer) -> i64 {
    redis::from_redis_value(server.command(&["LLEN", "app:l1:{x-lock:a}:q"])).unwrap()
}

/// It knew, when it gave up, only that its last question had not been sent.
#[tokio::test]
async fn a_waiter_that_gave_up_while_redis_was_away_leaves_the_line() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let _holder = occupy(&locks(&server.url()), "a").await;
    let service = fencing(&layer(&locks(&proxy.url())).with_wait(ms(60_000)).unwrap());
    let waiter = tokio::spawn(async move { send(&service, "a").await });
    eventually("it is in line", async || line(&server) == 1).await;
    proxy.black_hole(true);
    assert_eq!(
        waiter.await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    proxy.black_hole(false);
    eventually("it has left the line", async || line(&server) == 0).await;
}

#[tokio::test]
async fn a_release_that_redis_refuses_for_the_moment_is_made_up_for() {
    let server = RedisServer::start();
    let locks = locks(&server.url());
    let hour = layer(&locks).with_lease(ms(3_600_000)).unwrap();
    let holder = tokio::spawn(async move { send(&hanging(&hour), "a").await });
    let held = locks.held();
    eventually("it is held", async || held.names().len() == 1).await;
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    holder.abort();
    // Its script is new to Redis, and the only one that failed. The error's own count would be of `ERR`
    // before 7.0.
    eventually("the release is refused", async || {
        let stats = server.command(&["INFO", "commandstats"]);
        let stats: String = redis::from_redis_value(stats).unwrap();
        let mut lines = stats.lines();
        let eval = lines.find(|line| line.starts_with("cmdstat_eval:"));
        eval.is_some_and(|line| !line.ends_with("failed_calls=0"))
    })
    .await;
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    let service = fencing(&layer(&locks).with_try());
    eventually("the key is free", async || {
        status(&service, "a").await == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn where_nobody_may_publish_the_next_in_line_finds_out_by_itself() {
    let server = RedisServer::start();
    let locks = locks(&server.url());
    let hour = layer(&locks).with_lease(ms(3_600_000)).unwrap();
    let holder = tokio::spawn(async move { send(&hanging(&hour), "a").await });
    let held = locks.held();
    eventually("it is held", async || held.names().len() == 1).await;
    let other = self::locks(&server.url());
    let service = fencing(&layer(&other).with_wait(ms(20_000)).unwrap());
    let waiter = tokio::spawn(async move { status(&service, "a").await });
    eventually("it is in line", async || line(&server) == 1).await;
    server.command(&["ACL", "SETUSER", "default", "-publish"]);
    holder.abort();
    assert_eq!(waiter.await.unwrap(), StatusCode::OK);
}

/// Who had the key from another process is told of at its first renewal, which takes memory.
#[tokio::test]
async fn a_lease_is_renewed_though_redis_is_out_of_memory() {
    let server = RedisServer::start();
    let [first, second] = [(); 2].map(|()| {
        let locks = Locks::new(locks(&server.url())).with_name("pay");
        locks.with_lease(ms(60_000)).unwrap()
    });
    let key = || LockKey::new("x-lock:a").unwrap();
    let held = first.acquire(key()).await.unwrap();
    let waits = tokio::spawn(async move { second.acquire(key()).await.unwrap() });
    eventually("it is in line", async || line(&server) == 1).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    held.release().await;
    let kept = waits.await.unwrap();
    eventually("its lease is renewed", async || {
        let seen = first.inspect(&key()).await.unwrap();
        seen.is_some_and(|seen| seen.remaining > ms(30_000))
    })
    .await;
    assert!(kept.check().is_ok());
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
}

#[tokio::test]
async fn a_lock_is_let_go_though_redis_is_out_of_memory() {
    let server = RedisServer::start();
    let locks = Locks::new(locks(&server.url()))
        .with_lease(ms(60_000))
        .unwrap();
    let key = || LockKey::new("x-lock:a").unwrap();
    let first = locks.acquire(key()).await.unwrap();
    let fence = first.fence();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    first.release().await;
    assert!(locks.inspect(&key()).await.unwrap().is_none());
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    let next = locks.try_acquire(key()).await.unwrap();
    assert!(next.fence() > fence);
}
