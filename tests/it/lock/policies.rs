//! What a layer does when the lock is not to be had: wait, refuse, or let pass.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_handoff::lock::{
    LockBackend, LockGuard, LockLayer, Locks, MemoryLocks, OnMissingKey, OnUnavailable, RedisLocks,
    Unguarded,
};
use tower_handoff::redis::RedisHandle;
use tower_handoff::{Reason, Refusal};

use super::rig::{
    Service, fencing, free_again, guarded, hanging, key, layer, ms, on_both, request, send, status,
    text,
};
use crate::support::eventually::eventually;
use crate::support::patient::patient;
use crate::support::redis_server::{RedisServer, free_port};

on_both!(
    no_more_wait_than_there_are_places,
    without_places_it_is_a_try_that_says_full,
);

fn reason(answer: &super::rig::Answer) -> Option<Reason> {
    Some(answer.extensions().get::<Refusal>()?.reason)
}

async fn no_more_wait_than_there_are_places(locks: impl LockBackend + Clone) {
    let holder = Locks::new(locks.clone()).acquire(key("a")).await.unwrap();
    let shedding = layer(&locks).with_wait(ms(60_000)).unwrap().with_shed(2);
    // Each layering shares the places.
    let services = [fencing(&shedding), fencing(&shedding)];
    let wait = |service: &Service| {
        let service = service.clone();
        tokio::spawn(async move { status(&service, "a").await })
    };
    let mut waiters = services.each_ref().map(wait);
    // Each takes its place when it is polled first.
    tokio::task::yield_now().await;
    for (service, key) in services.iter().zip(["b", "c"]) {
        let answer = send(service, "a").await;
        assert_eq!(reason(&answer), Some(Reason::LockQueueFull));
        let free = status(service, key).await;
        assert_eq!(free, StatusCode::OK, "a free key needs no place");
    }
    // Who goes away makes room.
    waiters[1].abort();
    let gone = std::mem::replace(&mut waiters[1], wait(&services[1]));
    assert!(gone.await.unwrap_err().is_cancelled());
    tokio::task::yield_now().await;
    let answer = send(&services[0], "a").await;
    assert_eq!(reason(&answer), Some(Reason::LockQueueFull));
    drop(holder);
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(status(&services[0], "a").await, StatusCode::OK);
}

async fn without_places_it_is_a_try_that_says_full(locks: impl LockBackend + Clone) {
    let service = fencing(&layer(&locks).with_shed(0));
    assert_eq!(status(&service, "a").await, StatusCode::OK);
    let _holder = Locks::new(locks.clone()).acquire(key("a")).await.unwrap();
    let answer = send(&service, "a").await;
    assert_eq!(reason(&answer), Some(Reason::LockQueueFull));
    assert!(answer.headers().contains_key(RETRY_AFTER));
    let tries = fencing(&layer(&locks).with_try().with_shed(0));
    assert_eq!(reason(&send(&tries, "a").await), Some(Reason::LockBusy));
}

/// The layer around a handler that answers with what it found in its extensions.
fn telling(layer: &LockLayer) -> Service {
    let inner =
        service_fn(|request: Request<()>| async move { Ok::<_, Infallible>(told(&request)) });
    Service::new(layer.layer(inner))
}

fn told<B>(request: &Request<B>) -> Response<Full<Bytes>> {
    let guard = request.extensions().get::<LockGuard>();
    let open = request.extensions().get::<Unguarded>();
    let key = guard.map_or("none".to_owned(), |guard| guard.key().to_string());
    let text = format!("{key} {:?}", open.map(|open| open.reason));
    Response::new(Full::new(Bytes::from(text)))
}

fn away() -> RedisLocks {
    let url = format!("redis://127.0.0.1:{}", free_port());
    RedisHandle::connect(&url).unwrap().locks()
}

#[tokio::test]
async fn while_redis_is_away_requests_pass_marked_and_counted_where_asked() {
    let locks = away();
    let closed = layer(&locks);
    let answer = send(&telling(&closed), "a").await;
    assert_eq!(reason(&answer), Some(Reason::LockUnavailable));
    assert_eq!(closed.passed_unguarded(), 0);

    let open = layer(&locks).with_on_unavailable(OnUnavailable::Pass);
    let service = telling(&open);
    for passed in 1..=3 {
        let answer = send(&service, "a").await;
        assert_eq!(reason(&answer), None);
        assert_eq!(text(answer).await, "none Some(LockUnavailable)");
        assert_eq!(open.passed_unguarded(), passed);
    }
}

#[tokio::test]
async fn when_redis_is_back_requests_are_guarded_again() {
    let server = RedisServer::start();
    let locks = patient(&server.url()).locks();
    let hour = layer(&locks).with_lease(ms(3_600_000)).unwrap();
    let open = hour.with_on_unavailable(OnUnavailable::Pass);
    let service = telling(&open);
    assert_eq!(text(send(&service, "a").await).await, "x-lock:a None");
    server.signal("STOP");
    let answer = text(send(&service, "a").await).await;
    assert_eq!(answer, "none Some(LockUnavailable)");
    server.signal("CONT");
    // What Redis may have granted meanwhile is taken back: the lease of an hour does not matter.
    free_again(&locks, "a").await;
    eventually("guarded again", async || {
        text(send(&service, "a").await).await == "x-lock:a None"
    })
    .await;
    let _holder = Locks::new(locks.clone()).acquire(key("a")).await.unwrap();
    let before = open.passed_unguarded();
    let busy = send(&telling(&open.clone().with_try()), "a").await;
    assert_eq!(reason(&busy), Some(Reason::LockBusy), "busy is not away");
    assert_eq!(open.passed_unguarded(), before);
}

#[tokio::test]
async fn what_redis_refuses_for_good_is_no_outage() {
    let server = RedisServer::start();
    let locks = patient(&server.url()).locks();
    let open = layer(&locks).with_on_unavailable(OnUnavailable::Pass);
    let service = telling(&open);
    server.command(&["RPUSH", "app:l1:{x-lock:list}", "somebody's"]);
    server.command(&["SET", "app:l1:{x-lock:newer}", "2 whatever comes later"]);
    for key in ["list", "newer"] {
        let answer = send(&service, key).await;
        assert_eq!(reason(&answer), Some(Reason::LockUnavailable), "{key}");
    }
    assert_eq!(open.passed_unguarded(), 0);
    // Where Redis takes no writes for the moment, it is as good as away.
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let answer = text(send(&service, "a").await).await;
    assert_eq!(answer, "none Some(LockUnavailable)");
}

/// The lock of a layer further out is another one: not to be mistaken for that of an inner layer
/// which let the request pass, and still not taken twice.
#[tokio::test]
async fn a_request_that_passed_shows_no_guard_of_a_layer_further_out() {
    let memory = MemoryLocks::new();
    let open = layer(&away()).with_on_unavailable(OnUnavailable::Pass);
    let keyless = LockLayer::new(
        memory.clone(),
        tower_handoff::lock::key::from_fn(|_| Ok(None)),
    )
    .with_on_missing_key(OnMissingKey::Pass);
    for (passing, mark) in [(open, "LockUnavailable"), (keyless, "LockKeyMissing")] {
        let again = layer(&memory).with_try();
        let handler = service_fn(move |request: Request<()>| {
            let seen = told(&request);
            let mark = request.extensions().get::<Unguarded>().unwrap().reason;
            let again = again.clone();
            async move {
                let inner = service_fn(|request: Request<()>| async move {
                    Ok::<_, Infallible>(told(&request))
                });
                let within = again.layer(inner).oneshot(request).await?;
                assert_eq!(within.status(), StatusCode::OK);
                assert_eq!(text(within).await, format!("x-lock:a Some({mark:?})"));
                Ok::<_, Infallible>(seen)
            }
        });
        let service = layer(&memory).layer(passing.layer(handler));
        let answer = service.oneshot(request("a")).await.unwrap();
        use http_body_util::BodyExt;
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(bytes, format!("none Some({mark})"));
    }
}

#[tokio::test]
async fn a_handler_that_insists_on_its_guard_is_told_why_there_is_none() {
    use axum::routing::post;
    let open = layer(&away()).with_on_unavailable(OnUnavailable::Pass);
    let app = axum::Router::new()
        .route(
            "/insists",
            post(async |_: LockGuard| "held").layer(open.clone()),
        )
        .route(
            "/asks",
            post(async |guard: Option<LockGuard>| guard.is_some().to_string()).layer(open),
        );
    for (path, status, expected) in [
        (
            "/insists",
            StatusCode::INTERNAL_SERVER_ERROR,
            "while the backend is away",
        ),
        ("/asks", StatusCode::OK, "false"),
    ] {
        let request = Request::post(path).header("x-lock", "a");
        let request = request.body(axum::body::Body::empty()).unwrap();
        let answer = app.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), status);
        let bytes = axum::body::to_bytes(answer.into_body(), 4096)
            .await
            .unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_answer_says_to_come_back_after_what_locks_are_held_of_late() {
    let locks = MemoryLocks::new();
    // The hold in seconds, and within which times the answer is to lie: up to twice as long.
    for (held, least, most) in [(0, 1, 2), (12, 12, 24), (3_600, 30, 60)] {
        let layer = layer(&locks).with_lease(ms(120_000)).unwrap();
        let slow = guarded(&layer, move |_| async move {
            tokio::time::sleep(ms(held * 1_000)).await;
            String::new()
        });
        send(&slow, "a").await;
        let trying = layer.with_try();
        let holder = hanging(&trying);
        let holder = tokio::spawn(async move { send(&holder, "a").await });
        let service = fencing(&trying);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        for _ in 0..20 {
            let answer = send(&service, "a").await;
            assert_eq!(reason(&answer), Some(Reason::LockBusy));
            let after = answer.headers()[RETRY_AFTER].to_str().unwrap();
            let after: u64 = after.parse().unwrap();
            assert!((least..=most).contains(&after), "{held} s: {after} s");
        }
        holder.abort();
        free_again(&locks, "a").await;
    }
}
