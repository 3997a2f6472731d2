//! Where the inbox is subscribed, so many replies at most are owed at a time, whoever still waits for them.

use std::time::Duration;

use futures_util::future::join_all;
use redis::Value;
use tower_handoff::redis::{RedisErrorKind, RedisHandle};

use crate::support::redis_server::RedisServer;

/// The window.
const WINDOW: usize = 1024;
/// The window, and the rest of a pipeline that does not end with it.
const MOST: usize = WINDOW + 8;

fn incr() -> redis::Cmd {
    let mut incr = redis::cmd("INCR");
    incr.arg("count");
    incr
}

async fn subscribed(server: &RedisServer, timeout: Duration) -> RedisHandle {
    let handle = RedisHandle::builder(server.url())
        .command_timeout(timeout)
        .connect()
        .expect("good settings");
    handle.wire().inbox_ready().await.expect("it is up");
    handle
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_timed_out_keeps_the_window_shut_for_its_replies_are_still_to_come() {
    let server = RedisServer::start();
    let handle = subscribed(&server, Duration::from_secs(4)).await;
    server.signal("STOP");
    let mut asked = Vec::new();
    // Until it is away, half a time-out after the first of them: bounded, as each round waits.
    for _ in 0..500 {
        if !handle.status().is_up() {
            break;
        }
        asked.extend((0..200).map(|_| {
            let wire = handle.wire();
            tokio::spawn(async move { wire.send(incr()).await })
        }));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!handle.status().is_up(), "nothing was answered");
    let mut sent = 0;
    for reply in join_all(asked).await {
        let error = reply.expect("no panic").expect_err("Redis stands still");
        // What was not sent is away.
        sent += usize::from(error.kind() == RedisErrorKind::Unknown);
    }
    assert!((WINDOW..=MOST).contains(&sent), "{sent} were sent");
}

#[tokio::test]
async fn after_a_pause_the_window_opens_on_the_same_connection() {
    let server = RedisServer::start();
    // Half of it is left for a sign of life.
    let handle = subscribed(&server, Duration::from_secs(8)).await;
    let wire = handle.wire();
    server.signal("STOP");
    let mut sent = 0;
    for reply in join_all((0..4000).map(|_| wire.send(incr()))).await {
        let error = reply.expect_err("Redis stands still");
        sent += i64::from(error.kind() == RedisErrorKind::Unknown);
    }
    server.signal("CONT");
    // In waves, each of which fits.
    for _ in 0..10 {
        for reply in join_all((0..500).map(|_| wire.send(incr()))).await {
            sent += 1;
            let Value::Int(count) = reply.expect("it is answered") else {
                panic!("it is a number");
            };
            assert!(count <= sent, "what was not sent was not carried out");
        }
    }
    let count = server.command(&["GET", "count"]);
    assert_eq!(count, Value::BulkString(sent.to_string().into_bytes()));
    assert_eq!(*wire.epochs().borrow(), 1, "the connection is the same");
}
