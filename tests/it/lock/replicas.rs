//! Grants that wait for replicas.

use std::time::Duration;

use tower_handoff::lock::{LockErrorKind, Locks};
use tower_handoff::redis::RedisHandle;

use super::standalone::{free_again, key};
use crate::support::eventually::{PATIENCE, eventually};
use crate::support::redis_server::{RedisServer, free_port};

#[tokio::test]
async fn a_grant_that_too_few_replicas_have_is_given_back() {
    let master = RedisServer::start();
    let builder = RedisHandle::builder(master.url()).command_timeout(PATIENCE);
    let handle = builder.connect().unwrap();
    let within = Duration::from_millis(300);
    let durable = Locks::new(handle.locks().replicas(1, within).unwrap());
    let plain = handle.locks();

    let error = durable.try_acquire(key("a")).await.unwrap_err();
    assert_eq!(error.kind(), LockErrorKind::Unavailable, "{error}");
    free_again(&plain, "a").await;

    let port = master.port().to_string();
    let replica = RedisServer::start_on(free_port(), &["--replicaof", "127.0.0.1", &port]);
    eventually("a replica has it", async || {
        durable.try_acquire(key("a")).await.is_ok()
    })
    .await;
    free_again(&plain, "a").await;
    let held = durable.try_acquire(key("a")).await.unwrap();
    replica.signal("STOP");
    // Handed over in Redis, or passed on in this process: it is a grant all the same.
    let waiting = tokio::spawn({
        let durable = durable.clone();
        async move { durable.acquire(key("a")).await }
    });
    let other = RedisHandle::connect(&master.url()).unwrap();
    let line = Locks::new(other.locks()).with_wait(PATIENCE).unwrap();
    let (line, ()) = tokio::join!(line.acquire(key("a")), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        held.release().await;
    });
    drop(line.unwrap());
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), LockErrorKind::Unavailable, "{error}");
    free_again(&plain, "a").await;
    replica.signal("CONT");
    eventually("a replica has it", async || {
        durable.try_acquire(key("a")).await.is_ok()
    })
    .await;
}
