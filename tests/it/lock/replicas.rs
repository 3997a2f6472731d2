//! Grants that wait for replicas.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_handoff::lock::{Acquired, Claim, LeaseTime, LockBackend, LockErrorKind, Locks};
use tower_handoff::redis::RedisHandle;

use super::rig::{free_again, key};
use crate::support::eventually::{PATIENCE, eventually};
use crate::support::patient::patient;
use crate::support::proxy::Proxy;
use crate::support::redis_server::{RedisServer, free_port};
use crate::support::replica::pair;

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
    let mut held = None;
    eventually("a replica has it", async || {
        held = durable.try_acquire(key("a")).await.ok();
        held.is_some()
    })
    .await;
    let held = held.unwrap();
    replica.signal("STOP");
    // Handed over in Redis, or passed on in this process: it is a grant all the same.
    let waiting = tokio::spawn({
        let durable = durable.clone();
        async move { durable.acquire(key("a")).await }
    });
    let other = patient(&master.url());
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

// What this process holds was granted by a server that is not the master any more.
#[tokio::test]
async fn what_the_new_master_does_not_know_of_is_no_grant() {
    let (old, _follows_old) = pair().await;
    let (new, _follows_new) = pair().await;
    let name = Proxy::start(old.port()).await;
    let builder = RedisHandle::builder(name.url()).command_timeout(PATIENCE);
    let handle = builder.connect().unwrap();
    let durable = handle.locks().replicas(1, PATIENCE).unwrap();
    let claim = || Claim::new(key("a"), LeaseTime::new(PATIENCE).unwrap());
    let (first, second) = (claim(), claim());
    let granted = handle.locks().acquire(&first, None).await.unwrap();
    assert!(matches!(granted, Acquired::Granted(_)), "{granted:?}");
    name.lead_to(new.port());
    name.cut();
    eventually("it has moved on", async || {
        handle.ping().await.is_ok() && *handle.wire().epochs().borrow() == 2
    })
    .await;
    let other = patient(&new.url()).locks();
    let granted = other.acquire(&second, None).await.unwrap();
    assert!(matches!(granted, Acquired::Granted(_)), "{granted:?}");
    // As the next one in this process would, whom the key is passed on to.
    let again = durable.acquire(&first, None).await;
    assert!(again.is_err(), "two hold it: {again:?}");
}

#[tokio::test]
async fn a_lease_that_ends_while_replicas_are_waited_for_is_no_grant() {
    let (master, replica) = pair().await;
    let builder = RedisHandle::builder(master.url()).command_timeout(PATIENCE);
    let durable = builder.connect().unwrap().locks();
    let durable = durable.replicas(1, PATIENCE).unwrap();
    let lease = |ms| LeaseTime::new(Duration::from_millis(ms)).unwrap();
    let warm = Claim::new(key("warm"), lease(10_000));
    durable.acquire(&warm, None).await.unwrap();
    replica.signal("STOP");
    let short = Claim::new(key("a"), lease(100));
    let begun = Instant::now();
    let (acquired, ()) = tokio::join!(durable.acquire(&short, None), async {
        sleep(Duration::from_millis(300)).await;
        replica.signal("CONT");
    });
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(acquired.is_err(), "{acquired:?}");
}
