//! How long an answer keeps the lock.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::sync::mpsc;
use tower::{Layer, ServiceExt, service_fn};
use tower_handoff::lock::{LockBackend, MemoryLocks};

use super::rig::{fencing, layer, on_both, request, send, status};
use crate::support::eventually::eventually;

on_both!(
    a_streaming_body_holds_the_lock_to_its_end,
    a_dropped_body_lets_go,
    a_failing_body_lets_go,
    a_finished_body_lets_go_at_the_head,
    an_upgrade_lets_go_at_the_head,
);

type Chunk = Result<Frame<Bytes>, &'static str>;

/// A guarded service that streams what comes through the channel.
async fn streaming(
    locks: &(impl LockBackend + Clone),
) -> (
    Response<impl http_body::Body<Data = Bytes, Error = &'static str>>,
    mpsc::Sender<Chunk>,
) {
    let (chunks, source) = mpsc::channel::<Chunk>(4);
    let source = std::sync::Arc::new(std::sync::Mutex::new(Some(source)));
    let inner = service_fn(move |_: Request<()>| {
        let mut source = source.lock().unwrap().take().unwrap();
        let stream = futures_util::stream::poll_fn(move |cx| source.poll_recv(cx));
        async move { Ok::<_, Infallible>(Response::new(StreamBody::new(stream))) }
    });
    let answer = layer(locks)
        .layer(inner)
        .oneshot(request("a"))
        .await
        .unwrap();
    (answer, chunks)
}

async fn a_streaming_body_holds_the_lock_to_its_end(locks: impl LockBackend + Clone) {
    let (answer, chunks) = streaming(&locks).await;
    let other = fencing(&layer(&locks).with_try());
    let mut body = Box::pin(answer.into_body());
    for _ in 0..2 {
        chunks
            .send(Ok(Frame::data(Bytes::from_static(b"part"))))
            .await
            .unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(status(&other, "a").await, StatusCode::CONFLICT);
    }
    drop(chunks);
    assert!(body.frame().await.is_none());
    eventually("the key is free", async || {
        status(&other, "a").await == StatusCode::OK
    })
    .await;
    drop(body);
}

async fn a_dropped_body_lets_go(locks: impl LockBackend + Clone) {
    let (answer, _chunks) = streaming(&locks).await;
    let other = fencing(&layer(&locks).with_try());
    assert_eq!(status(&other, "a").await, StatusCode::CONFLICT);
    drop(answer);
    eventually("the key is free", async || {
        status(&other, "a").await == StatusCode::OK
    })
    .await;
}

async fn a_failing_body_lets_go(locks: impl LockBackend + Clone) {
    let (answer, chunks) = streaming(&locks).await;
    let other = fencing(&layer(&locks).with_try());
    chunks.send(Err("on purpose")).await.unwrap();
    let mut body = Box::pin(answer.into_body());
    assert!(body.frame().await.unwrap().is_err());
    eventually("the key is free", async || {
        status(&other, "a").await == StatusCode::OK
    })
    .await;
    drop(body);
}

async fn a_finished_body_lets_go_at_the_head(locks: impl LockBackend + Clone) {
    let service = fencing(&layer(&locks).with_try());
    let answer = send(&service, "a").await;
    eventually("the key is free", async || {
        status(&service, "a").await == StatusCode::OK
    })
    .await;
    drop(answer);
}

async fn an_upgrade_lets_go_at_the_head(locks: impl LockBackend + Clone) {
    let inner = service_fn(|_: Request<()>| async {
        let never = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let mut answer = Response::new(StreamBody::new(never));
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        Ok::<_, Infallible>(answer)
    });
    let answer = layer(&locks)
        .layer(inner)
        .oneshot(request("a"))
        .await
        .unwrap();
    let other = fencing(&layer(&locks).with_try());
    eventually("the key is free", async || {
        status(&other, "a").await == StatusCode::OK
    })
    .await;
    drop(answer);
}

#[tokio::test]
async fn the_body_is_the_handlers_to_the_byte() {
    let inner = service_fn(|_: Request<()>| async {
        let body = Full::new(Bytes::from_static(b"as it was"));
        let trailers = async { Some(Ok(http::HeaderMap::from_iter([trailer()]))) };
        Ok::<_, Infallible>(Response::new(body.with_trailers(trailers)))
    });
    let answer = layer(&MemoryLocks::new())
        .layer(inner)
        .oneshot(request("a"))
        .await
        .unwrap();
    let collected = answer.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "1");
    assert_eq!(collected.to_bytes(), "as it was");
}

fn trailer() -> (http::HeaderName, http::HeaderValue) {
    (
        http::HeaderName::from_static("x-sum"),
        http::HeaderValue::from_static("1"),
    )
}
