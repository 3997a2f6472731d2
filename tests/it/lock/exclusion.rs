//! One at a time, in order, under a growing fence.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, StatusCode};
use tower::{Layer, ServiceExt, service_fn};
use tower_handoff::lock::{
    Acquired, Claim, LeaseTime, LockBackend, LockGuard, LockKey, ReleaseOutcome,
};

use super::rig::{Service, fencing, guarded, layer, ms, on_both, request, send, status, text};
use crate::support::eventually::eventually;

on_both!(
    many_tasks_never_overlap_and_fences_grow,
    different_keys_do_not_wait_for_each_other,
    a_lock_within_a_lock_on_the_same_key_goes_on_under_it,
    a_handler_can_let_go_early,
    safe_methods_pass_unguarded_unless_asked_for,
    a_panic_frees_the_key,
    an_error_of_the_handler_frees_the_key,
    waiting_for_ever_is_no_panic,
);

async fn many_tasks_never_overlap_and_fences_grow(locks: impl LockBackend + Clone) {
    let inside = Arc::new(AtomicUsize::new(0));
    let fences = Arc::new(Mutex::new(Vec::new()));
    let service = {
        let (inside, fences) = (inside.clone(), fences.clone());
        guarded(
            &layer(&locks).with_wait(ms(60_000)).unwrap(),
            move |guard| {
                let (inside, fences) = (inside.clone(), fences.clone());
                async move {
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at a time");
                    fences.lock().unwrap().push(guard.fence());
                    tokio::task::yield_now().await;
                    tokio::time::sleep(ms(1)).await;
                    assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                    String::new()
                }
            },
        )
    };
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move {
                for _ in 0..5 {
                    assert_eq!(status(&service, "a").await, StatusCode::OK);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let fences = fences.lock().unwrap();
    assert_eq!(fences.len(), 80);
    assert!(fences.is_sorted_by(|a, b| a < b), "{fences:?}");
}

async fn different_keys_do_not_wait_for_each_other(locks: impl LockBackend + Clone) {
    let _holder = super::rig::occupy(&locks, "a").await;
    let service = fencing(&layer(&locks).with_try());
    assert_eq!(status(&service, "a").await, StatusCode::CONFLICT);
    assert_eq!(status(&service, "A").await, StatusCode::OK);
}

async fn a_lock_within_a_lock_on_the_same_key_goes_on_under_it(locks: impl LockBackend + Clone) {
    let innermost = service_fn(|request: Request<()>| async move {
        let guard = request.extensions().get::<LockGuard>().unwrap();
        let answer = format!("{} {}", guard.key(), guard.fence());
        Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::new(
            bytes::Bytes::from(answer),
        )))
    });
    let other = tower_handoff::lock::LockKey::new("other").unwrap();
    let same = layer(&locks).with_try();
    let between = tower_handoff::lock::LockLayer::new(locks.clone(), other).with_try();
    // The same key twice, with another one in between.
    let service = same.layer(between.layer(same.layer(innermost)));
    let answer = service.oneshot(request("a")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    use http_body_util::BodyExt;
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(text.starts_with(b"x-lock:a "), "{text:?}");
    eventually("both are let go", async || locks.held().names().is_empty()).await;
}

async fn a_handler_can_let_go_early(locks: impl LockBackend + Clone) {
    let next = fencing(&layer(&locks));
    let layer = layer(&locks).with_on_lost(tower_handoff::lock::OnLost::Stop);
    let service = guarded(&layer, move |guard| {
        let next = next.clone();
        async move {
            assert_eq!(guard.release().await, ReleaseOutcome::Freed);
            assert_eq!(guard.release().await, ReleaseOutcome::AlreadyReleased);
            let error = guard.check().unwrap_err();
            assert_eq!(error.kind(), tower_handoff::lock::LockErrorKind::Released);
            guard.lost().await;
            assert!(guard.remaining().is_zero());
            status(&next, "a").await.to_string()
        }
    });
    let answer = send(&service, "a").await;
    assert_eq!(
        answer.status(),
        StatusCode::OK,
        "what it let go is not lost"
    );
    assert_eq!(text(answer).await, "200 OK");
}

async fn safe_methods_pass_unguarded_unless_asked_for(locks: impl LockBackend + Clone) {
    let guard = |request: &Request<()>| request.extensions().get::<LockGuard>().is_some();
    let inner = service_fn(move |request: Request<()>| async move {
        let text = guard(&request).to_string();
        Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::new(
            bytes::Bytes::from(text),
        )))
    });
    let usual = Service::new(layer(&locks).layer(inner));
    let gets = Service::new(layer(&locks).with_methods([Method::GET]).layer(inner));
    for (service, method, guarded) in [
        (&usual, Method::GET, false),
        (&usual, Method::HEAD, false),
        (&usual, Method::OPTIONS, false),
        (&usual, Method::TRACE, false),
        (&usual, Method::POST, true),
        (&usual, Method::DELETE, true),
        (&usual, Method::from_bytes(b"PURGE").unwrap(), true),
        (&gets, Method::GET, true),
        (&gets, Method::POST, false),
    ] {
        let mut request = request("a");
        *request.method_mut() = method.clone();
        let answer = service.clone().oneshot(request).await.unwrap();
        assert_eq!(text(answer).await, guarded.to_string(), "{method}");
    }
}

async fn a_panic_frees_the_key(locks: impl LockBackend + Clone) {
    let panicking = guarded(&layer(&locks), |_| async { panic!("on purpose") });
    let task = tokio::spawn(async move { status(&panicking, "a").await });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(status(&fencing(&layer(&locks)), "a").await, StatusCode::OK);
}

async fn an_error_of_the_handler_frees_the_key(locks: impl LockBackend + Clone) {
    let failing = service_fn(|_: Request<()>| async {
        Err::<http::Response<http_body_util::Full<bytes::Bytes>>, _>("on purpose")
    });
    let error = layer(&locks).layer(failing).oneshot(request("a")).await;
    assert_eq!(error.unwrap_err(), "on purpose");
    assert_eq!(status(&fencing(&layer(&locks)), "a").await, StatusCode::OK);
}

/// No layer waits so long, but whoever uses the port may.
async fn waiting_for_ever_is_no_panic(locks: impl LockBackend + Clone) {
    let key = LockKey::new("x-lock:a").unwrap();
    let claim = Claim::new(key, LeaseTime::DEFAULT);
    let holder = super::rig::occupy(&locks, "a").await;
    let waiter = {
        let (locks, claim) = (locks.clone(), claim.clone());
        tokio::spawn(async move { locks.acquire(&claim, Some(Duration::MAX)).await })
    };
    tokio::task::yield_now().await;
    holder.abort();
    let granted = waiter.await.unwrap().unwrap();
    assert!(matches!(granted, Acquired::Granted(_)), "{granted:?}");
    locks.release(&claim).await.unwrap();
}
