//! What can befall Redis, and what is in it that is not ours.

use std::convert::Infallible;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_handoff::lock::{OnLost, OnUnavailable, RedisLocks};
use tower_handoff::redis::RedisHandle;
use tower_handoff::{Reason, Refusal};

use super::rig::{fencing, guarded, hanging, is_free, layer, ms, occupy, send, status, text};
use crate::support::eventually::eventually;
use crate::support::patient::patient;
use crate::support::proxy::Proxy;
use crate::support::redis_server::RedisServer;
use crate::support::retelling::retelling;

const LOCK: &str = "app:l1:{x-lock:a}";

fn locks(url: &str) -> RedisLocks {
    RedisHandle::connect(url).unwrap().locks()
}

/// In Redis that is always there.
fn patient_locks(server: &RedisServer) -> RedisLocks {
    patient(&server.url()).locks()
}

fn string(server: &RedisServer, command: &[&str]) -> String {
    redis::from_redis_value(server.command(command)).unwrap()
}

#[tokio::test]
async fn an_uncontended_request_costs_one_script_before_and_one_after() {
    let server = std::sync::Arc::new(RedisServer::start());
    let locks = patient_locks(&server);
    let warm = fencing(&layer(&locks));
    assert_eq!(status(&warm, "warm").await, StatusCode::OK);
    eventually("it is let go", async || is_free(&server, "x-lock:warm")).await;
    for layer in [layer(&locks), layer(&locks).with_try()] {
        server.command(&["CONFIG", "RESETSTAT"]);
        let inside = server.clone();
        let service = guarded(&layer, move |_| {
            let evalsha = inside.command_counts()["evalsha"];
            async move { evalsha.to_string() }
        });
        assert_eq!(text(send(&service, "a").await).await, "1");
        eventually("it is let go", async || is_free(&server, "x-lock:a")).await;
        let counts = server.command_counts();
        assert_eq!(counts["evalsha"], 2, "{counts:?}");
        // What the two scripts do for it; the test itself reads.
        let writes = ["time", "set"].map(|command| counts[command]);
        assert_eq!(writes, [1, 2], "{counts:?}");
        let others = "eval publish subscribe lindex llen lrem pttl pexpire del setrange";
        for other in others.split(' ') {
            assert!(!counts.contains_key(other), "{other}: {counts:?}");
        }
    }
}

#[tokio::test]
async fn a_key_of_another_type_is_unavailable_and_left_alone() {
    let server = RedisServer::start();
    let locks = patient_locks(&server);
    server.command(&["RPUSH", LOCK, "somebody's"]);
    for layer in [layer(&locks), layer(&locks).with_try()] {
        unavailable(&send(&fencing(&layer), "a").await);
    }
    assert_eq!(string(&server, &["LINDEX", LOCK, "0"]), "somebody's");
    assert_eq!(status(&fencing(&layer(&locks)), "b").await, StatusCode::OK);
}

#[tokio::test]
async fn a_lock_in_a_newer_format_is_unavailable_and_left_alone() {
    let server = RedisServer::start();
    let locks = patient_locks(&server);
    let newer = "2 whatever comes later";
    server.command(&["SET", LOCK, newer]);
    for layer in [layer(&locks), layer(&locks).with_try()] {
        unavailable(&send(&fencing(&layer), "a").await);
    }
    assert_eq!(string(&server, &["GET", LOCK]), newer);

    // And one that appears while an older format is held is neither renewed nor deleted.
    server.command(&["DEL", LOCK]);
    let holder = occupy(&locks, "a").await;
    server.command(&["SET", LOCK, newer]);
    holder.abort();
    locks.held().release_all().await;
    assert_eq!(string(&server, &["GET", LOCK]), newer);
}

#[tokio::test]
async fn a_holder_whose_lock_was_lost_with_redis_s_data_is_stopped() {
    let server = RedisServer::start();
    let locks = patient_locks(&server);
    let layer = layer(&locks)
        .with_lease(ms(3_000))
        .unwrap()
        .with_on_lost(OnLost::Stop);
    let stopped = tokio::spawn(async move { send(&hanging(&layer), "a").await });
    let held = locks.held();
    eventually("it is held", async || held.names().len() == 1).await;
    server.command(&["FLUSHALL"]);
    lost(&stopped.await.unwrap());
}

#[tokio::test]
async fn a_holder_is_stopped_while_redis_is_silent_past_the_lease() {
    let server = RedisServer::start();
    let locks = locks(&server.url());
    let stopping = layer(&locks)
        .with_lease(ms(1_000))
        .unwrap()
        .with_on_lost(OnLost::Stop);
    let stopped = tokio::spawn(async move { send(&hanging(&stopping), "a").await });
    let held = locks.held();
    eventually("it is held", async || held.names().len() == 1).await;
    server.signal("STOP");
    lost(&stopped.await.unwrap());
    server.signal("CONT");
    let service = fencing(&layer(&locks).with_try());
    eventually("served again", async || {
        status(&service, "a").await == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn a_short_silence_of_redis_loses_nothing() {
    let server = RedisServer::start();
    let locks = locks(&server.url());
    let layer = layer(&locks)
        .with_lease(ms(9_000))
        .unwrap()
        .with_on_lost(OnLost::Stop);
    let service = guarded(&layer, |guard| async move {
        tokio::time::sleep(ms(10_000)).await;
        guard.check().is_ok().to_string()
    });
    let task = tokio::spawn(async move { text(send(&service, "a").await).await });
    let held = locks.held();
    eventually("it is held", async || held.names().len() == 1).await;
    server.signal("STOP");
    tokio::time::sleep(ms(2_500)).await;
    server.signal("CONT");
    assert_eq!(task.await.unwrap(), "true");
}

#[tokio::test]
async fn an_acquire_into_a_black_hole_fails_in_time_and_leaves_nothing() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let locks = locks(&proxy.url());
    let service = fencing(&layer(&locks));
    assert_eq!(status(&service, "a").await, StatusCode::OK);
    proxy.black_hole(true);
    unavailable(&send(&service, "a").await);
    unavailable(&send(&service, "a").await);
    proxy.black_hole(false);
    let service = fencing(&layer(&locks).with_try());
    eventually("served again", async || {
        status(&service, "a").await == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn an_acquire_that_redis_reads_long_after_its_time_leaves_nothing() {
    let server = RedisServer::start();
    let locks = locks(&server.url());
    let service = fencing(&layer(&locks));
    assert_eq!(status(&service, "warm").await, StatusCode::OK);
    server.signal("STOP");
    unavailable(&send(&service, "a").await);
    tokio::time::sleep(ms(1_500)).await;
    server.signal("CONT");
    let service = fencing(&layer(&locks).with_try());
    eventually("served again", async || {
        status(&service, "a").await == StatusCode::OK
    })
    .await;
}

/// Redis's time is told wrong, so that every request comes too late: that may pass.
#[tokio::test]
async fn coming_too_late_twice_is_no_refusal_for_good() {
    let server = RedisServer::start();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let thousands = since.as_secs() / 1_000_000;
    let [now, before] = [thousands, thousands - 1].map(|it| &*it.to_string().leak());
    let port = retelling(server.port(), now, before).await;
    let redis = RedisHandle::connect(&format!("redis://127.0.0.1:{port}")).unwrap();
    redis
        .ping()
        .await
        .expect("from now on it knows Redis's time");
    server.command(&["CONFIG", "RESETSTAT"]);
    let locks = redis.locks();
    let open = layer(&locks).with_on_unavailable(OnUnavailable::Pass);
    let service = open.layer(service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    let answer = service.oneshot(super::rig::request("a")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(open.passed_unguarded(), 1);
    let scripts = server.command_counts()["evalsha"];
    assert_eq!(scripts, 2, "it was asked for twice, and not granted");
}

#[test]
fn a_packet_that_comes_too_late_changes_nothing() {
    let server = RedisServer::start();
    let script = concat!(
        include_str!("../../../src/lock/redis/acquire_free.lua"),
        include_str!("../../../src/lock/redis/hand_over.lua"),
        include_str!("../../../src/lock/redis/acquire.lua")
    );
    let ask = |not_after: &str| {
        let command = ["EVAL", script, "2", LOCK, "q", "1sixteen-bytes-ok"];
        let rest = ["86410000", not_after, "channel", "86401000", "8", ""];
        server.command(&[&command[..], &rest].concat())
    };
    let (what, now, _): (i64, u64, u64) = redis::from_redis_value(ask("1")).unwrap();
    assert_eq!(what, -1);
    let keys: Vec<String> = redis::from_redis_value(server.command(&["KEYS", "*"])).unwrap();
    assert!(keys.is_empty(), "{keys:?}");
    let fence: u64 = redis::from_redis_value(ask(&(now + 10_000).to_string())).unwrap();
    assert!(fence >= now * 1_000);
}

#[tokio::test]
async fn a_reconnect_renews_what_is_held_at_once() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let locks = locks(&proxy.url());
    let service = hanging(&layer(&locks).with_lease(ms(3_600_000)).unwrap());
    let held = locks.held();
    let task = tokio::spawn(async move { send(&service, "a").await });
    eventually("it is held", async || held.names().len() == 1).await;
    const DAY: i64 = 24 * 60 * 60 * 1_000;
    server.command(&["PEXPIRE", LOCK, &(DAY + 60_000).to_string()]);
    proxy.cut();
    eventually("it is renewed", async || {
        let left: i64 = redis::from_redis_value(server.command(&["PTTL", LOCK])).unwrap();
        left > DAY + 3_000_000
    })
    .await;
    task.abort();
}

#[track_caller]
fn unavailable(answer: &super::rig::Answer) {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        answer.extensions().get::<Refusal>().unwrap().reason,
        Reason::LockUnavailable
    );
    assert!(answer.headers().contains_key(RETRY_AFTER));
}

#[track_caller]
fn lost(answer: &super::rig::Answer) {
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        answer.extensions().get::<Refusal>().unwrap().reason,
        Reason::LockLost
    );
    assert!(!answer.headers().contains_key(RETRY_AFTER));
}
