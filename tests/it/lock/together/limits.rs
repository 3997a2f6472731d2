//! How many keys a request may hold.

use http::{HeaderName, StatusCode};
use tower_handoff::lock::key::{self, KeyFrom, KeyFuture};
use tower_handoff::lock::{LockKey, LockKeys, LockLayer, MemoryLocks};
use tower_handoff::{Reason, Refusal};

use super::super::rig::{guarded, key, send, status, text};

/// As many keys as the request says.
struct Counted;

impl KeyFrom for Counted {
    fn key(&self, parts: &mut http::request::Parts) -> KeyFuture {
        let count = parts.headers["x-lock"].to_str().unwrap().parse().unwrap();
        KeyFuture::all((0..count).map(|number: u32| {
            let key = LockKey::bounded(format!("{}", number % 100));
            match number % 2 {
                0 => KeyFuture::ready(Ok(key)),
                _ => KeyFuture::waiting(async move {
                    tokio::task::yield_now().await;
                    Ok(key)
                }),
            }
        }))
    }
}

#[tokio::test]
async fn a_request_holds_no_more_than_sixteen_keys() {
    let layer = LockLayer::new(MemoryLocks::new(), Counted);
    let service = guarded(&layer, |guard| async move {
        let names: Vec<_> = guard.guards().map(|guard| guard.key().clone()).collect();
        assert!(names.is_sorted(), "{names:?}");
        names.len().to_string()
    });
    for (count, expected) in [("1", 1), ("16", 16)] {
        let answer = send(&service, count).await;
        assert_eq!(text(answer).await, expected.to_string());
    }
    for (count, reason) in [
        ("0", Reason::LockKeyMissing),
        ("17", Reason::LockTooManyKeys),
        ("100000", Reason::LockTooManyKeys),
    ] {
        let answer = send(&service, count).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert_eq!(answer.extensions().get::<Refusal>().unwrap().reason, reason);
    }
    let twice = key::header(HeaderName::from_static("x-lock"));
    let layer = LockLayer::new(MemoryLocks::new(), twice.clone().and(twice));
    let service = guarded(
        &layer,
        |guard| async move { guard.guards().count().to_string() },
    );
    assert_eq!(text(send(&service, "a").await).await, "1");
    assert_eq!(status(&service, "a").await, StatusCode::OK);
}

#[test]
fn too_many_keys_or_none_are_refused_with_what_is_accepted() {
    for count in [0, 17] {
        let error = LockKeys::new((0..count).map(|n| key(&n.to_string()))).unwrap_err();
        assert_eq!(error.accepted(), "1 to 16 different keys");
    }
    let many = (0..1_000).map(|n| key(&(n % 16).to_string()));
    assert_eq!(LockKeys::new(many).unwrap().as_slice().len(), 16);
}
