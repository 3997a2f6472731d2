//! A session that ended while a request was under way never comes back.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::sync::Barrier;
use tower_handoff::session::{CommitOutcome, Session, SessionErrorKind, SessionLayer};

use super::support::{Answer, Store, on_both, read, request, visit};

const OK: StatusCode = StatusCode::OK;

/// A slow request that looks at its session, lets `other` happen, and then does `last`.
async fn overtaken(
    layer: &SessionLayer,
    cookie: &str,
    other: impl AsyncFnOnce(),
    last: impl AsyncFnOnce(&Session),
) -> Answer {
    let loaded = &Arc::new(Barrier::new(2));
    let happened = &Arc::new(Barrier::new(2));
    let slow = request(layer, cookie, async |session: Session| {
        session.get::<String>("user").await.unwrap();
        loaded.wait().await;
        happened.wait().await;
        last(&session).await;
        OK
    });
    let fast = async {
        loaded.wait().await;
        other().await;
        happened.wait().await;
    };
    tokio::join!(slow, fast).0
}

async fn log_out(layer: &SessionLayer, cookie: &str) {
    let answer = request(layer, cookie, async |session| {
        assert!(session.destroy().await.unwrap());
        OK
    })
    .await;
    assert!(answer.is_removal());
}

async fn rotate(layer: &SessionLayer, cookie: &str) -> String {
    let answer = request(layer, cookie, async |session| {
        session.rotate().unwrap();
        OK
    })
    .await;
    answer.token()
}

#[tokio::test]
async fn write_through_operations_say_that_the_session_is_gone() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let cookie = visit(&layer, "", "user", "ada").await;
        let answer = overtaken(
            &layer,
            &cookie,
            async || log_out(&layer, &cookie).await,
            async |session| {
                let update = session.update("n", |n: Option<u8>| n.or(Some(1))).await;
                assert_eq!(update.unwrap_err().kind(), SessionErrorKind::Gone);
                assert_eq!(session.get::<String>("user").await.unwrap(), None);
                let increment = session.increment("n", 1).await;
                assert_eq!(increment.unwrap_err().kind(), SessionErrorKind::Gone);
                assert!(!session.exists().await.unwrap());
                assert!(!session.destroy().await.unwrap());
                assert_eq!(session.get::<String>("user").await.unwrap(), None);
            },
        )
        .await;
        assert_eq!(answer.set_cookie(), None);
    })
    .await;
}

#[tokio::test]
async fn a_slow_write_does_not_follow_a_rotation() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let old = visit(&layer, "", "user", "ada").await;
        let mut new = String::new();
        let answer = overtaken(
            &layer,
            &old,
            async || new = rotate(&layer, &old).await,
            async |session| {
                session.set("late", "1").unwrap();
            },
        )
        .await;
        assert_eq!(answer.outcome, Some(CommitOutcome::Gone));
        assert_eq!(answer.set_cookie(), None);
        assert_eq!(read(&layer, &new, "late").await, None);
        assert_eq!(read(&layer, &new, "user").await.as_deref(), Some("ada"));
    })
    .await;
}

#[tokio::test]
async fn a_late_blind_write_under_the_token_before_is_gone_and_takes_no_cookie_away() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let old = visit(&layer, "", "user", "ada").await;
        let new = rotate(&layer, &old).await;
        for reads_first in [false, true] {
            let answer = request(&layer, &old, async |session: Session| {
                if reads_first {
                    assert_eq!(session.get::<String>("user").await.unwrap(), None);
                }
                session.set("late", "1").unwrap();
                OK
            })
            .await;
            assert_eq!(answer.outcome, Some(CommitOutcome::Gone));
            assert_eq!(answer.set_cookie(), None);
        }
        let answer = request(&layer, &old, async |session| {
            let error = session.increment("n", 1).await.unwrap_err();
            assert_eq!(error.kind(), SessionErrorKind::Gone);
            assert!(!session.destroy().await.unwrap());
            OK
        })
        .await;
        assert_eq!(answer.set_cookie(), None);
        // A late logout that leaves a word of farewell.
        let answer = request(&layer, &old, async |session| {
            assert!(!session.destroy().await.unwrap());
            session.set("late", "bye").unwrap();
            OK
        })
        .await;
        assert_eq!(answer.outcome, Some(CommitOutcome::Gone));
        assert_eq!(answer.set_cookie(), None);
        assert_eq!(read(&layer, &new, "late").await, None);
        assert_eq!(read(&layer, &new, "user").await.as_deref(), Some("ada"));
    })
    .await;
}

#[tokio::test]
async fn a_token_that_names_no_session_is_never_adopted() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let stale = visit(&layer, "", "user", "ada").await;
        log_out(&layer, &stale).await;
        for reads_first in [false, true] {
            let answer = request(&layer, &stale, async |session: Session| {
                if reads_first {
                    assert!(!session.exists().await.unwrap());
                }
                session.set("user", "eve").unwrap();
                session.rotate().unwrap();
                OK
            })
            .await;
            let fresh = answer.token();
            assert_ne!(fresh[..30], stale[..30], "another public id");
            assert_eq!(read(&layer, &fresh, "user").await.as_deref(), Some("eve"));
        }
        assert_eq!(read(&layer, &stale, "user").await, None);
        let answer = request(&layer, &stale, async |session| {
            assert_eq!(session.increment("n", 1).await.unwrap(), 1);
            OK
        })
        .await;
        assert_ne!(answer.token()[..30], stale[..30]);
    })
    .await;
}

#[tokio::test]
async fn a_known_id_with_another_secret_opens_nothing() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let cookie = visit(&layer, "", "user", "ada").await;
        // The last character but one lies in the secret half.
        let other = if cookie.as_bytes()[cookie.len() - 2] == b'A' {
            "B"
        } else {
            "A"
        };
        let mut forged = cookie.clone();
        forged.replace_range(cookie.len() - 2..cookie.len() - 1, other);
        assert_eq!(read(&layer, &forged, "user").await, None);
        request(&layer, &forged, async |session| {
            assert!(!session.destroy().await.unwrap());
            OK
        })
        .await;
        assert_eq!(read(&layer, &cookie, "user").await.as_deref(), Some("ada"));
    })
    .await;
}

#[tokio::test]
async fn a_hook_may_answer_for_a_session_that_is_gone() {
    let layer = SessionLayer::new(Store::memory()).with_on_gone(|parts| {
        assert_eq!(parts.status, OK);
        let mut response = Response::new(Bytes::from_static(b"gone"));
        *response.status_mut() = StatusCode::CONFLICT;
        Some(response)
    });
    let old = visit(&layer, "", "user", "ada").await;
    rotate(&layer, &old).await;
    let answer = request(&layer, &old, async |session| {
        session.set("late", "1").unwrap();
        OK
    })
    .await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.outcome, Some(CommitOutcome::Gone));
    assert_eq!(answer.set_cookie(), None);
}
