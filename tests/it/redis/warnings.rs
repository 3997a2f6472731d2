//! What an operator is told where Redis is up, and not well.

use std::time::Duration;

use redis::cmd;
use tower_handoff::lifecycle::Managed;
use tower_handoff::lock::{LockKey, Locks};
use tower_handoff::redis::RedisHandle;

use super::said::own_lines;
use crate::support::eventually::eventually;
use crate::support::log::Log;
use crate::support::redis_server::RedisServer;
use crate::support::replica::pair;

fn set(handle: &RedisHandle) -> impl Future<Output = bool> {
    let (wire, mut set) = (handle.wire(), cmd("SET"));
    set.arg("key").arg("value");
    async move { wire.send(set).await.is_ok() }
}

// One thread, so that the subscriber of this thread sees the supervisor too.
#[tokio::test]
async fn a_redis_that_refuses_writes_says_so_once_and_so_does_the_check_until_it_takes_them() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::INFO);
    let server = RedisServer::start();
    let handle = RedisHandle::connect(&server.url()).expect("a good url");
    let check = handle.health_check().expect("there is one");
    check.check().await.expect("it is well");
    let (mut lines, mut key) = (own_lines(&log.text()).len(), cmd("GET"));
    key.arg("key");
    for (option, ill, well, code) in [
        ("maxmemory", "1", "0", "OOM"),
        ("min-replicas-to-write", "1", "0", "NOREPLICAS"),
    ] {
        assert_eq!(handle.warning(), None);
        server.command(&["CONFIG", "SET", option, ill]);
        for _ in 0..50 {
            assert!(!set(&handle).await, "{code}");
            handle.wire().send(key.clone()).await.expect("it is read");
        }
        assert!(handle.status().is_up());
        let warning = handle.warning().expect("it is not well");
        assert!(warning.contains(code), "{warning}");
        let error = check.check().await.expect_err("it is not well");
        assert!(error.to_string().contains(code), "{error}");
        server.command(&["CONFIG", "SET", option, well]);
        eventually("it is well", async || {
            assert!(set(&handle).await, "{code}");
            handle.warning().is_none()
        })
        .await;
        check.check().await.expect("it is well");
        let text = log.text();
        let said = own_lines(&text).split_off(lines);
        assert_eq!(said.len(), 2, "{said:#?}");
        assert!(
            said[0].contains("WARN") && said[0].contains(code),
            "{said:#?}"
        );
        assert!(said[1].contains("INFO"), "{said:#?}");
        lines += 2;
    }
}

#[tokio::test]
async fn a_fresh_instance_of_a_redis_that_refuses_writes_serves_what_it_can() {
    let server = RedisServer::start();
    let handle = RedisHandle::connect(&server.url()).expect("a good url");
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(!set(&handle).await);
    let check = handle.health_check().expect("there is one");
    check.check().await.expect("reads are served");
    check.check().await.expect_err("writes are not");
}

#[tokio::test]
async fn a_command_that_this_user_may_not_send_is_said_once() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::WARN);
    let server = RedisServer::start();
    server.command(&[
        "ACL", "SETUSER", "me", "on", ">pw", "~*", "&*", "+@all", "-set",
    ]);
    let url = format!("redis://me:pw@127.0.0.1:{}", server.port());
    let handle = RedisHandle::connect(&url).expect("a good url");
    for _ in 0..50 {
        assert!(!set(&handle).await);
        handle.ping().await.expect("others are answered");
    }
    let (text, warning) = (log.text(), handle.warning().expect("it is not well"));
    assert_eq!(own_lines(&text).len(), 1, "{text}");
    assert!(warning.contains("NOPERM"), "{warning}");
    // A new connection may be another server's.
    server.command(&["ACL", "SETUSER", "me", "+set"]);
    server.command(&["CLIENT", "KILL", "USER", "me"]);
    eventually("it is asked anew", async || handle.warning().is_none()).await;
}

#[tokio::test]
async fn whatever_is_refused_is_said_but_for_the_kind_of_a_value() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::WARN);
    let server = RedisServer::start();
    let handle = RedisHandle::connect(&server.url()).expect("a good url");
    assert!(set(&handle).await);
    let mut push = cmd("LPUSH");
    push.arg("key").arg("value");
    let error = handle.wire().send(push).await.expect_err("it is text");
    assert_eq!(error.code(), Some("WRONGTYPE"));
    assert_eq!(handle.warning(), None, "a key's own affair");
    for _ in 0..20 {
        let mut unknown = cmd("RENAMED");
        unknown.arg("secret");
        handle
            .wire()
            .send(unknown)
            .await
            .expect_err("nobody knows it");
    }
    let (text, warning) = (log.text(), handle.warning().expect("it is not well"));
    assert!(
        warning.contains("RENAMED") && !warning.contains("secret"),
        "{warning}"
    );
    assert_eq!(own_lines(&text).len(), 1, "{text}");
}

#[tokio::test]
async fn a_server_that_is_well_again_is_so_by_any_command_that_it_had_refused() {
    let server = RedisServer::start();
    let handle = RedisHandle::connect(&server.url()).expect("a good url");
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(!set(&handle).await);
    let mut push = cmd("RPUSH");
    push.arg("list").arg("value");
    handle.wire().send(push).await.expect_err("it is full");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    eventually("it is well", async || {
        assert!(set(&handle).await);
        handle.warning().is_none()
    })
    .await;
}

#[tokio::test]
async fn what_is_never_asked_for_again_is_forgotten() {
    let server = RedisServer::start();
    let handle = RedisHandle::connect(&server.url()).expect("a good url");
    let once = handle.wire().send(cmd("RENAMED")).await;
    once.expect_err("nobody knows it");
    for (seconds, is_told) in [(50, true), (11, false)] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
        eventually("it is up", async || handle.ping().await.is_ok()).await;
        assert_eq!(handle.warning().is_some(), is_told, "{seconds}");
    }
    assert_eq!(
        *handle.wire().epochs().borrow(),
        1,
        "the connection is the same"
    );
}

#[tokio::test]
async fn too_few_replicas_that_acknowledge_are_said_once() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::WARN);
    let (master, replica) = pair().await;
    let handle = RedisHandle::connect(&master.url()).expect("a good url");
    let durable = handle.locks().replicas(1, Duration::from_millis(100));
    let locks = Locks::new(durable.expect("in range"));
    let take = async || {
        let key = LockKey::new("held").expect("short");
        locks.try_acquire(key).await.is_ok()
    };
    eventually("it is granted", take).await;
    replica.signal("STOP");
    for _ in 0..5 {
        assert!(!take().await, "nobody acknowledges");
    }
    let (text, warning) = (log.text(), handle.warning().expect("it is not well"));
    assert!(warning.contains("0 of 1 replicas"), "{warning}");
    assert_eq!(text.matches("0 of 1 replicas").count(), 1, "{text}");
    replica.signal("CONT");
    eventually("it is well", async || {
        take().await && handle.warning().is_none()
    })
    .await;
}

// Only the second of the two connections finds no place.
#[tokio::test]
async fn a_second_connection_that_is_away_is_said_by_name() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::INFO);
    let (master, _replica) = pair().await;
    let handle = RedisHandle::connect(&master.url()).expect("a good url");
    let check = handle.health_check().expect("there is one");
    check.check().await.expect("it is well");
    let durable = handle.locks().replicas(1, Duration::from_millis(400));
    let locks = Locks::new(durable.expect("in range"));
    let take = async || {
        locks
            .try_acquire(LockKey::new("held").expect("short"))
            .await
    };
    // The replica may be late with its first word.
    eventually("it is granted, and nothing stands against it", async || {
        take().await.is_ok() && handle.warning().is_none()
    })
    .await;

    let client = redis::Client::open(master.url()).expect("a good url");
    let mut admin = client.get_connection().expect("it is up");
    let mut ask = |words: &[&str]| -> redis::Value {
        let asked = cmd(words[0]).arg(&words[1..]).query(&mut admin);
        asked.expect("the command is accepted")
    };
    let clients: String =
        redis::from_redis_value(ask(&["CLIENT", "LIST", "TYPE", "normal"])).expect("text");
    // It is the only one that ever waited.
    let second = clients.lines().find(|client| client.contains("cmd=wait"));
    let id = second.and_then(|client| client.split(['=', ' ']).nth(1));
    ask(&["CONFIG", "SET", "maxclients", "1"]);
    ask(&["CLIENT", "KILL", "ID", id.expect("it has waited")]);
    let name = "the connection that waits for replicas is away";
    eventually("it is said", async || {
        handle
            .warning()
            .is_some_and(|warning| warning.contains(name))
    })
    .await;
    assert!(handle.status().is_up(), "it is only the second one");
    let error = check.check().await.expect_err("it is not well");
    assert!(error.to_string().contains(name), "{error}");
    take().await.expect_err("nobody can be waited for");
    let text = log.text();
    let said = text
        .lines()
        .filter(|line| line.contains("WARN") && line.contains(name));
    // The connection that was cut, and that there is no place for another one.
    assert!((1..=2).contains(&said.count()), "{text}");
    ask(&["CONFIG", "SET", "maxclients", "10000"]);
    eventually("it is well", async || handle.warning().is_none()).await;
    check.check().await.expect("it is well");
}
