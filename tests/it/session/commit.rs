//! When what a handler set is written, and when it is not.

use http::StatusCode;
use tower_handoff::Reason;
use tower_handoff::session::{
    CommitOutcome, Session, SessionErrorKind, SessionLayer, SessionLimits,
};

use super::support::{Store, on_both, read, request, visit};

const OK: StatusCode = StatusCode::OK;

#[tokio::test]
async fn a_5xx_discards_what_was_set_and_keeps_what_acted_at_its_await() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let cookie = visit(&layer, "", "user", "ada").await;
        let answer = request(&layer, &cookie, async |session| {
            session.set("user", "eve").unwrap();
            session.rotate().unwrap();
            StatusCode::BAD_GATEWAY
        })
        .await;
        assert_eq!(answer.outcome, Some(CommitOutcome::Discarded));
        assert_eq!(answer.set_cookie(), None);
        assert_eq!(read(&layer, &cookie, "user").await.as_deref(), Some("ada"));
        store.asked();
        let answer = request(&layer, &cookie, async |_| StatusCode::BAD_GATEWAY).await;
        assert_eq!((answer.outcome, store.asked()), (None, 0));
        let answer = request(&layer, "", async |session| {
            session.increment("n", 1).await.unwrap();
            session.set("lost", "1").unwrap();
            StatusCode::BAD_GATEWAY
        })
        .await;
        let fresh = answer.token();
        assert_eq!(read(&layer, &fresh, "lost").await, None);
        let answer = request(&layer, &fresh, async |session| {
            assert_eq!(session.increment("n", 1).await.unwrap(), 2);
            session.destroy().await.unwrap();
            StatusCode::BAD_GATEWAY
        })
        .await;
        assert!(answer.is_removal());
    })
    .await;
}

#[tokio::test]
async fn a_4xx_commits_unless_the_predicate_says_otherwise() {
    let store = Store::memory();
    let layer = SessionLayer::new(store);
    let bad = async |layer: &SessionLayer, cookie: &str| {
        request(layer, cookie, async |session| {
            session.set("user", "eve").unwrap();
            StatusCode::BAD_REQUEST
        })
        .await
        .outcome
    };
    let cookie = visit(&layer, "", "user", "ada").await;
    let strict = layer.clone().with_commit_when(|status| status.is_success());
    assert_eq!(bad(&strict, &cookie).await, Some(CommitOutcome::Discarded));
    assert_eq!(read(&layer, &cookie, "user").await.as_deref(), Some("ada"));
    assert_eq!(bad(&layer, &cookie).await, Some(CommitOutcome::Written));
    assert_eq!(read(&layer, &cookie, "user").await.as_deref(), Some("eve"));
}

#[tokio::test]
async fn a_panic_writes_nothing_and_seals_the_handle() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let cookie = visit(&layer, "", "user", "ada").await;
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (in_task, of_task) = (layer.clone(), cookie.clone());
        let task = tokio::spawn(async move {
            request(&in_task, &of_task, move |session: Session| async move {
                session.set("user", "eve").unwrap();
                session.increment("n", 1).await.unwrap();
                session.set("user", "eva").unwrap();
                assert!(sender.send(session).is_ok());
                panic!("the handler's own fault");
            })
            .await
        });
        assert!(task.await.unwrap_err().is_panic());
        let session = receiver.await.unwrap();
        assert_eq!(
            session.rotate().unwrap_err().kind(),
            SessionErrorKind::Sealed
        );
        // The increment carried the first set along, and is not undone.
        assert_eq!(read(&layer, &cookie, "user").await.as_deref(), Some("eve"));
    })
    .await;
}

#[tokio::test]
async fn after_the_response_every_write_is_an_error_and_reads_go_on() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let cookie = visit(&layer, "", "user", "ada").await;
        let mut kept = None;
        request(&layer, &cookie, async |session| {
            kept = Some(session);
            OK
        })
        .await;
        let session = kept.unwrap();
        let sealed = SessionErrorKind::Sealed;
        assert_eq!(session.set("a", "1").unwrap_err().kind(), sealed);
        assert_eq!(session.remove("a").unwrap_err().kind(), sealed);
        assert_eq!(session.remove("").unwrap_err().kind(), sealed);
        assert_eq!(session.rotate().unwrap_err().kind(), sealed);
        assert_eq!(session.increment("n", 1).await.unwrap_err().kind(), sealed);
        assert_eq!(session.destroy().await.unwrap_err().kind(), sealed);
        let update = session.update("a", |a: Option<u8>| a).await;
        assert_eq!(update.unwrap_err().kind(), sealed);
        let user: Option<String> = session.get("user").await.unwrap();
        assert_eq!(user.as_deref(), Some("ada"));
    })
    .await;
}

#[tokio::test]
async fn a_session_over_its_limit_answers_413_and_stays_as_it_was() {
    on_both(async |store: Store| {
        let limits = SessionLimits::new(100, 150).unwrap();
        let layer = SessionLayer::new(store).with_limits(limits);
        let cookie = visit(&layer, "", "a", &"x".repeat(90)).await;
        let fill = async |cookie: &str, reads_first: bool| {
            request(&layer, cookie, async |session: Session| {
                if reads_first {
                    session.exists().await.unwrap();
                }
                session.set("b", &"y".repeat(90)).unwrap();
                session.set("c", &"y".repeat(90)).unwrap();
                OK
            })
            .await
        };
        for (cookie, reads_first) in [(&*cookie, false), (&cookie, true), ("", false)] {
            let answer = fill(cookie, reads_first).await;
            assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(answer.refusal.unwrap().reason, Reason::SessionTooLarge);
            assert_eq!(answer.set_cookie(), None);
        }
        request(&layer, &cookie, async |session| {
            assert_eq!(session.fields().await.unwrap().len(), 1);
            session.set("b", &"y".repeat(90)).unwrap();
            let error = session.increment("n", 1).await.unwrap_err();
            assert_eq!(error.kind(), SessionErrorKind::TooLarge);
            session.remove("b").unwrap();
            OK
        })
        .await;
        // A stricter limit still lets a session shrink.
        let strict = layer.with_limits(SessionLimits::new(100, 5).unwrap());
        let answer = request(&strict, &cookie, async |session| {
            session.set("a", "x").unwrap();
            OK
        })
        .await;
        assert_eq!(answer.outcome, Some(CommitOutcome::Written));
    })
    .await;
}

#[tokio::test]
async fn a_store_that_is_away_at_the_commit_answers_503_and_leaves_the_session() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let cookie = visit(&layer, "", "user", "ada").await;
        for cookie in [&*cookie, ""] {
            store.set_away(true);
            let answer = request(&layer, cookie, async |session| {
                session.set("user", "eve").unwrap();
                OK
            })
            .await;
            store.set_away(false);
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            let refusal = answer.refusal.unwrap();
            assert_eq!(refusal.reason, Reason::SessionUnavailable);
            assert!(answer.headers.contains_key("retry-after"));
            assert_eq!(answer.set_cookie(), None);
        }
        assert_eq!(read(&layer, &cookie, "user").await.as_deref(), Some("ada"));
    })
    .await;
}

#[tokio::test]
async fn a_store_that_is_away_is_never_an_empty_session() {
    let store = Store::memory();
    let layer = SessionLayer::new(store.clone());
    let cookie = visit(&layer, "", "user", "ada").await;
    store.set_away(true);
    let answer = request(&layer, &cookie, async |session| {
        let error = session.get::<String>("user").await.unwrap_err();
        assert_eq!(error.kind(), SessionErrorKind::Unavailable);
        let error = session.destroy().await.unwrap_err();
        assert_eq!(error.kind(), SessionErrorKind::Unavailable);
        store.set_away(false);
        let user = session.get::<String>("user").await.unwrap();
        assert_eq!(user.as_deref(), Some("ada"), "asked again, it answers");
        OK
    })
    .await;
    assert_eq!(answer.set_cookie(), None);
    store.set_away(true);
    request(&layer, "", async |session| {
        assert_eq!(session.get::<String>("user").await.unwrap(), None);
        OK
    })
    .await;
}
