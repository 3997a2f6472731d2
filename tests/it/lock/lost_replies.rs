//! Connections that die between a question and its answer, while others of the process wait.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower_handoff::lock::{LockLayer, OnUnavailable, RedisLocks};
use tower_handoff::redis::RedisHandle;

use super::rig::{Service, fencing, is_free, layer, ms, occupy, send, status};
use crate::support::bad_line::BadLine;
use crate::support::eventually::eventually;
use crate::support::proxy::Proxy;
use crate::support::redis_server::RedisServer;

fn locks(url: &str) -> RedisLocks {
    RedisHandle::connect(url).unwrap().locks()
}

fn line(server: &RedisServer) -> i64 {
    redis::from_redis_value(server.command(&["LLEN", "app:l1:{x-lock:a}:q"])).unwrap()
}

fn is_subscribed(server: &RedisServer) -> bool {
    let channels = server.command(&["PUBSUB", "CHANNELS", "*"]);
    !redis::from_redis_value::<Vec<String>>(channels)
        .unwrap()
        .is_empty()
}

/// The inbox is subscribed at the first wait.
async fn subscribe(server: &RedisServer, locks: &RedisLocks) {
    let holder = occupy(locks, "warm").await;
    let service = fencing(&layer(locks).with_wait(ms(60_000)).unwrap());
    let waiter = tokio::spawn(async move { send(&service, "warm").await });
    eventually("the inbox is subscribed", async || is_subscribed(server)).await;
    holder.abort();
    assert_eq!(waiter.await.unwrap().status(), StatusCode::OK);
    eventually("it is free", async || is_free(server, "x-lock:warm")).await;
}

/// The first one asked in its own name, the second one waited for that.
#[tokio::test]
async fn a_grant_that_nobody_heard_of_is_taken_back_though_others_wait() {
    let server = RedisServer::start();
    let line = BadLine::start(server.port()).await;
    let locks = locks(&line.url());
    subscribe(&server, &locks).await;
    let hour = fencing(&layer(&locks).with_lease(ms(3_600_000)).unwrap());
    line.swallow(true);
    let tasks = [(); 2].map(|()| {
        let hour = hour.clone();
        tokio::spawn(async move { status(&hour, "a").await })
    });
    eventually("Redis has granted it", async || {
        !is_free(&server, "x-lock:a")
    })
    .await;
    line.cut();
    for task in tasks {
        assert_eq!(task.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(!is_free(&server, "x-lock:a"), "nobody could take it back");
    line.swallow(false);
    line.cut();
    eventually("it is free", async || is_free(&server, "x-lock:a")).await;
}

/// Two wait under the first one's token; when the second one goes, it takes that out of the line,
/// and nothing reaches Redis. `ends` says what becomes of the second one.
async fn the_last_one_leaves_into_a_hole(
    ends: impl AsyncFnOnce(tokio::task::JoinHandle<StatusCode>, &RedisLocks),
) {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    // Half of it passes before it is taken for away, and a release for failed.
    let slow = RedisHandle::builder(proxy.url()).command_timeout(ms(10_000));
    let locks = slow.connect().unwrap().locks();
    subscribe(&server, &locks).await;
    let _holder = occupy(&self::locks(&server.url()), "a").await;
    let open = layer(&locks).with_on_unavailable(OnUnavailable::Pass);
    let [first, last] = [300, 2_000].map(|wait| {
        let service = guarded_or_not(&open.clone().with_wait(ms(wait)).unwrap());
        tokio::spawn(async move { status(&service, "a").await })
    });
    assert_eq!(first.await.unwrap(), StatusCode::CONFLICT);
    assert_eq!(line(&server), 1, "the other one's place");
    proxy.black_hole(true);
    ends(last, &locks).await;
    proxy.black_hole(false);
    proxy.cut();
    eventually("it has left the line", async || line(&server) == 0).await;
}

/// A service that answers also where nobody guards it.
fn guarded_or_not(layer: &LockLayer) -> Service {
    let inner = tower::service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    });
    Service::new(tower::Layer::layer(layer, inner))
}

#[tokio::test]
async fn who_knows_that_the_key_is_held_is_told_so_whatever_becomes_of_its_leaving() {
    the_last_one_leaves_into_a_hole(async |last, _| {
        assert_eq!(last.await.unwrap(), StatusCode::CONFLICT);
    })
    .await;
}

#[tokio::test]
async fn who_goes_while_it_leaves_the_line_leaves_no_place_of_another_one() {
    the_last_one_leaves_into_a_hole(async |last, locks| {
        // Past its wait, and before its release is given up.
        tokio::time::sleep(ms(3_200)).await;
        last.abort();
        assert!(last.await.unwrap_err().is_cancelled());
        assert!(locks.held().names().is_empty());
    })
    .await;
}

/// The one who asks for the line is granted the key when nobody waits any more.
#[tokio::test]
async fn a_shutdown_waits_for_what_the_line_s_task_gives_back() {
    let server = RedisServer::start();
    let far = BadLine::start(server.port()).await;
    let (locks, rival) = (locks(&far.url()), locks(&server.url()));
    assert_eq!(
        status(&fencing(&layer(&locks).with_try()), "warm").await,
        StatusCode::OK
    );
    eventually("it is free", async || is_free(&server, "x-lock:warm")).await;
    let holder = occupy(&rival, "a").await;
    // The inbox was never needed, so that the waiter asks without getting in line at first.
    far.delay(ms(250));
    server.command(&["CONFIG", "RESETSTAT"]);
    let evalsha = || server.command_counts().get("evalsha").copied().unwrap_or(0);
    let service = fencing(&layer(&locks).with_wait(ms(60_000)).unwrap());
    let waiter = tokio::spawn(async move { send(&service, "a").await });
    eventually("it knows that the key is held", async || evalsha() == 1).await;
    holder.abort();
    eventually("it is let go", async || is_free(&server, "x-lock:a")).await;
    // What asks for the line has asked by now, to get in line, and Redis has not heard it yet.
    tokio::time::sleep(ms(50)).await;
    waiter.abort();
    locks.held().release_all().await;
    let before = evalsha();
    // Whoever finds nothing to take back looks again when no acquire can be under way any more.
    tokio::time::sleep(ms(3_500)).await;
    assert_eq!(evalsha(), before, "something was still under way");
    assert!(is_free(&server, "x-lock:a"));
}
