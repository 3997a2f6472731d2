//! Several keys at once: all of them or none.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service as _, ServiceExt, service_fn};
use tower_handoff::lock::key::{self, KeyFrom};
use tower_handoff::lock::{
    LockBackend, LockErrorKind, LockGuard, LockKey, LockKeys, LockLayer, Locks, MemoryLocks, OnLost,
};
use tower_handoff::{Reason, Refusal};

use super::rig::{Service, free_again, guarded, key, layer, ms, on_both, poll_times, text};
use crate::support::eventually::eventually;

mod limits;
mod losses;

on_both!(
    each_key_is_held_and_has_its_fence,
    all_or_none,
    a_request_dropped_at_any_await_leaves_none,
    opposite_orders_do_not_wait_for_each_other,
    what_a_layer_further_out_holds_is_held_already,
    all_are_taken_out_together,
    several_keys_for_code_that_is_no_request,
);

/// The layer whose keys are the headers `x-lock` and `x-other`.
fn both(locks: &(impl LockBackend + Clone)) -> LockLayer {
    let header = |name| key::header(HeaderName::from_static(name));
    LockLayer::new(locks.clone(), header("x-other").and(header("x-lock")))
}

fn other(name: &str) -> LockKey {
    LockKey::new(format!("x-other:{name}")).unwrap()
}

fn request(name: &str, other: &str) -> Request<()> {
    let request = Request::post("/").header("x-lock", name);
    request.header("x-other", other).body(()).unwrap()
}

async fn ask(service: &Service, name: &str, other: &str) -> super::rig::Answer {
    let request = request(name, other);
    service.clone().oneshot(request).await.unwrap()
}

fn keys(names: [&str; 2]) -> LockKeys {
    LockKeys::new(names.map(key)).unwrap()
}

async fn each_key_is_held_and_has_its_fence(locks: impl LockBackend + Clone) {
    let held = locks.held();
    let service = guarded(&both(&locks), move |guard| {
        assert_eq!(held.names(), [key("a"), other("b")]);
        let fences: Vec<_> = guard.guards().map(|guard| guard.fence()).collect();
        assert_eq!(guard.key(), &key("a"));
        assert_eq!(guard.fence(), fences[0]);
        assert_eq!(guard.get(&other("b")).unwrap().fence(), fences[1]);
        assert!(guard.get(&key("b")).is_none());
        guard.check().unwrap();
        let part = guard.get(&key("a")).unwrap();
        async move {
            let refused = part.clone().into_owned().unwrap_err().kind();
            assert_eq!(refused, LockErrorKind::NotOwned);
            // One that it lets go itself is not lost, and the others stay.
            part.release().await;
            assert_eq!(guard.check().unwrap_err().kind(), LockErrorKind::Released);
            guard.get(&other("b")).unwrap().check().unwrap();
            guard.lost().await;
            format!("{fences:?}")
        }
    });
    let first = text(ask(&service, "a", "b").await).await;
    let second = text(ask(&service, "a", "b").await).await;
    assert_ne!(first, second);
    for layer in [both(&locks), both(&locks).with_on_lost(OnLost::Stop)] {
        let service = guarded(&layer, |guard| async move {
            guard.release().await;
            String::new()
        });
        assert_eq!(ask(&service, "a", "b").await.status(), StatusCode::OK);
    }
    free_again(&locks, "a").await;
    assert!(Locks::new(locks).acquire(other("b")).await.is_ok());
}

async fn all_or_none(locks: impl LockBackend + Clone) {
    let handle = Locks::new(locks.clone());
    let service = guarded(&both(&locks).with_try(), |_| async { String::new() });
    let patient = guarded(&both(&locks).with_wait(ms(200)).unwrap(), |_| async {
        String::new()
    });
    for busy in [key("a"), other("a")] {
        let holder = handle.acquire(&busy).await.unwrap();
        for service in [&service, &patient] {
            let answer = ask(service, "a", "a").await;
            let reason = answer.extensions().get::<Refusal>().unwrap().reason;
            assert_eq!(reason, Reason::LockBusy);
        }
        eventually("only what somebody else holds is held", async || {
            locks.held().names() == [busy.clone()]
        })
        .await;
        holder.release().await;
    }
    assert_eq!(ask(&patient, "a", "a").await.status(), StatusCode::OK);
    let missing = Request::post("/").header("x-lock", "a").body(()).unwrap();
    let answer = service.clone().oneshot(missing).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

async fn a_request_dropped_at_any_await_leaves_none(locks: impl LockBackend + Clone) {
    let handle = Locks::new(locks.clone());
    for busy in [None, Some(key("a")), Some(other("a"))] {
        for polls in 0..14 {
            let holder = match &busy {
                Some(busy) => Some(handle.acquire(busy).await.unwrap()),
                None => None,
            };
            let mut service = guarded(&both(&locks), |_| std::future::pending());
            poll_times(polls, service.call(request("a", "a"))).await;
            drop(holder);
            eventually("both are free", async || {
                let both = LockKeys::new([key("a"), other("a")]).unwrap();
                handle.try_acquire(both).await.is_ok()
            })
            .await;
        }
    }
}

async fn opposite_orders_do_not_wait_for_each_other(locks: impl LockBackend + Clone) {
    let handle = Locks::new(locks).with_wait(ms(60_000)).unwrap();
    let tasks: Vec<_> = [["a", "b"], ["b", "a"], ["b", "c"], ["c", "a"]]
        .into_iter()
        .map(|names| {
            let handle = handle.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    let lock = handle.acquire(keys(names)).await.unwrap();
                    tokio::task::yield_now().await;
                    lock.check().unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(ms(50_000), task)
            .await
            .expect("nobody waits in a circle")
            .unwrap();
    }
}

async fn what_a_layer_further_out_holds_is_held_already(locks: impl LockBackend + Clone) {
    let held = locks.held();
    let handler = service_fn(move |request: Request<()>| {
        assert_eq!(held.names(), [key("a"), other("b")]);
        let guard = request.extensions().get::<LockGuard>().unwrap().clone();
        async move {
            guard.check().unwrap();
            let error = guard.clone().into_owned().unwrap_err();
            assert_eq!(error.kind(), LockErrorKind::NotOwned);
            let fence = guard.get(&key("a")).unwrap().fence();
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(fence.to_string()))))
        }
    });
    let inner = both(&locks).with_try().layer(handler);
    let held = locks.held();
    let between = service_fn(move |request: Request<()>| {
        let (inner, held) = (inner.clone(), held.clone());
        async move {
            let fence = request.extensions().get::<LockGuard>().unwrap().fence();
            let answer = inner.oneshot(request).await?;
            eventually("what the inner one took is let go", async || {
                held.names() == [key("a")]
            })
            .await;
            let seen = text_of(answer).await;
            assert_eq!(seen, fence.to_string());
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(seen))))
        }
    });
    let service = layer(&locks).layer(between);
    let answer = service.oneshot(request("a", "b")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    free_again(&locks, "a").await;
}

async fn text_of<B: http_body::Body<Error = Infallible>>(answer: Response<B>) -> String {
    use http_body_util::BodyExt;
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn all_are_taken_out_together(locks: impl LockBackend + Clone) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let service = guarded(&both(&locks), move |guard| {
        sender.send(guard.into_owned().unwrap()).unwrap();
        async { String::new() }
    });
    assert_eq!(ask(&service, "a", "b").await.status(), StatusCode::OK);
    let lock = receiver.recv().await.unwrap();
    lock.check().unwrap();
    assert_eq!(locks.held().names(), [key("a"), other("b")]);
    drop(lock);
    free_again(&locks, "a").await;
    assert!(Locks::new(locks).acquire(other("b")).await.is_ok());
}

async fn several_keys_for_code_that_is_no_request(locks: impl LockBackend + Clone) {
    let handle = Locks::new(locks.clone());
    let lock = handle.acquire(keys(["b", "a"])).await.unwrap();
    assert_eq!(locks.held().names(), [key("a"), key("b")]);
    let busy = handle.try_acquire(keys(["b", "c"])).await.unwrap_err();
    assert_eq!(busy.kind(), LockErrorKind::Busy);
    lock.release().await;
    let both = handle.with(
        keys(["b", "c"]),
        |lock| async move { lock.guards().count() },
    );
    assert_eq!(both.await.unwrap(), 2);
}

/// Both keys come free, one after the other, and the second one too late.
#[tokio::test(start_paused = true)]
async fn all_keys_share_one_wait() {
    let locks = MemoryLocks::new();
    let handle = Locks::new(locks.clone());
    let (a, b) = tokio::join!(handle.acquire(key("a")), handle.acquire(key("b")));
    let begun = tokio::time::Instant::now();
    let impatient = handle.clone().with_wait(ms(5_000)).unwrap();
    let waiter = tokio::spawn(async move { impatient.acquire(keys(["a", "b"])).await.map(drop) });
    tokio::time::sleep(ms(4_000)).await;
    drop(a);
    let error = waiter.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), LockErrorKind::Busy);
    assert!(begun.elapsed() < ms(5_100), "{:?}", begun.elapsed());
    drop(b);
    assert!(handle.try_acquire(keys(["a", "b"])).await.is_ok());
}
