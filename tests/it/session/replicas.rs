//! Commits that wait for replicas: what they cost, and what becomes of those that too few
//! acknowledge.

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{RedisSessions, SessionLayer};

use super::support::{Answer, read, request, visit};
use crate::support::eventually::{PATIENCE, eventually};
use crate::support::redis_server::{RedisServer, free_port};

const WITHIN: Duration = Duration::from_millis(300);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// With time-outs that a busy machine keeps to.
fn patient(server: &RedisServer) -> RedisHandle {
    let builder = RedisHandle::builder(server.url()).command_timeout(PATIENCE);
    builder.connect().unwrap()
}

fn waiting(handle: &RedisHandle, replicas: u8, within: Duration) -> SessionLayer {
    layer(handle.sessions().replicas(replicas, within).unwrap())
}

fn layer(sessions: RedisSessions) -> SessionLayer {
    SessionLayer::new(sessions)
}

/// A master and a replica that follows it.
async fn pair() -> (RedisServer, RedisServer) {
    let master = RedisServer::start();
    let port = master.port().to_string();
    let replica = RedisServer::start_on(free_port(), &["--replicaof", "127.0.0.1", &port]);
    eventually("it follows", async || {
        let info = master.command(&["INFO", "replication"]);
        let info: String = redis::from_redis_value(info).unwrap();
        info.contains("state=online")
    })
    .await;
    (master, replica)
}

async fn write(layer: &SessionLayer, cookie: &str, value: &str) -> Answer {
    request(layer, cookie, async |session| {
        session.set("name", value).unwrap();
        StatusCode::OK
    })
    .await
}

#[tokio::test]
async fn settings_out_of_range_are_named() {
    let handle = RedisHandle::connect("redis://127.0.0.1:1").unwrap();
    let error = handle.sessions().replicas(0, WITHIN).unwrap_err();
    assert_eq!((error.option(), error.value()), ("replicas", "0"));
    for within in [Duration::ZERO, ms(501)] {
        let error = handle.sessions().replicas(1, within).unwrap_err();
        assert_eq!(error.option(), "within");
        assert!(error.accepted().contains("500ms"), "{error}");
        let error = handle.locks().replicas(1, within).unwrap_err();
        assert_eq!(error.option(), "within");
    }
}

#[tokio::test]
async fn what_too_few_replicas_have_is_written_and_answered_503() {
    let server = RedisServer::start();
    let handle = patient(&server);
    let (durable, plain) = (waiting(&handle, 1, ms(50)), layer(handle.sessions()));
    let cookie = visit(&plain, "", "name", "first").await;
    let answer = write(&durable, &cookie, "second").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        read(&plain, &cookie, "name").await.as_deref(),
        Some("second"),
        "the master has it"
    );
    // Nothing that a browser could go on with, in place of what may be lost.
    let answer = write(&durable, "", "third").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.set_cookie().is_none());
    // A read waits for nobody.
    assert!(read(&durable, &cookie, "name").await.is_some());
}

#[tokio::test]
async fn a_replica_that_stands_still_is_waited_for_no_longer_than_told() {
    let (master, replica) = pair().await;
    let handle = patient(&master);
    let durable = waiting(&handle, 1, WITHIN);
    let cookie = visit(&durable, "", "name", "first").await;
    replica.signal("STOP");
    // All at once: those who wait share the time.
    let write = || write(&durable, &cookie, "second");
    let all = tokio::time::timeout(PATIENCE, join_all((0..50).map(|_| write()))).await;
    for answer in all.unwrap() {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(ran(&master, "wait") <= 1 + 10, "{}", ran(&master, "wait"));
    replica.signal("CONT");
    eventually("it is acknowledged again", async || {
        write().await.status == StatusCode::OK
    })
    .await;
}

fn ran(server: &RedisServer, name: &str) -> u64 {
    server.command_counts().get(name).copied().unwrap_or(0)
}

#[tokio::test]
async fn a_write_costs_one_wait_and_writes_at_the_same_time_share_them() {
    let (master, _replica) = pair().await;
    let handle = patient(&master);
    let durable = waiting(&handle, 1, WITHIN);
    let cookie = visit(&durable, "", "name", "first").await;
    master.command(&["CONFIG", "RESETSTAT"]);
    visit(&durable, &cookie, "name", "second").await;
    let counts = master.command_counts();
    let all: Vec<_> = ["evalsha", "publish", "wait", "info"]
        .map(|name| counts.get(name).copied().unwrap_or(0))
        .into();
    assert_eq!(all, [1, 1, 1, 0], "{counts:?}");
    // Nothing is waited for where nothing was written.
    read(&durable, &cookie, "name").await;
    assert_eq!(ran(&master, "wait"), 1);
    let writes = (0..200).map(|number| {
        let (durable, cookie) = (durable.clone(), cookie.clone());
        async move { visit(&durable, &cookie, &format!("n{}", number % 8), "x").await }
    });
    join_all(writes).await;
    let waits = ran(&master, "wait") - 1;
    println!("200 writes at the same time: {waits} WAIT");
    assert!(waits <= 100, "{waits}");
}

#[tokio::test]
async fn the_second_connection_is_made_when_needed_and_ends_with_the_first() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let (master, _replica) = pair().await;
    let before = metrics.num_alive_tasks();
    let handle = patient(&master);
    let durable = waiting(&handle, 1, WITHIN);
    handle.ping().await.unwrap();
    let clients = || {
        let list = master.command(&["CLIENT", "LIST", "TYPE", "normal"]);
        let list: String = redis::from_redis_value(list).unwrap();
        // But for who asks, and who records what is sent.
        list.lines()
            .filter(|line| !line.contains("cmd=monitor"))
            .count()
            - 1
    };
    assert_eq!(clients(), 1);
    let cookie = visit(&durable, "", "name", "first").await;
    visit(&durable, &cookie, "name", "second").await;
    assert_eq!(clients(), 2);
    // Lost, it is made anew.
    master.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    eventually("both are there again", async || {
        write(&durable, &cookie, "third").await.status == StatusCode::OK
    })
    .await;
    handle.close().await;
    eventually("no task is left", async || {
        metrics.num_alive_tasks() == before
    })
    .await;
}
