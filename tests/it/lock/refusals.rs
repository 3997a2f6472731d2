//! What a request gets instead of the lock.

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Request, StatusCode};
use tower::ServiceExt;
use tower_handoff::lock::{LockBackend, LockLayer, MemoryLocks, OnMissingKey, key};
use tower_handoff::{Reason, Refusal, Responder};

use super::rig::{
    Answer, fencing, guarded, layer, ms, occupy, on_both, request, send, status, text,
};
use crate::support::patient::patient;
use crate::support::redis_server::{RedisServer, free_port};

on_both!(
    busy_is_409_at_once_with_when_to_come_back,
    a_wait_that_ends_is_409,
    the_wait_can_come_from_the_request,
);

async fn busy_is_409_at_once_with_when_to_come_back(locks: impl LockBackend + Clone) {
    let _holder = occupy(&locks, "a").await;
    let answer = send(&fencing(&layer(&locks).with_try()), "a").await;
    refused(answer, Reason::LockBusy).await;
}

async fn a_wait_that_ends_is_409(locks: impl LockBackend + Clone) {
    let holder = occupy(&locks, "a").await;
    let service = fencing(&layer(&locks).with_wait(ms(150)).unwrap());
    refused(send(&service, "a").await, Reason::LockBusy).await;
    holder.abort();
    assert_eq!(
        status(&service, "a").await,
        StatusCode::OK,
        "and nothing of it stays"
    );
}

async fn the_wait_can_come_from_the_request(locks: impl LockBackend + Clone) {
    let _holder = occupy(&locks, "a").await;
    let layer = layer(&locks)
        .with_wait(ms(600_000))
        .unwrap()
        .with_wait_from(|parts| {
            let wait = parts.uri.query()?.strip_prefix("wait_ms=")?;
            Some(ms(wait.parse().ok()?))
        });
    for wait in ["0", "100"] {
        let mut request = request("a");
        *request.uri_mut() = format!("/?wait_ms={wait}").parse().unwrap();
        let answer = fencing(&layer).oneshot(request).await.unwrap();
        refused(answer, Reason::LockBusy).await;
    }
}

#[tokio::test]
async fn a_full_line_is_503() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    full(handle.locks(), handle.locks().with_max_waiters(0)).await;
    let memory = MemoryLocks::new();
    full(memory.clone(), memory.with_max_waiters(0)).await;
}

async fn full(locks: impl LockBackend + Clone, bounded: impl LockBackend + Clone) {
    let _holder = occupy(&locks, "a").await;
    let service = fencing(&layer(&bounded));
    refused(send(&service, "a").await, Reason::LockQueueFull).await;
    assert_eq!(
        status(&service, "b").await,
        StatusCode::OK,
        "a free key has no line"
    );
}

#[tokio::test]
async fn redis_away_is_503() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let locks = patient(&url).locks();
    refused(
        send(&fencing(&layer(&locks)), "a").await,
        Reason::LockUnavailable,
    )
    .await;
    refused(
        send(&fencing(&layer(&locks).with_try()), "a").await,
        Reason::LockUnavailable,
    )
    .await;
}

#[tokio::test]
async fn a_request_without_a_key_is_400_or_passes() {
    let locks = MemoryLocks::new();
    let without = || Request::post("/").body(()).unwrap();
    let twice = || {
        Request::post("/")
            .header("x-lock", "a")
            .header("x-lock", "b")
            .body(())
    };
    let answer = fencing(&layer(&locks)).oneshot(without()).await.unwrap();
    refused(answer, Reason::LockKeyMissing).await;
    let answer = fencing(&layer(&locks))
        .oneshot(twice().unwrap())
        .await
        .unwrap();
    refused(answer, Reason::LockKeyMissing).await;
    refused(
        send(&fencing(&layer(&locks)), "").await,
        Reason::LockKeyMissing,
    )
    .await;

    let passing = layer(&locks).with_on_missing_key(OnMissingKey::Pass);
    let unguarded = tower::service_fn(|request: Request<()>| async move {
        let guard = request.extensions().get::<tower_handoff::lock::LockGuard>();
        assert!(guard.is_none());
        Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::new(
            bytes::Bytes::new(),
        )))
    });
    let answer = tower::Layer::layer(&passing, unguarded)
        .oneshot(without())
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_key_can_refuse_with_a_reason_of_its_own() {
    let away = key::from_async_fn(|_| async { Err(Reason::SessionUnavailable) });
    let service = fencing(&LockLayer::new(MemoryLocks::new(), away));
    refused(send(&service, "a").await, Reason::SessionUnavailable).await;
}

#[tokio::test]
async fn a_refusal_can_be_answered_otherwise() {
    let locks = MemoryLocks::new();
    let _holder = occupy(&locks, "a").await;
    let layer = layer(&locks)
        .with_try()
        .with_responder(Responder::new(|refusal| {
            let mut answer = http::Response::new(bytes::Bytes::from_static(b"later"));
            *answer.status_mut() = StatusCode::LOCKED;
            assert_eq!(refusal.reason, Reason::LockBusy);
            answer
        }));
    let answer = send(&guarded(&layer, |_| async { String::new() }), "a").await;
    assert_eq!(answer.status(), StatusCode::LOCKED);
    assert_eq!(text(answer).await, "later");
}

async fn refused(answer: Answer, reason: Reason) {
    assert_eq!(answer.status(), reason.status());
    assert_eq!(answer.extensions().get::<Refusal>().unwrap().reason, reason);
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
    let retry = answer
        .headers()
        .get(RETRY_AFTER)
        .map(|after| after.to_str().unwrap().parse::<u64>().unwrap());
    if reason == Reason::LockKeyMissing {
        assert_eq!(retry, None);
    } else {
        assert!(matches!(retry, Some(1..=4)), "{retry:?}");
    }
    assert!(text(answer).await.contains(reason.slug()));
}
