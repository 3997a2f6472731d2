//! What a subscriber is told of each acquisition.

use std::convert::Infallible;

use http::StatusCode;
use tower::ServiceExt;
use tower_handoff::lock::{LockBackend, LockKeys, Locks, MemoryLocks, RedisLocks};
use tower_handoff::once::{Job, MemoryOnce, Once};
use tower_handoff::redis::RedisHandle;

use super::rig::{fencing, guarded, key, layer, ms, on_both, poll_times, request, status};
use crate::support::eventually::PATIENCE;
use crate::support::lock_paths::each_way;
use crate::support::log::Log;
use crate::support::patient::patient;
use crate::support::redis_server::{RedisServer, free_port};
use crate::support::replica::pair;
use crate::support::spans::{Ended, Spans};

on_both!(
    a_grant_tells_its_path_its_wait_and_its_fence,
    a_refusal_tells_its_outcome_and_so_does_a_wait_that_is_dropped,
    each_request_has_a_span_for_each_key_that_it_locks,
    a_log_tells_who_waits_while_they_wait,
);

const SPAN: &str = "lock.acquire";

fn outcomes(spans: &Spans) -> Vec<String> {
    let ended = spans.take();
    ended.iter().map(|s| s.get("outcome").to_owned()).collect()
}

/// Beside what every span of the kind has.
fn has_no_more(span: &Ended) {
    assert_eq!(
        span.fields(),
        ["key_hash", "lock", "outcome", "wait_ms"],
        "{span:?}"
    );
}

async fn a_grant_tells_its_path_its_wait_and_its_fence(locks: impl LockBackend + Clone) {
    let (spans, _guard) = Spans::of_this_thread(SPAN);
    let fences = each_way(locks, "till").await;
    let ended = spans.take();
    for (index, path) in ["free", "queued", "local"].into_iter().enumerate() {
        let span = &ended[index];
        assert_eq!(span.get("path"), path, "{ended:?}");
        assert_eq!(span.get("outcome"), "acquired");
        assert_eq!(span.get("lock"), "till");
        assert_eq!(span.number("fence"), fences[index]);
        // As `printf %s till-7 | sha256sum | head -c 16` has it.
        assert_eq!(span.get("key_hash"), "ee686253f9c249a5");
        // Two of them outwaited what was left of a lease.
        let waited = span.number("wait_ms");
        assert!(index == 0 || waited > 0, "{waited} ms, {path}");
    }
    assert_eq!(ended.len(), 3, "{ended:?}");
    assert!(!format!("{ended:?}").contains("till-7"), "{ended:?}");
}

async fn a_refusal_tells_its_outcome_and_so_does_a_wait_that_is_dropped(
    backend: impl LockBackend + Clone,
) {
    let (spans, _guard) = Spans::of_this_thread(SPAN);
    let locks = Locks::new(backend.clone()).with_wait(ms(100)).unwrap();
    let held = locks.acquire(key("a")).await.unwrap();
    spans.take();
    assert!(locks.try_acquire(key("a")).await.is_err());
    assert!(locks.acquire(key("a")).await.is_err());
    // Polled until it waits, and then no longer.
    let patient = locks.clone().with_wait(ms(60_000)).unwrap();
    poll_times(4, patient.acquire(key("a"))).await;
    let ended = spans.take();
    ended.iter().for_each(has_no_more);
    let outcome: Vec<_> = ended.iter().map(|span| span.get("outcome")).collect();
    assert_eq!(outcome, ["busy", "busy", "dropped"]);
    assert!(ended[1].number("wait_ms") >= 100, "{ended:?}");
    // Whom nobody named.
    assert_eq!(ended[0].get("lock"), "unnamed");
    // The shutdown ends a wait.
    let waits = async { assert!(patient.acquire(key("a")).await.is_err()) };
    let closes = async { backend.held().close() };
    futures_util::future::join(waits, closes).await;
    assert_eq!(outcomes(&spans), ["draining"]);
    drop(held);
}

async fn each_request_has_a_span_for_each_key_that_it_locks(backend: impl LockBackend + Clone) {
    let (spans, _guard) = Spans::of_this_thread(SPAN);
    let outer = layer(&backend).with_name("outer");
    assert_eq!(status(&fencing(&outer), "a").await, StatusCode::OK);
    let ended = spans.take();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!(ended[0].get("lock"), "outer");
    assert_eq!(ended[0].get("key_hash"), "0468ca52cae37e01");
    // What the outer layer holds the inner one does not acquire.
    let inner = layer(&backend).with_name("inner");
    let nested = tower::Layer::layer(&outer, fencing(&inner));
    let answer = nested.oneshot(request("a")).await;
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
    assert_eq!(outcomes(&spans), ["acquired"]);
    // Several keys, one after the other.
    let both = LockKeys::new([key("a"), key("b")]).unwrap();
    let held = Locks::new(backend).acquire(both).await.unwrap();
    let ended = spans.take();
    let fences: Vec<_> = ended.iter().map(|span| span.number("fence")).collect();
    let guards: Vec<_> = held.guards().map(|guard| guard.fence().get()).collect();
    assert_eq!(fences, guards);
}

async fn a_log_tells_who_waits_while_they_wait(backend: impl LockBackend + Clone) {
    let (log, _guard) = Log::of_this_thread(tracing::Level::DEBUG);
    let locks = Locks::new(backend).with_name("till");
    let held = locks.acquire(key("a")).await.unwrap();
    assert!(locks.try_acquire(key("a")).await.is_err());
    assert!(!log.text().contains("waits in line"), "{}", log.text());
    poll_times(4, locks.acquire(key("a"))).await;
    let text = log.text();
    let said: Vec<_> = text
        .lines()
        .filter(|l| l.contains("waits in line"))
        .collect();
    assert_eq!(said.len(), 1, "{text}");
    let span = "lock.acquire{lock=\"till\" key_hash=0468ca52cae37e01}";
    assert!(said[0].contains(span), "{text}");
    drop(held);
}

async fn is_told_of_the_locks_of_a_job(once: Once) {
    let (spans, _guard) = Spans::of_this_thread(SPAN);
    let job = Job::new("report").unwrap();
    let ran = once.run(&job, async |_| Ok::<_, Infallible>(7)).await;
    assert_eq!(ran.unwrap().into_value(), Some(7));
    let ended = spans.take();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!(
        (ended[0].get("lock"), ended[0].get("path")),
        ("once", "free")
    );
}

#[tokio::test]
async fn a_grant_that_replicas_have_tells_how_it_came_all_the_same() {
    let (master, _replica) = pair().await;
    let builder = RedisHandle::builder(master.url()).command_timeout(PATIENCE);
    let locks = builder.connect().unwrap().locks();
    let durable = locks.replicas(1, PATIENCE).unwrap();
    a_grant_tells_its_path_its_wait_and_its_fence(durable).await;
}

#[tokio::test]
async fn a_job_has_the_span_of_its_lock() {
    is_told_of_the_locks_of_a_job(Once::new(MemoryOnce::new())).await;
    let server = RedisServer::start();
    let redis = patient(&server.url());
    is_told_of_the_locks_of_a_job(Once::new(redis.once())).await;
}

#[tokio::test]
async fn a_backend_that_is_away_and_a_line_that_is_full_are_told_apart() {
    let (spans, _guard) = Spans::of_this_thread(SPAN);
    let url = format!("redis://127.0.0.1:{}", free_port());
    let away: RedisLocks = RedisHandle::connect(&url).unwrap().locks();
    assert!(Locks::new(away).acquire(key("a")).await.is_err());
    let narrow = Locks::new(MemoryLocks::new().with_max_waiters(0));
    let held = narrow.acquire(key("a")).await.unwrap();
    assert!(narrow.acquire(key("a")).await.is_err());
    assert_eq!(outcomes(&spans), ["unavailable", "acquired", "queue_full"]);
    drop(held);
}

/// A handler's own spans and events are none of the acquisition's.
#[tokio::test]
async fn the_span_ends_before_the_handler_begins() {
    let (spans, _guard) = Spans::of_this_thread(SPAN);
    let seen = spans.clone();
    let service = guarded(&layer(&MemoryLocks::new()), move |_| {
        let seen = seen.clone();
        async move {
            assert!(tracing::Span::current().is_none());
            assert_eq!(outcomes(&seen), ["acquired"]);
            String::new()
        }
    });
    assert_eq!(status(&service, "a").await, StatusCode::OK);
}
