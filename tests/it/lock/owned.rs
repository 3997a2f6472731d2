//! Locks that outlive their request, and those that do not.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use tower::{Layer, ServiceExt, service_fn};
use tower_handoff::lock::{
    LockBackend, LockError, LockErrorKind, LockGuard, LockLayer, MemoryLocks, OwnedLock,
};

use super::rig::{fencing, free_again, guarded, layer, ms, on_both, request, send, status, text};

on_both!(
    a_lock_taken_out_of_its_request_outlives_it,
    a_lock_is_taken_once,
    the_lock_of_a_layer_further_out_is_not_to_be_taken,
    what_was_let_go_cannot_be_taken,
    a_lock_taken_out_is_held_no_longer_than_it_may_be,
);

type Taken = Arc<Mutex<Option<Result<OwnedLock, LockError>>>>;

/// Takes the lock out of a request to `layer`, and returns when the request is over.
async fn take(layer: &LockLayer) -> OwnedLock {
    let taken = Taken::default();
    let slot = taken.clone();
    let service = guarded(layer, move |guard| {
        *slot.lock().unwrap() = Some(guard.into_owned());
        async { String::new() }
    });
    assert_eq!(status(&service, "a").await, StatusCode::OK);
    let taken = taken.lock().unwrap().take();
    taken.unwrap().unwrap()
}

async fn a_lock_taken_out_of_its_request_outlives_it(locks: impl LockBackend + Clone) {
    let lock = take(&layer(&locks).with_lease(ms(600)).unwrap()).await;
    let other = fencing(&layer(&locks).with_try());
    for _ in 0..10 {
        // Past the lease, too.
        assert_eq!(status(&other, "a").await, StatusCode::CONFLICT);
        lock.check().unwrap();
        tokio::time::sleep(ms(150)).await;
    }
    drop(lock);
    free_again(&locks, "a").await;
}

async fn a_lock_is_taken_once(locks: impl LockBackend + Clone) {
    let service = guarded(&layer(&locks), |guard| async move {
        let clone = guard.clone();
        let lock = guard.clone().into_owned().unwrap();
        let again = [guard.into_owned(), lock.clone().into_owned()];
        let kinds = again.map(|again| again.unwrap_err().kind());
        assert_eq!(kinds, [LockErrorKind::NotOwned; 2]);
        clone.check().unwrap();
        drop(lock);
        clone.into_owned().unwrap_err().to_string()
    });
    let answer = send(&service, "a").await;
    assert_eq!(text(answer).await, "the lock was already released");
    free_again(&locks, "a").await;
}

async fn the_lock_of_a_layer_further_out_is_not_to_be_taken(locks: impl LockBackend + Clone) {
    let inner = layer(&locks);
    let handler = service_fn(|request: Request<()>| async move {
        let guard = request.extensions().get::<LockGuard>().unwrap().clone();
        let error = guard.clone().into_owned().unwrap_err();
        assert_eq!(error.kind(), LockErrorKind::NotOwned);
        guard.check().unwrap();
        Ok::<_, Infallible>(Response::new(http_body_util::Full::new(Bytes::new())))
    });
    let service = layer(&locks).layer(inner.layer(handler));
    let answer = service.oneshot(request("a")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    free_again(&locks, "a").await;
}

async fn what_was_let_go_cannot_be_taken(locks: impl LockBackend + Clone) {
    let kept = Arc::new(Mutex::new(None));
    let slot = kept.clone();
    let service = guarded(&layer(&locks), move |guard| {
        *slot.lock().unwrap() = Some(guard);
        async { String::new() }
    });
    assert_eq!(status(&service, "a").await, StatusCode::OK);
    let guard = kept.lock().unwrap().take().unwrap();
    let error = guard.into_owned().unwrap_err();
    assert_eq!(error.kind(), LockErrorKind::Released);
}

async fn a_lock_taken_out_is_held_no_longer_than_it_may_be(locks: impl LockBackend + Clone) {
    let lock = take(&layer(&locks).with_max_hold(ms(300)).unwrap()).await;
    lock.lost().await;
    assert_eq!(lock.check().unwrap_err().kind(), LockErrorKind::Lost);
    free_again(&locks, "a").await;
}

/// Whether the lock is still held when its body has streamed for a while.
async fn held_after(seconds: u64, layer: LockLayer, take: bool) -> bool {
    let kept = Arc::new(Mutex::new(None));
    let slot = kept.clone();
    let inner = service_fn(move |request: Request<()>| {
        let guard = request.extensions().get::<LockGuard>().unwrap().clone();
        let owned = take.then(|| guard.clone().into_owned().unwrap());
        *slot.lock().unwrap() = Some((guard, owned));
        let never = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        async move { Ok::<_, Infallible>(Response::new(StreamBody::new(never))) }
    });
    let answer = layer.layer(inner).oneshot(request("a")).await.unwrap();
    tokio::time::sleep(ms(seconds * 1_000)).await;
    let (guard, _owned) = kept.lock().unwrap().take().unwrap();
    let held = guard.check().is_ok();
    drop(answer);
    held
}

#[tokio::test(start_paused = true)]
async fn a_streaming_body_keeps_its_lock_for_as_long_as_it_may() {
    let layer = || layer(&MemoryLocks::new());
    let capped = |seconds: u64| layer().with_max_hold(ms(seconds * 1_000)).unwrap();
    for (layer, seconds, take, expected) in [
        (layer(), 59, false, true),
        (layer(), 61, false, false),
        (capped(5), 4, false, true),
        (capped(5), 6, false, false),
        (capped(600), 599, false, true),
        (capped(600), 601, false, false),
        // Taken out, it is no longer the body's.
        (layer(), 3_600, true, true),
        (capped(5), 6, true, false),
    ] {
        let held = held_after(seconds, layer, take).await;
        assert_eq!(held, expected, "after {seconds} s");
    }
}
