//! The end of a handle.

use redis::Value;
use tower_handoff::redis::{RedisErrorKind, RedisHandle};

use crate::support::eventually::eventually;
use crate::support::redis_server::RedisServer;

fn post_many(handle: &RedisHandle) {
    for number in 0..1000 {
        let mut add = redis::cmd("SADD");
        add.arg("seen").arg(number);
        handle.wire().post(add);
    }
}

#[tokio::test]
async fn closing_sends_what_is_queued_and_nothing_after_it() {
    let server = RedisServer::start();
    let handle = RedisHandle::connect(&server.url()).expect("a good url");
    handle.ping().await.expect("it is up");
    post_many(&handle);
    handle.close().await;
    assert_eq!(server.command(&["SCARD", "seen"]), Value::Int(1000));

    let error = handle.clone().ping().await.expect_err("it is closed");
    assert_eq!(error.kind(), RedisErrorKind::Away);
    assert!(!handle.status().is_up());
    handle.close().await;
}

#[tokio::test]
async fn closing_does_not_wait_for_a_redis_that_is_silent_or_away() {
    let server = RedisServer::start();
    let silent = RedisHandle::connect(&server.url()).expect("a good url");
    silent.ping().await.expect("it is up");
    let away = RedisHandle::connect("redis://127.0.0.1:1").expect("a good url");
    server.signal("STOP");
    post_many(&silent);
    silent.close().await;
    away.close().await;
    let error = silent.ping().await.expect_err("it is closed");
    assert_eq!(error.kind(), RedisErrorKind::Away);
}

#[tokio::test]
async fn the_last_handle_s_end_is_the_supervisor_s_and_what_was_posted_still_goes_out() {
    let server = RedisServer::start();
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let handle = RedisHandle::connect(&server.url()).expect("a good url");
    handle.ping().await.expect("it is up");
    assert!(metrics.num_alive_tasks() > before);
    post_many(&handle);
    drop(handle.clone());
    drop(handle);
    eventually("no task is left", async || {
        metrics.num_alive_tasks() == before
    })
    .await;
    assert_eq!(server.command(&["SCARD", "seen"]), Value::Int(1000));

    let away = RedisHandle::connect("redis://127.0.0.1:1").expect("a good url");
    let _ = away.ping().await;
    drop(away);
    eventually("no task is left", async || {
        metrics.num_alive_tasks() == before
    })
    .await;
}

#[test]
fn a_handle_that_outlives_its_runtime_says_so() {
    let server = RedisServer::start();
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let first = runtime();
    let handle = first.block_on(async {
        let handle = RedisHandle::connect(&server.url()).expect("a good url");
        handle.ping().await.expect("it is up");
        handle
    });
    drop(first);
    runtime().block_on(async {
        let error = handle.ping().await.expect_err("nobody is left to send it");
        assert_eq!(error.kind(), RedisErrorKind::Away);
        handle.close().await;
    });
}
