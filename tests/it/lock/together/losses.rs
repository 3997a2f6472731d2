//! Several keys, one of which is lost.

use http::StatusCode;
use tower_handoff::lock::{LockErrorKind, Locks, OnLost};

use super::super::rig::{free_again, guarded, key, ms};
use super::{ask, both, keys};
use crate::support::eventually::{PATIENCE, eventually};
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

#[tokio::test]
async fn the_loss_of_one_is_the_loss_of_all() {
    let server = RedisServer::start();
    let locks = patient(&server.url()).locks();
    for lost in ["app:l1:{x-lock:a}", "app:l1:{x-other:a}"] {
        let stopping = both(&locks)
            .with_lease(ms(3_000))
            .unwrap()
            .with_on_lost(OnLost::Stop);
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let service = guarded(&stopping, move |guard| {
            sender.send(guard).unwrap();
            std::future::pending()
        });
        let stopped = tokio::spawn(async move { ask(&service, "a", "a").await.status() });
        let guard = receiver.recv().await.unwrap();
        server.command(&["DEL", lost]);
        guard.lost().await;
        assert_eq!(guard.check().unwrap_err().kind(), LockErrorKind::Lost);
        let stopped = tokio::time::timeout(PATIENCE, stopped);
        let status = stopped.await.expect("the handler is stopped").unwrap();
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        eventually("both are free", async || locks.held().names().is_empty()).await;
    }
}

#[tokio::test]
async fn a_key_lost_while_another_one_is_waited_for_is_no_lock_at_all() {
    let server = RedisServer::start();
    let locks = patient(&server.url()).locks();
    let handle = Locks::new(locks.clone())
        .with_lease(ms(1_000))
        .unwrap()
        .with_wait(ms(60_000))
        .unwrap();
    let holder = handle.acquire(key("b")).await.unwrap();
    let waiter = {
        let handle = handle.clone();
        tokio::spawn(async move { handle.acquire(keys(["a", "b"])).await.map(drop) })
    };
    eventually("it holds the first", async || {
        locks.held().names().len() == 2
    })
    .await;
    server.command(&["DEL", "app:l1:{x-lock:a}"]);
    let stranger = Locks::new(patient(&server.url()).locks());
    let taken = stranger.acquire(key("a")).await.unwrap();
    eventually("it knows that it lost the first", async || {
        locks.held().names() == [key("b")]
    })
    .await;
    drop(holder);
    let error = waiter.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), LockErrorKind::Unavailable);
    taken.check().unwrap();
    free_again(&locks, "b").await;
}
