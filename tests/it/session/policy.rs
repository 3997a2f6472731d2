//! What becomes of requests that cannot have their session.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower_handoff::session::{
    CommitOutcome, Session, SessionErrorKind, SessionExpiry, SessionLayer, Undecodable,
};

use super::support::{Store, on_both, read, request, visit};
use crate::support::evidence::oneshot;

const OK: StatusCode = StatusCode::OK;

#[tokio::test]
async fn a_handler_that_can_do_without_is_not_failed_by_the_store() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let cookie = visit(&layer, "", "user", "ada").await;
        store.set_away(true);
        let answer = request(&layer, &cookie, async |session| {
            assert!(session.optional().await.is_none());
            OK
        })
        .await;
        assert_eq!((answer.status, answer.outcome), (OK, None));
        assert_eq!((answer.refusal, answer.set_cookie()), (None, None));
        let answer = request(&layer, "", async |session| {
            // Who has no cookie has no session, and that is known.
            let session = session.optional().await.unwrap();
            session.set("user", "eve").unwrap();
            OK
        })
        .await;
        assert_eq!(answer.status, OK);
        assert_eq!((answer.refusal, answer.set_cookie()), (None, None));
        store.set_away(false);
        let answer = request(&layer, &cookie, async |session| {
            let session = session.optional().await.unwrap();
            let user = session.get::<String>("user").await.unwrap();
            assert_eq!(user.as_deref(), Some("ada"), "never overwritten");
            store.set_away(true);
            session.set("user", "eve").unwrap();
            OK
        })
        .await;
        store.set_away(false);
        assert_eq!(answer.outcome, Some(CommitOutcome::Unavailable));
        assert_eq!(read(&layer, &cookie, "user").await.as_deref(), Some("ada"));
    })
    .await;
}

#[tokio::test]
async fn too_large_stays_too_large_for_optional_sessions() {
    let layer = SessionLayer::new(Store::memory());
    let answer = request(&layer, "", async |session: Session| {
        session.optional().await.unwrap();
        for name in ["a", "b", "c"] {
            session.set(name, &"x".repeat(8_000)).unwrap();
        }
        OK
    })
    .await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

/// Something that only a required session can do, by number.
fn require(session: &Session, number: u8) {
    match number {
        0 => session.bind("ada").unwrap(),
        1 => session.unbind().unwrap(),
        2 => session.rotate().unwrap(),
        3 => session.set_expiry(SessionExpiry::default()).unwrap(),
        _ => session.set_persistent(true).unwrap(),
    }
}

#[tokio::test]
async fn a_login_is_never_optional() {
    let store = Store::memory();
    let layer = SessionLayer::new(store.clone());
    let known = visit(&layer, "", "user", "ada").await;
    for number in 0..5 {
        for cookie in ["", &known] {
            let answer = request(&layer, cookie, async |session| {
                let session = session.optional().await.unwrap();
                session.set("seen", "1").unwrap();
                require(&session, number);
                store.set_away(true);
                OK
            })
            .await;
            store.set_away(false);
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{number}");
            assert_eq!(answer.set_cookie(), None);
        }
    }
    assert_eq!(read(&layer, &known, "user").await.as_deref(), Some("ada"));
}

#[tokio::test]
async fn who_can_do_without_does_not_speak_for_who_cannot() {
    let store = Store::memory();
    let layer = SessionLayer::new(store.clone());
    let cookie = visit(&layer, "", "user", "ada").await;
    // A middleware counts visits where it can; the handler behind it needs its session.
    for (middleware, handler, status) in [
        (true, true, StatusCode::SERVICE_UNAVAILABLE),
        (false, true, StatusCode::SERVICE_UNAVAILABLE),
        (true, false, OK),
    ] {
        let answer = request(&layer, &cookie, async |session| {
            let optional = session.optional().await.unwrap();
            if middleware {
                optional.set("seen", "1").unwrap();
            }
            if handler {
                session.set("cart", "1").unwrap();
            }
            store.set_away(true);
            OK
        })
        .await;
        store.set_away(false);
        assert_eq!(answer.status, status, "{middleware} {handler}");
    }
}

#[tokio::test]
async fn retry_after_is_spread() {
    let store = Store::memory();
    let layer = SessionLayer::new(store.clone());
    store.set_away(true);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let answer = request(&layer, "", async |session| {
            session.set("user", "eve").unwrap();
            OK
        })
        .await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let after = answer.headers["retry-after"].to_str().unwrap().to_owned();
        seen.insert(after.parse::<u64>().unwrap());
    }
    assert!(seen.iter().all(|after| (2..=4).contains(after)), "{seen:?}");
    assert!(seen.len() > 1, "all come back at once: {seen:?}");
}

#[tokio::test]
async fn axum_handlers_take_an_optional_session() {
    async fn home(session: Option<Session>) -> String {
        match session {
            None => "away".to_owned(),
            Some(session) => match session.get::<String>("user").await {
                Ok(user) => user.unwrap_or_else(|| "nobody".to_owned()),
                Err(error) => error.to_string(),
            },
        }
    }
    let ask = async |app: &Router, cookie: &str| {
        let request = Request::builder().uri("/").header("cookie", cookie);
        let request = request.body(Body::empty()).unwrap();
        let response = oneshot(app.clone(), request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    let store = Store::memory();
    let layer = SessionLayer::new(store.clone());
    let cookie = visit(&layer, "", "user", "ada").await;
    let routes = Router::new().route("/", get(home));
    let app = routes.clone().layer(layer);
    assert_eq!(ask(&app, &cookie).await, (OK, "ada".to_owned()));
    assert_eq!(ask(&app, "").await, (OK, "nobody".to_owned()));
    store.set_away(true);
    assert_eq!(ask(&app, &cookie).await, (OK, "away".to_owned()));
    assert_eq!(ask(&app, "").await, (OK, "nobody".to_owned()));
    let (status, text) = ask(&routes, "").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text.contains("SessionLayer"), "a missing layer is named");
}

#[tokio::test]
async fn an_undecodable_field_is_passed_over_and_kept() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let cookie = visit(&layer, "", "n", "text").await;
        let answer = request(&layer, &cookie, async |session| {
            assert_eq!(session.get::<u64>("n").await.unwrap(), None);
            // Neither does an update remove what it has not seen.
            let same = session.update("n", |n: Option<u64>| n);
            assert_eq!(same.await.unwrap(), None);
            OK
        })
        .await;
        assert_eq!(answer.status, OK);
        assert_eq!(read(&layer, &cookie, "n").await.as_deref(), Some("text"));
        let strict = layer.clone().with_undecodable(Undecodable::Error);
        request(&strict, &cookie, async |session| {
            let error = session.get::<u64>("n").await.unwrap_err();
            assert_eq!(error.kind(), SessionErrorKind::Decode);
            OK
        })
        .await;
        request(&layer, &cookie, async |session| {
            let first = |n: Option<u64>| Some(n.unwrap_or(0) + 1);
            assert_eq!(session.update("n", first).await.unwrap(), Some(1));
            OK
        })
        .await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_fails_no_request() {
    let second = std::time::Duration::from_secs(1);
    let expiry = SessionExpiry::new(30 * second, 60 * second).unwrap();
    let store = Store::memory();
    let layer = SessionLayer::new(store.clone()).with_expiry(expiry);
    let cookie = visit(&layer, "", "user", "ada").await;
    tokio::time::advance(10 * second).await;
    let answer = request(&layer, &cookie, async |session: Session| {
        assert!(session.exists().await.unwrap());
        // The load was the last that the store answered.
        store.set_away(true);
        tokio::task::yield_now().await;
        OK
    })
    .await;
    tokio::task::yield_now().await;
    assert_eq!((answer.status, store.renewed()), (OK, 1));
    store.set_away(false);
    assert_eq!(read(&layer, &cookie, "user").await.as_deref(), Some("ada"));
}
