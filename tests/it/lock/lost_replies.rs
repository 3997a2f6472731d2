//! Connections that die between a question and its answer, while others of the process wait.

use http::StatusCode;
use tower_handoff::lock::RedisLocks;
use tower_handoff::redis::RedisHandle;

use super::rig::{fencing, is_free, layer, ms, occupy, send, status};
use crate::support::bad_line::BadLine;
use crate::support::eventually::eventually;
use crate::support::redis_server::RedisServer;

fn locks(url: &str) -> RedisLocks {
    RedisHandle::connect(url).unwrap().locks()
}

fn is_subscribed(server: &RedisServer) -> bool {
    let channels = server.command(&["PUBSUB", "CHANNELS", "*"]);
    !redis::from_redis_value::<Vec<String>>(channels)
        .unwrap()
        .is_empty()
}

/// The inbox is subscribed at the first wait.
async fn subscribe(server: &RedisServer, locks: &RedisLocks) {
    let holder = occupy(locks, "warm").await;
    let service = fencing(&layer(locks).with_wait(ms(60_000)).unwrap());
    let waiter = tokio::spawn(async move { send(&service, "warm").await });
    eventually("the inbox is subscribed", async || is_subscribed(server)).await;
    holder.abort();
    assert_eq!(waiter.await.unwrap().status(), StatusCode::OK);
    eventually("it is free", async || is_free(server, "x-lock:warm")).await;
}

/// The first one asked in its own name, the second one waited for that.
#[tokio::test]
async fn a_grant_that_nobody_heard_of_is_taken_back_though_others_wait() {
    let server = RedisServer::start();
    let line = BadLine::start(server.port()).await;
    let locks = locks(&line.url());
    subscribe(&server, &locks).await;
    let hour = fencing(&layer(&locks).with_lease(ms(3_600_000)).unwrap());
    line.swallow(true);
    let tasks = [(); 2].map(|()| {
        let hour = hour.clone();
        tokio::spawn(async move { status(&hour, "a").await })
    });
    eventually("Redis has granted it", async || {
        !is_free(&server, "x-lock:a")
    })
    .await;
    line.cut();
    for task in tasks {
        assert_eq!(task.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(!is_free(&server, "x-lock:a"), "nobody could take it back");
    line.swallow(false);
    line.cut();
    eventually("it is free", async || is_free(&server, "x-lock:a")).await;
}
