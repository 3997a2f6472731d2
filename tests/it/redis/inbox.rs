//! The process's own channel: confirmed, confirmed again after a loss, and delivered.

use redis::Value;
use tower_handoff::redis::{RedisErrorKind, RedisHandle};

use crate::support::eventually::{PATIENCE, eventually};
use crate::support::log::Log;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

fn subscribers(server: &RedisServer, channel: &str) -> i64 {
    match server.command(&["PUBSUB", "NUMSUB", channel]) {
        Value::Array(reply) => match reply[..] {
            [_, Value::Int(count)] => count,
            _ => panic!("{reply:?}"),
        },
        reply => panic!("{reply:?}"),
    }
}

#[tokio::test]
async fn nothing_is_subscribed_before_somebody_asks() {
    let server = RedisServer::start();
    let handle = RedisHandle::builder(server.url())
        .prefix("shop")
        .connect()
        .expect("good");
    handle.ping().await.expect("it is up");
    let wire = handle.wire();
    let channel = wire.inbox_channel();
    assert!(channel.starts_with("shop:inbox1:"), "{channel}");
    assert_eq!(subscribers(&server, &channel), 0);
    wire.inbox_ready().await.expect("Redis confirms");
    assert_eq!(subscribers(&server, &channel), 1);

    let other = RedisHandle::builder(server.url())
        .prefix("shop")
        .connect()
        .expect("good");
    assert_ne!(other.wire().inbox_channel(), channel);
}

#[tokio::test]
async fn messages_arrive_beside_commands() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    let wire = handle.wire();
    let mut messages = wire.inbox_messages();
    wire.inbox_ready().await.expect("Redis confirms");
    for number in 0..100 {
        let text = number.to_string();
        let heard = server.command(&["PUBLISH", &wire.inbox_channel(), &text]);
        assert_eq!(heard, Value::Int(1));
        handle.ping().await.expect("commands go on");
        let message = tokio::time::timeout(PATIENCE, messages.recv());
        assert_eq!(
            message.await.expect("in time").expect("a message"),
            text.as_bytes()
        );
    }
}

#[tokio::test]
async fn after_a_loss_it_is_ready_only_when_it_is_subscribed_again() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    let wire = handle.wire();
    let mut messages = wire.inbox_messages();
    wire.inbox_ready().await.expect("Redis confirms");
    let mut epochs = wire.epochs();
    for round in 2..12 {
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        drop(
            epochs
                .wait_for(|epoch| *epoch >= round)
                .await
                .expect("the handle lives"),
        );
        wire.inbox_ready().await.expect("Redis confirms again");
        // No wait in between: whoever is told "ready" gets every message from then on.
        let heard = server.command(&["PUBLISH", &wire.inbox_channel(), "again"]);
        assert_eq!(heard, Value::Int(1));
        let message = tokio::time::timeout(PATIENCE, messages.recv());
        assert_eq!(
            message.await.expect("in time").expect("a message"),
            "again".as_bytes()
        );
    }
}

#[tokio::test]
async fn it_is_subscribed_again_without_being_asked() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    let wire = handle.wire();
    wire.inbox_ready().await.expect("Redis confirms");
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let channel = wire.inbox_channel();
    eventually("the new connection subscribes", async || {
        *wire.epochs().borrow() == 2 && subscribers(&server, &channel) == 1
    })
    .await;
}

#[tokio::test]
async fn many_who_wait_share_one_subscription() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    handle.ping().await.expect("it is up");
    let wire = handle.wire();
    let waiting = (0..50).map(|_| wire.inbox_ready());
    for ready in futures_util::future::join_all(waiting).await {
        ready.expect("Redis confirms");
    }
    assert_eq!(server.command_counts().get("subscribe"), Some(&1));
}

#[tokio::test]
async fn a_channel_that_redis_refuses_is_said_once_and_asked_for_again() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::WARN);
    let server = RedisServer::start();
    server.command(&[
        "ACL",
        "SETUSER",
        "me",
        "on",
        ">pw",
        "~*",
        "resetchannels",
        "+@all",
    ]);
    let url = format!("redis://me:pw@127.0.0.1:{}", server.port());
    let handle = patient(&url);
    let wire = handle.wire();
    let error = wire
        .inbox_ready()
        .await
        .expect_err("the channel is forbidden");
    assert_eq!(error.kind(), RedisErrorKind::Refused);
    for _ in 0..20 {
        wire.inbox_ready().await.expect_err("it still is");
    }
    handle.ping().await.expect("commands go on");
    let stats: String =
        redis::from_redis_value(server.command(&["INFO", "commandstats"])).expect("text");
    let asked = stats
        .lines()
        .find(|line| line.starts_with("cmdstat_subscribe:"));
    let asked = asked.expect("it was asked for");
    assert!(asked.contains("rejected_calls=1,"), "{asked}");
    let (text, warning) = (log.text(), handle.warning().expect("it is not well"));
    assert!(warning.contains("inbox"), "{warning}");
    assert_eq!(text.matches("the inbox channel").count(), 1, "{text}");
    server.command(&["ACL", "SETUSER", "me", "allchannels"]);
    eventually("now it is allowed", async || {
        wire.inbox_ready().await.is_ok()
    })
    .await;
    assert_eq!(handle.warning(), None);
}

#[tokio::test]
async fn while_redis_is_away_it_is_not_ready_at_once() {
    let handle = RedisHandle::connect("redis://127.0.0.1:1").expect("a good url");
    let _ = handle.ping().await;
    let error = handle
        .wire()
        .inbox_ready()
        .await
        .expect_err("nobody is there");
    assert_eq!(error.kind(), RedisErrorKind::Away);
}
