//! More is asked than Redis, or this process, can serve in time.

use std::time::Duration;

use futures_util::FutureExt;
use redis::Value;
use tower_handoff::redis::{RedisErrorKind, RedisHandle};

use crate::support::bad_line::BadLine;
use crate::support::eventually::eventually;
use crate::support::redis_server::RedisServer;

fn incr(key: &str) -> redis::Cmd {
    let mut incr = redis::cmd("INCR");
    incr.arg(key);
    incr
}

async fn far_away(
    server: &RedisServer,
    away: Duration,
    timeout: Duration,
) -> (BadLine, RedisHandle) {
    let line = BadLine::start(server.port()).await;
    let handle = RedisHandle::builder(line.url())
        .command_timeout(timeout)
        .connect()
        .expect("good settings");
    handle.ping().await.expect("it is up");
    line.delay(away);
    (line, handle)
}

// A window of 1024 would take five round trips, and there is time for two.
#[tokio::test]
async fn a_crowd_is_answered_in_one_round_trip_by_a_redis_that_is_far() {
    let server = RedisServer::start();
    let (away, timeout) = (Duration::from_millis(2_400), Duration::from_secs(6));
    let (_line, handle) = far_away(&server, away, timeout).await;
    let wire = handle.wire();
    let asked = (0..6000).map(|_| wire.send(incr("count")));
    for reply in futures_util::future::join_all(asked).await {
        reply.expect("it is answered");
    }
    assert_eq!(*wire.epochs().borrow(), 1, "the connection is the same");
}

// Where the inbox is subscribed there is a window, and more is asked than fits through it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_far_is_not_silent_though_more_is_asked_than_it_can_answer_in_time() {
    let server = RedisServer::start();
    let (away, timeout) = (Duration::from_millis(1_200), Duration::from_secs(4));
    let (_line, handle) = far_away(&server, away, timeout).await;
    let wire = handle.wire();
    wire.inbox_ready().await.expect("it is up");
    let mut asked = Vec::new();
    for _ in 0..60 {
        asked.extend((0..500).map(|_| {
            let wire = wire.clone();
            tokio::spawn(async move { wire.send(incr("count")).await })
        }));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut kinds = Vec::new();
    for reply in asked {
        let failed = reply.await.expect("no panic").err();
        kinds.extend(failed.map(|error| error.kind()));
    }
    assert_eq!(*wire.epochs().borrow(), 1, "the connection is the same");
    let away = kinds.iter().filter(|kind| **kind == RedisErrorKind::Away);
    let (away, failed) = (away.count(), kinds.len());
    assert!(failed > 0, "it was too much");
    // Behind all that was sent. What was not sent was not carried out; what was answered was. Of the rest
    // some may have been late before it was written.
    eventually("a ping is answered", async || handle.ping().await.is_ok()).await;
    let carried_out: usize =
        redis::from_redis_value(server.command(&["GET", "count"])).expect("a number");
    let may_be = 30_000 - failed..=30_000 - away;
    assert!(may_be.contains(&carried_out), "{carried_out} of {may_be:?}");
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "that this process stands still is the point"
)]
async fn what_has_waited_past_its_time_out_is_not_sent_unless_nobody_waits_for_it() {
    let server = RedisServer::start();
    let handle = RedisHandle::builder(server.url())
        .command_timeout(Duration::from_secs(2))
        .connect()
        .expect("good settings");
    handle.ping().await.expect("it is up");
    let wire = handle.wire();
    let mut late: Vec<_> = (0..20).map(|_| Box::pin(wire.send(incr("late")))).collect();
    for sent in &mut late {
        assert!(sent.as_mut().now_or_never().is_none(), "polled once");
    }
    wire.post(incr("posted"));
    // On this single thread the supervisor has no turn meanwhile.
    std::thread::sleep(Duration::from_millis(2_500));
    for reply in futures_util::future::join_all(late).await {
        let error = reply.expect_err("it was too late");
        assert_eq!(error.kind(), RedisErrorKind::Away, "{error}");
    }
    handle.ping().await.expect("it is up");
    assert_eq!(server.command(&["GET", "late"]), Value::Nil);
    assert_eq!(
        server.command(&["GET", "posted"]),
        Value::BulkString(b"1".to_vec())
    );
}
