//! The end of a handle.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use redis::Value;
use tower::{Layer, service_fn};
use tower_handoff::redis::{RedisErrorKind, RedisHandle, RedisStatus};
use tower_handoff::session::{Session, SessionLayer};

use crate::support::eventually::eventually;
use crate::support::evidence::oneshot;
use crate::support::patient::patient;
#[cfg(feature = "cluster")]
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_server::RedisServer;
use crate::support::replica::pair;

fn post_many(handle: &RedisHandle) {
    for number in 0..1000 {
        let mut add = redis::cmd("SADD");
        add.arg("seen").arg(number);
        handle.wire().post(add);
    }
}

#[tokio::test]
async fn closing_sends_what_is_queued_and_nothing_after_it() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    handle.ping().await.expect("it is up");
    post_many(&handle);
    handle.close().await;
    assert_eq!(server.command(&["SCARD", "seen"]), Value::Int(1000));

    let error = handle.clone().ping().await.expect_err("it is closed");
    assert_eq!(error.kind(), RedisErrorKind::Away);
    assert!(!handle.status().is_up());
    handle.close().await;
}

#[tokio::test]
async fn closing_does_not_wait_for_a_redis_that_is_silent_or_away() {
    let server = RedisServer::start();
    let silent = RedisHandle::connect(&server.url()).expect("a good url");
    silent.ping().await.expect("it is up");
    let away = RedisHandle::connect("redis://127.0.0.1:1").expect("a good url");
    server.signal("STOP");
    post_many(&silent);
    silent.close().await;
    away.close().await;
    let error = silent.ping().await.expect_err("it is closed");
    assert_eq!(error.kind(), RedisErrorKind::Away);
}

/// By the timers of one runtime: whoever is silent is left when its time is over, and not half as much later.
#[tokio::test]
async fn closing_takes_no_longer_than_the_time_out_where_redis_is_silent() {
    let server = RedisServer::start();
    let of = |ms| {
        let builder = RedisHandle::builder(server.url()).command_timeout(Duration::from_millis(ms));
        builder.connect().expect("a good url")
    };
    let (silent, clock) = (of(2_000), of(2_600));
    silent.ping().await.expect("it is up");
    clock.ping().await.expect("it is up");
    server.signal("STOP");
    post_many(&silent);
    let later = async { clock.ping().await.expect_err("nobody answers") };
    tokio::select! {
        biased;
        () = silent.close() => {}
        _ = later => panic!("it waits for longer than its time-out"),
    }
}

#[tokio::test]
async fn the_last_handle_s_end_is_the_supervisor_s_and_what_was_posted_still_goes_out() {
    let server = RedisServer::start();
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let handle = patient(&server.url());
    handle.ping().await.expect("it is up");
    assert!(metrics.num_alive_tasks() > before);
    post_many(&handle);
    drop(handle.clone());
    drop(handle);
    eventually("no task is left", async || {
        metrics.num_alive_tasks() == before
    })
    .await;
    assert_eq!(server.command(&["SCARD", "seen"]), Value::Int(1000));

    let away = RedisHandle::connect("redis://127.0.0.1:1").expect("a good url");
    let _ = away.ping().await;
    drop(away);
    eventually("no task is left", async || {
        metrics.num_alive_tasks() == before
    })
    .await;
}

#[test]
fn a_handle_that_outlives_its_runtime_says_so() {
    let server = RedisServer::start();
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let first = runtime();
    let handle = first.block_on(async {
        let handle = patient(&server.url());
        handle.ping().await.expect("it is up");
        handle
    });
    drop(first);
    runtime().block_on(async {
        let error = handle.ping().await.expect_err("nobody is left to send it");
        assert_eq!(error.kind(), RedisErrorKind::Away);
        handle.close().await;
    });
}

#[tokio::test]
async fn a_closing_that_was_polled_once_goes_on_though_the_queue_is_full() {
    let server = RedisServer::start();
    let builder = RedisHandle::builder(server.url()).queue_bound(10);
    let handle = builder.connect().expect("good settings");
    handle.ping().await.expect("it is up");
    // On this single thread the supervisor has no turn between these.
    for _ in 0..10 {
        handle.wire().post(redis::cmd("PING"));
    }
    assert!(handle.close().now_or_never().is_none(), "it takes its time");
    eventually("it is closed", async || match handle.status() {
        RedisStatus::Away { reason, .. } => reason.contains("closed"),
        _ => false,
    })
    .await;
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn a_cluster_s_closing_that_was_polled_once_goes_on() {
    let cluster = RedisCluster::shared().await;
    let handle = RedisHandle::connect(&cluster.url()).expect("a good url");
    eventually("it is up", async || handle.status().is_up()).await;
    assert!(handle.close().now_or_never().is_none(), "it takes its time");
    let mut get = redis::cmd("GET");
    get.arg("closing");
    eventually("nothing is served any more", async || {
        handle.wire().send(get.clone()).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn nothing_opens_a_second_connection_after_the_end() {
    let (master, _replica) = pair().await;
    let handle = RedisHandle::connect(&master.url()).expect("a good url");
    handle.ping().await.expect("it is up");
    let durable = handle.sessions().replicas(1, Duration::from_millis(400));
    let writes = service_fn(async |request: Request<()>| {
        let session = Session::from_extensions(request.extensions()).expect("the layer is there");
        session.set("n", &1).expect("a small value");
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let writes = SessionLayer::new(durable.expect("in range")).layer(writes);
    let mut answer = Box::pin(oneshot(writes, Request::new(())));
    assert!(answer.as_mut().now_or_never().is_none());
    // Written meanwhile, and nobody was waited for yet.
    eventually("it is written", async || {
        master.command(&["DBSIZE"]) == Value::Int(1)
    })
    .await;
    handle.close().await;
    let answer = answer.await.expect("infallible");
    assert_eq!(answer.status(), 503, "nobody could be waited for");
    let clients = master.command(&["CLIENT", "LIST", "TYPE", "normal"]);
    let clients: String = redis::from_redis_value(clients).expect("text");
    let others = clients.lines().filter(|client| {
        // The one who asks, as 6.2 and later ones call it; one that keeps what the server is sent.
        let asks = client.contains("cmd=client ") || client.contains("cmd=client|list");
        !asks && !client.contains("flags=O")
    });
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
}
