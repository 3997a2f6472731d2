//! A Redis user who may not listen, so that nobody could tell it that its turn has come.

use std::error::Error;

use redis::Value;
use tokio::time::Instant;
use tower_handoff::lock::{LockError, LockErrorKind, LockKey, Locks};
use tower_handoff::redis::RedisHandle;

use super::rig::{is_free, ms};
use crate::support::eventually::{PATIENCE, eventually};
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

fn key(name: &str) -> LockKey {
    LockKey::new(name).unwrap()
}

/// Locks of the user `me`, with a wait far longer than any test.
fn locks_of_me(server: &RedisServer) -> (RedisHandle, Locks) {
    let url = format!("redis://me:pw@127.0.0.1:{}", server.port());
    let handle = patient(&url);
    let locks = Locks::new(handle.locks());
    (handle, locks.with_wait(ms(600_000)).unwrap())
}

fn may(server: &RedisServer, right: &str) {
    server.command(&["ACL", "SETUSER", "me", "on", ">pw", "~*", "&*", right]);
}

fn holder(server: &RedisServer) -> Locks {
    let locks = patient(&server.url()).locks();
    Locks::new(locks).with_lease(ms(3_600_000)).unwrap()
}

fn in_line(server: &RedisServer) -> Value {
    server.command(&["LLEN", "app:l1:{a}:q"])
}

fn names_what_is_missing(error: &LockError) {
    assert_eq!(error.kind(), LockErrorKind::Unavailable);
    let why = error.source().expect("Redis says why").to_string();
    assert!(
        why.contains("inbox channel") && why.contains("subscribe"),
        "{why}"
    );
}

#[tokio::test]
async fn who_may_not_subscribe_has_what_is_free_and_is_refused_what_it_would_wait_for() {
    let server = RedisServer::start();
    may(&server, "+@all");
    may(&server, "-subscribe");
    let (handle, locks) = locks_of_me(&server);
    let held = holder(&server).acquire(key("a")).await.unwrap();

    locks.acquire(key("b")).await.unwrap().release().await;
    locks.try_acquire(key("b")).await.unwrap().release().await;
    let error = locks.try_acquire(key("a")).await.unwrap_err();
    assert_eq!(error.kind(), LockErrorKind::Busy);

    // The first to come asks Redis for itself, the others stand behind it; then once more.
    for _ in 0..2 {
        let all = futures_util::future::join_all((0..8).map(|_| locks.acquire(key("a"))));
        for refused in tokio::time::timeout(PATIENCE, all).await.expect("at once") {
            names_what_is_missing(&refused.unwrap_err());
        }
        assert_eq!(in_line(&server), Value::Int(0));
    }
    // Not for a moment: a key that came free just then would be handed to who cannot hear of it.
    assert_eq!(server.command_counts().get("rpush"), None);
    let warning = handle.warning().expect("operators are told");
    assert!(warning.contains("inbox"), "{warning}");

    // Nobody stands there in whose favour it would not come free.
    held.release().await;
    assert!(is_free(&server, "a"));
    locks.acquire(key("a")).await.unwrap().release().await;
    assert!(is_free(&server, "a"));

    may(&server, "+subscribe");
    let held = holder(&server).acquire(key("a")).await.unwrap();
    let waits = tokio::spawn(async move {
        loop {
            match locks.acquire(key("a")).await {
                Ok(lock) => return lock,
                // It is asked for again at most once a second.
                Err(error) => names_what_is_missing(&error),
            }
            tokio::time::sleep(ms(50)).await;
        }
    });
    eventually("now it may wait", async || {
        in_line(&server) == Value::Int(1)
    })
    .await;
    held.release().await;
    waits.await.unwrap().release().await;
}

/// The right goes with the connection, while it waits.
#[tokio::test]
async fn who_waits_and_may_not_listen_any_more_is_refused_and_leaves_the_line() {
    let server = RedisServer::start();
    may(&server, "+@all");
    let (handle, locks) = locks_of_me(&server);
    let held = holder(&server).acquire(key("a")).await.unwrap();
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let locks = locks.clone();
            tokio::spawn(async move { locks.acquire(key("a")).await })
        })
        .collect();
    eventually("it waits", async || in_line(&server) == Value::Int(1)).await;
    may(&server, "-subscribe");
    let before = *handle.wire().epochs().borrow();
    let killed = Instant::now();
    server.command(&["CLIENT", "KILL", "USER", "me"]);
    for waits in waiting {
        let refused = tokio::time::timeout(PATIENCE, waits).await;
        let error = refused.expect("at once").unwrap().unwrap_err();
        // Who waits puts up with a lost connection for a second: where this machine takes longer, that is what
        // it is told of.
        if killed.elapsed() < ms(1_000) {
            names_what_is_missing(&error);
        }
        assert_eq!(error.kind(), LockErrorKind::Unavailable);
    }
    eventually("it is connected again", async || {
        *handle.wire().epochs().borrow() > before
    })
    .await;
    eventually("it has left", async || in_line(&server) == Value::Int(0)).await;
    held.release().await;
    assert!(is_free(&server, "a"));
}
