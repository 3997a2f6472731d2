//! Commits that wait for replicas: what they cost, and what becomes of those that too few
//! acknowledge.

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{RedisSessions, SessionLayer, Users};

use super::support::{Answer, read, request, visit};
use crate::support::eventually::{PATIENCE, eventually};
use crate::support::proxy::Proxy;
use crate::support::redis_server::RedisServer;
use crate::support::replica::{is_followed, pair};

/// Longer than a busy machine stands still.
const WITHIN: Duration = Duration::from_secs(3);

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
async fn a_rotation_that_too_few_replicas_have_is_done_once_and_its_cookie_opens_the_session() {
    let server = RedisServer::start();
    let handle = patient(&server);
    let (durable, plain) = (waiting(&handle, 1, ms(50)), layer(handle.sessions()));
    for login in [false, true] {
        let cookie = visit(&plain, "", "name", "first").await;
        let answer = request(&durable, &cookie, async |session| {
            match login {
                true => session.bind("ada").unwrap(),
                false => session.rotate().unwrap(),
            }
            StatusCode::OK
        })
        .await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let rotated = answer.token();
        assert_ne!(rotated, cookie);
        assert_eq!(
            read(&plain, &rotated, "name").await.as_deref(),
            Some("first"),
            "login: {login}"
        );
    }
}

#[tokio::test]
async fn what_is_ended_again_waits_again() {
    let server = RedisServer::start();
    let handle = patient(&server);
    let stored = handle.sessions().replicas(1, ms(50)).unwrap();
    let (durable, users) = (layer(stored.clone()), Users::new(stored));
    let cookie = visit(&layer(handle.sessions()), "", "name", "first").await;
    for _ in 0..2 {
        let answer = request(&durable, &cookie, async |session| {
            match session.destroy().await {
                Ok(_) => StatusCode::OK,
                Err(_) => StatusCode::BAD_GATEWAY,
            }
        });
        assert_eq!(answer.await.status, StatusCode::BAD_GATEWAY);
        assert!(users.revoke_all("ada").await.is_err());
    }
}

#[tokio::test]
async fn a_master_that_was_demoted_is_left_by_both_connections() {
    let (old, new) = pair().await;
    let name = Proxy::start(old.port()).await;
    let builder = RedisHandle::builder(name.url()).command_timeout(PATIENCE);
    let handle = builder.connect().unwrap();
    let durable = waiting(&handle, 1, WITHIN);
    let cookie = visit(&durable, "", "name", "first").await;
    name.lead_to(new.port());
    new.command(&["REPLICAOF", "NO", "ONE"]);
    old.command(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    is_followed(&new).await;
    eventually("writes are acknowledged again", async || {
        write(&durable, &cookie, "second").await.status == StatusCode::OK
    })
    .await;
}

/// One name has led to another server since; the connection on which is written still leads to the first.
#[tokio::test]
async fn of_connections_to_two_servers_the_one_that_was_made_first_gives_way() {
    let (old, _follows_old) = pair().await;
    let (new, _follows_new) = pair().await;
    let name = Proxy::start(old.port()).await;
    let builder = RedisHandle::builder(name.url()).command_timeout(PATIENCE);
    let handle = builder.connect().unwrap();
    handle.ping().await.unwrap();
    name.lead_to(new.port());
    let durable = waiting(&handle, 1, WITHIN);
    eventually("writes are acknowledged by the other one", async || {
        write(&durable, "", "first").await.status == StatusCode::OK
    })
    .await;
    let keys = new.command(&["KEYS", "app:s1:*"]);
    let keys: Vec<String> = redis::from_redis_value(keys).unwrap();
    assert_eq!(keys.len(), 1);
}

#[tokio::test]
async fn whoever_waits_for_the_same_waits_together() {
    let (master, replica) = pair().await;
    let handle = patient(&master);
    let cookie = visit(&waiting(&handle, 1, WITHIN), "", "name", "first").await;
    replica.signal("STOP");
    let before = ran(&master, "wait");
    let each = (0..10).map(|_| {
        let durable = waiting(&handle, 1, WITHIN);
        let cookie = &cookie;
        async move { write(&durable, cookie, "second").await.status }
    });
    for status in join_all(each).await {
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let waits = ran(&master, "wait") - before;
    assert!(waits <= 4, "{waits}");
}

#[tokio::test]
async fn a_wait_that_is_given_up_leaves_no_second_one_to_wait_for() {
    let (master, replica) = pair().await;
    let handle = patient(&master);
    let durable = waiting(&handle, 1, ms(2_000));
    let cookie = visit(&durable, "", "name", "first").await;
    replica.signal("STOP");
    let before = ran(&master, "wait");
    for _ in 0..10 {
        let given_up = write(&durable, &cookie, "second");
        let _ = tokio::time::timeout(ms(20), given_up).await;
    }
    let answer = write(&durable, &cookie, "third").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let waits = ran(&master, "wait") - before;
    assert!(waits <= 3, "{waits}");
}

#[test]
fn the_second_connection_does_not_end_with_the_runtime_that_asked_for_it() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let home = runtime();
    let (master, _replica) = home.block_on(pair());
    let handle = home.block_on(async { patient(&master) });
    let durable = waiting(&handle, 1, WITHIN);
    let other = runtime();
    let cookie = other.block_on(visit(&durable, "", "name", "first"));
    drop(other);
    home.block_on(visit(&durable, &cookie, "name", "second"));
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
