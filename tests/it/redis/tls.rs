//! `rediss://` to a real Redis: what works over it, and how each way to fail is told.

use std::time::Duration;

use redis::Value;
use tower_handoff::redis::{AwayCause, RedisBuilder, RedisHandle};

use super::said::failure;
use crate::support::certificates::Authority;
use crate::support::eventually::eventually;
use crate::support::log::Log;
use crate::support::proxy::Proxy;

fn secured(port: u16, authority: &Authority) -> RedisBuilder {
    RedisHandle::builder(format!("rediss://127.0.0.1:{port}")).tls_roots(authority.pem())
}

#[tokio::test]
async fn commands_scripts_and_messages_go_over_tls_and_a_lost_connection_is_replaced() {
    let authority = Authority::new();
    let (server, port) = authority.redis("127.0.0.1", &[]);
    let handle = secured(port, &authority).connect().expect("good settings");
    let wire = handle.wire();
    let long = vec![b'x'; 100_000];
    let mut messages = wire.inbox_messages();
    for round in 1..4 {
        let echoed = wire.run_echo(b"key", &long).await.expect("it is up");
        let parts = [b"key".to_vec(), long.clone()].map(Value::BulkString);
        assert_eq!(echoed, Value::Array(parts.to_vec()));

        wire.inbox_ready().await.expect("subscribed");
        server.command(&["PUBLISH", &wire.inbox_channel(), "hello"]);
        assert_eq!(messages.recv().await.expect("it came"), "hello");

        // Without a command: the loss is noticed by itself.
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        let mut epochs = wire.epochs();
        let grown = epochs.wait_for(|epoch| *epoch > round);
        let grown = tokio::time::timeout(Duration::from_secs(10), grown);
        drop(grown.await.expect("in time").expect("the handle lives"));
    }
    handle.close().await;
    eventually("the connection is closed", async || {
        let list = server.command(&["CLIENT", "LIST", "TYPE", "normal"]);
        let list: String = redis::from_redis_value(list).expect("text");
        // Whoever records what is sent stays.
        let others = list.lines().filter(|line| !line.contains("cmd=monitor"));
        others.count() == 1
    })
    .await;
}

#[tokio::test]
async fn tls_1_2_alone_will_do() {
    let authority = Authority::new();
    let (_server, port) = authority.redis("127.0.0.1", &["--tls-protocols", "TLSv1.2"]);
    let handle = secured(port, &authority).connect().expect("good settings");
    handle.ping().await.expect("it is up");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_told_apart_from_away() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (_server, port) = authority.redis("127.0.0.1", &[]);
    let handle = secured(port, &other).connect().expect("good settings");
    let (cause, reason) = failure(&handle).await;
    assert_eq!(cause, AwayCause::Tls, "{reason}");
    assert!(reason.contains("certificate"), "{reason}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_told_and_the_right_one_found_when_it_comes() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::INFO);
    let authority = Authority::new();
    let (server, port) = authority.redis("elsewhere.test", &[]);
    let handle = secured(port, &authority).connect().expect("good settings");
    let (cause, reason) = failure(&handle).await;
    assert_eq!(cause, AwayCause::Tls, "{reason}");
    assert!(reason.contains("not valid for name"), "{reason}");

    let certificate = authority.sign("127.0.0.1");
    let chain = authority.file("renewed.pem", &certificate.chain);
    let key = authority.file("renewed.key", &certificate.key);
    let set = [
        "CONFIG",
        "SET",
        "tls-cert-file",
        &chain,
        "tls-key-file",
        &key,
    ];
    tokio::time::sleep(Duration::from_secs(1)).await; // some more attempts in vain
    server.command(&set);
    eventually("a ping is answered", async || handle.ping().await.is_ok()).await;
    let text = log.text();
    assert_eq!(text.matches("Redis is away").count(), 1, "{text}");
    assert!(text.contains("cause=Tls"), "{text}");
}

#[tokio::test]
async fn a_redis_that_wants_a_client_certificate_takes_a_good_one_and_no_other() {
    let (authority, other) = (Authority::new(), Authority::new());
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        let arguments = ["--tls-auth-clients", "yes", "--tls-protocols", protocol];
        let (_server, port) = authority.redis("127.0.0.1", &arguments);
        let (good, bad) = (authority.sign("me"), other.sign("me"));

        let handle = secured(port, &authority).tls_identity(good.chain, good.key);
        let handle = handle.connect().expect("good settings");
        handle.ping().await.expect("it is up");

        let handle = secured(port, &authority).tls_identity(bad.chain, bad.key);
        for handle in [handle, secured(port, &authority)] {
            let handle = handle.connect().expect("good settings");
            let (cause, reason) = failure(&handle).await;
            assert_eq!(cause, AwayCause::Tls, "{protocol}: {reason}");
        }
    }
}

#[tokio::test]
async fn a_password_that_is_wrong_is_no_failure_of_tls() {
    let authority = Authority::new();
    let (_server, port) = authority.redis("127.0.0.1", &["--requirepass", "hunter2"]);
    let url = format!("rediss://:hunter3@127.0.0.1:{port}");
    let handle = RedisHandle::builder(url).tls_roots(authority.pem());
    let (cause, reason) = failure(&handle.connect().expect("good settings")).await;
    assert_eq!(cause, AwayCause::Login, "{reason}");
}

#[tokio::test]
async fn nobody_there_is_no_failure_of_tls() {
    let authority = Authority::new();
    let handle = secured(1, &authority).connect().expect("good settings");
    let (cause, reason) = failure(&handle).await;
    assert_eq!(cause, AwayCause::Unreachable, "{reason}");

    // A balancer with nobody behind it: accepts and hangs up.
    let balancer = Proxy::start(1).await;
    let port = balancer.url().rsplit_once(':').expect("a port").1.parse();
    let handle = secured(port.expect("a number"), &authority).connect();
    let (cause, reason) = failure(&handle.expect("good settings")).await;
    assert_eq!(cause, AwayCause::Unreachable, "{reason}");
}
