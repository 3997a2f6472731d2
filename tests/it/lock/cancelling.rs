//! Whatever becomes of a request, its key comes free.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::StatusCode;
use http_body::Frame;
use http_body_util::StreamBody;
use tower::{Service as _, ServiceExt};
use tower_handoff::lock::{
    Acquired, Claim, LeaseTime, LockBackend, LockKey, LockLayer, MemoryLocks, key,
};

use super::rig::{fencing, hanging, is_free, ms, occupy, on_both, request, send, status};
use crate::support::drop_after::drop_after;
use crate::support::eventually::eventually;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

on_both!(
    a_request_dropped_at_any_await_leaves_nothing,
    a_waiter_dropped_at_any_await_leaves_nothing,
    a_request_dropped_while_its_key_is_looked_up_leaves_nothing,
    a_client_that_goes_away_frees_the_key,
    an_answer_dropped_outside_of_any_runtime_frees_the_key,
);

async fn a_request_dropped_at_any_await_leaves_nothing(locks: impl LockBackend + Clone) {
    for (number, layer) in [layer(&locks), layer(&locks).with_try()].iter().enumerate() {
        for polls in 0..10 {
            let key = format!("{number} {polls}");
            drop_after(polls, hanging(layer).call(request(&key))).await;
            free_again(&locks, &key).await;
        }
    }
}

async fn a_waiter_dropped_at_any_await_leaves_nothing(locks: impl LockBackend + Clone) {
    for polls in 0..10 {
        let key = format!("{polls}");
        let holder = occupy(&locks, &key).await;
        drop_after(polls, hanging(&layer(&locks)).call(request(&key))).await;
        holder.abort();
        free_again(&locks, &key).await;
    }
}

async fn a_request_dropped_while_its_key_is_looked_up_leaves_nothing(
    locks: impl LockBackend + Clone,
) {
    let slow = key::from_async_fn(|_| async {
        tokio::task::yield_now().await;
        Ok(Some(LockKey::new("x-lock:a").unwrap()))
    });
    let layer = LockLayer::new(locks.clone(), slow);
    for polls in 0..5 {
        drop_after(polls, hanging(&layer).call(request("a"))).await;
        free_again(&locks, "a").await;
    }
}

async fn a_client_that_goes_away_frees_the_key(locks: impl LockBackend + Clone) {
    use axum::routing::post;
    let app: axum::Router = axum::Router::new().route(
        "/{id}",
        post(std::future::pending::<()>)
            .layer(LockLayer::new(locks.clone(), key::path("x-lock:{id}"))),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = b"POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut client, head)
        .await
        .unwrap();
    let held = locks.held();
    eventually("it is held", async || held.names().len() == 1).await;
    drop(client);
    free_again(&locks, "a").await;
}

async fn an_answer_dropped_outside_of_any_runtime_frees_the_key(locks: impl LockBackend + Clone) {
    let inner = tower::service_fn(|_: http::Request<()>| async {
        let never = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        Ok::<_, Infallible>(http::Response::new(StreamBody::new(never)))
    });
    let service = tower::Layer::layer(&layer(&locks), inner);
    let answer = service.oneshot(request("a")).await.unwrap();
    assert_eq!(locks.held().names().len(), 1);
    tokio::task::spawn_blocking(|| std::thread::spawn(move || drop(answer)).join())
        .await
        .unwrap()
        .expect("the destructor does not panic");
    free_again(&locks, "a").await;
}

#[test]
fn an_answer_that_outlives_its_runtime_is_dropped_without_a_panic() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let request = runtime.block_on(async {
        let handle = patient(&server.url());
        let mut waiting = Box::pin(hanging(&layer(&handle.locks())).call(request("a")));
        let held = handle.locks().held();
        eventually("it is held", async || {
            let mut context = Context::from_waker(Waker::noop());
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            held.names().len() == 1
        })
        .await;
        Some(waiting)
    });
    drop(runtime);
    drop(request);
}

#[tokio::test]
async fn a_lock_without_any_runtime_in_sight_still_works_in_memory() {
    let locks = MemoryLocks::new();
    let service = hanging(&layer(&locks));
    std::thread::spawn(move || {
        let mut request = pin!(service.oneshot(request("a")));
        let mut context = Context::from_waker(Waker::noop());
        while locks.held().names().is_empty() {
            assert!(request.as_mut().poll(&mut context).is_pending());
        }
    })
    .join()
    .expect("no panic");
}

#[tokio::test]
async fn acquiring_and_letting_go_leaves_no_key_in_redis_but_the_fence() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    let service = fencing(&layer(&handle.locks()));
    let waiting: Vec<_> = (0..8).map(|_| send(&service, "a")).collect();
    for answer in futures_util::future::join_all(waiting).await {
        assert_eq!(answer.status(), StatusCode::OK);
    }
    eventually("only the fence is left", async || {
        let keys: Vec<String> = redis::from_redis_value(server.command(&["KEYS", "*"])).unwrap();
        keys == ["app:l1:{x-lock:a}"] && is_free(&server, "x-lock:a")
    })
    .await;
    let ttl: i64 = redis::from_redis_value(server.command(&["TTL", "app:l1:{x-lock:a}"])).unwrap();
    assert!(ttl > 0, "it expires");
}

/// A layer whose leases end long after any test has: what comes free sooner was let go.
fn layer(locks: &(impl LockBackend + Clone)) -> LockLayer {
    let hour = super::rig::layer(locks).with_lease(ms(3_600_000));
    hour.unwrap()
}

async fn free_again(locks: &(impl LockBackend + Clone), key: &str) {
    let service = fencing(&layer(locks).with_try());
    eventually("the key is free", async || {
        status(&service, key).await == StatusCode::OK
    })
    .await;
    let held = locks.held();
    eventually("nothing is held", async || held.names().is_empty()).await;
}

/// A task whose budget is used up is sent away from the first await of its wait.
#[tokio::test]
async fn who_is_dropped_before_its_wait_began_leaves_no_line_that_nobody_asks_for() {
    let server = RedisServer::start();
    let [here, rival] = [(); 2].map(|()| patient(&server.url()).locks());
    let lease = LeaseTime::new(ms(60_000)).unwrap();
    let claim = || Claim::new(LockKey::new("a").unwrap(), lease);
    let (first, dropped, rivals, next) = (claim(), claim(), claim(), claim());
    let granted = |acquired| matches!(acquired, Ok(Acquired::Granted(_)));
    assert!(granted(here.acquire(&first, None).await));
    {
        let mut waits = pin!(here.acquire(&dropped, Some(ms(60_000))));
        poll_fn(|cx| {
            while pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
            assert!(waits.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }
    here.withdraw(&dropped).await.unwrap();
    here.release(&first).await.unwrap();
    assert!(granted(rival.acquire(&rivals, None).await));
    let waits = tokio::spawn(async move { here.acquire(&next, Some(ms(20_000))).await });
    eventually("it is in Redis's line", async || {
        server.command(&["LLEN", "app:l1:{a}:q"]) == redis::Value::Int(1)
    })
    .await;
    rival.release(&rivals).await.unwrap();
    assert!(granted(waits.await.unwrap()));
}
