//! The network fails while Redis is well.

use std::time::Duration;

use tokio::time::Instant;
use tower_handoff::redis::{RedisErrorKind, RedisHandle};

use crate::support::eventually::eventually;
use crate::support::proxy::Proxy;
use crate::support::redis_server::RedisServer;

/// Longer than a busy machine stands still: that is no fault of the network.
const TIME_OUT: Duration = Duration::from_secs(2);
/// Generous, as a busy machine may take its time.
const BOUND: Duration = Duration::from_secs(20);

async fn through_a_proxy() -> (RedisServer, Proxy, RedisHandle) {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let handle = RedisHandle::builder(proxy.url())
        .command_timeout(TIME_OUT)
        .connect()
        .expect("good settings");
    handle.ping().await.expect("it is up");
    (server, proxy, handle)
}

#[tokio::test]
async fn a_connection_in_a_black_hole_is_replaced_and_nobody_waits_for_it() {
    let (_server, proxy, handle) = through_a_proxy().await;
    assert_eq!(proxy.accepted(), 1);
    proxy.black_hole(true);
    let mut kinds = Vec::new();
    while handle.status().is_up() {
        let ping = tokio::time::timeout(BOUND, handle.ping());
        let error = ping
            .await
            .expect("a time-out")
            .expect_err("nothing answers");
        kinds.push(error.kind());
        assert!(kinds.len() < 10, "replaced after two time-outs: {kinds:?}");
    }
    assert_eq!(kinds[0], RedisErrorKind::Unknown, "it was sent");

    proxy.black_hole(false);
    let closed = Instant::now();
    eventually("a ping is answered", async || handle.ping().await.is_ok()).await;
    assert!(closed.elapsed() < BOUND);
}

#[tokio::test]
async fn a_hole_that_closes_at_once_leaves_a_dead_connection_that_is_replaced_all_the_same() {
    let (_server, proxy, handle) = through_a_proxy().await;
    proxy.black_hole(true);
    let first = tokio::spawn({
        let handle = handle.clone();
        async move { handle.ping().await }
    });
    // The hole is felt by the connection before it closes again: the proxy never mends it.
    eventually("the first ping fails", async || first.is_finished()).await;
    proxy.black_hole(false);
    eventually("a ping is answered", async || handle.ping().await.is_ok()).await;
    assert!(proxy.accepted() >= 2);
}

#[tokio::test]
async fn while_away_the_breaker_answers_and_only_probes_reach_the_network() {
    let (server, proxy, handle) = through_a_proxy().await;
    server.signal("STOP");
    proxy.cut();
    eventually("the cut is noticed", async || !handle.status().is_up()).await;
    let (begun, before) = (Instant::now(), proxy.accepted());
    let (wire, mut incr) = (handle.wire(), redis::cmd("INCR"));
    incr.arg("count");
    for _ in 0..100_000 {
        let error = wire.send(incr.clone()).await;
        let error = error.expect_err("Redis is stopped");
        assert_eq!(error.kind(), RedisErrorKind::Away);
    }
    // An attempt begins at most every 18 ms, the shortest wait, and every 300 ms soon after.
    let probes = proxy.accepted() - before;
    let most = 6 + (begun.elapsed().as_millis() / 300) as usize;
    assert!(probes <= most, "{probes} connections for 100000 commands");
    server.signal("CONT");
    eventually("a ping is answered", async || handle.ping().await.is_ok()).await;
    assert_eq!(server.command(&["GET", "count"]), redis::Value::Nil);
}

#[tokio::test]
async fn probes_never_stop() {
    let (_server, proxy, handle) = through_a_proxy().await;
    proxy.black_hole(true);
    let _ = handle.ping().await;
    eventually("the hole is noticed", async || !handle.status().is_up()).await;
    // More attempts than any sensible number of retries would make.
    let before = proxy.accepted();
    eventually("attempts go on", async || proxy.accepted() >= before + 10).await;
    proxy.black_hole(false);
    eventually("a ping is answered", async || handle.ping().await.is_ok()).await;
}

#[tokio::test]
async fn a_killed_connection_is_noticed_and_replaced_without_a_command() {
    let (server, _proxy, handle) = through_a_proxy().await;
    let mut epochs = handle.wire().epochs();
    for round in 2..5 {
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        let grown = epochs.wait_for(|epoch| *epoch >= round);
        drop(grown.await.expect("the handle lives"));
        handle.ping().await.expect("up again");
    }
}

#[tokio::test]
async fn what_was_sent_on_a_lost_connection_is_unknown_and_what_was_not_is_away() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let handle = RedisHandle::connect(&proxy.url()).expect("a good url");
    let wire = handle.wire();
    // The one command that keeps Redis from answering and lets others look on.
    let mut wait = redis::cmd("BLPOP");
    wait.arg("empty").arg(0);
    let sent = tokio::spawn(async move { wire.send(wait).await });
    eventually("Redis has the command", async || {
        let clients = server.command(&["CLIENT", "LIST"]);
        redis::from_redis_value::<String>(clients).is_ok_and(|list| list.contains("cmd=blpop"))
    })
    .await;
    server.signal("STOP");
    proxy.cut();
    let error = sent.await.expect("no panic").expect_err("it was cut off");
    assert_eq!(error.kind(), RedisErrorKind::Unknown);
    assert!(
        std::error::Error::source(&error)
            .is_none_or(|source| { !error.to_string().contains(&source.to_string()) })
    );
    eventually("the cut is noticed", async || !handle.status().is_up()).await;
    let error = handle.ping().await.expect_err("Redis is stopped");
    assert_eq!(error.kind(), RedisErrorKind::Away);
    server.signal("CONT");
}

#[tokio::test]
async fn an_error_reply_is_no_fault_of_the_connection_and_shows_no_value() {
    let (server, proxy, handle) = through_a_proxy().await;
    server.command(&["SET", "text", "x"]);
    let wire = handle.wire();
    let mut wrong = redis::cmd("LPUSH");
    wrong.arg("text").arg("hunter2");
    let mut unknown = redis::cmd("NOSUCHCOMMAND");
    unknown.arg("hunter2");
    for (command, code) in [(wrong, "WRONGTYPE"), (unknown, "ERR")] {
        let error = wire.send(command).await.expect_err(code);
        assert_eq!(error.kind(), RedisErrorKind::Refused);
        assert_eq!(error.code(), Some(code));
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{error:?}"
        );
    }
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let mut write = redis::cmd("SET");
    write.arg("a").arg("b");
    let error = wire.send(write).await.expect_err("there is no replica");
    assert_eq!(
        (error.kind(), error.code()),
        (RedisErrorKind::Refused, Some("NOREPLICAS"))
    );
    handle.ping().await.expect("still up");
    assert_eq!(proxy.accepted(), 1);
}
