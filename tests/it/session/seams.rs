//! Logins together with what else acts on a session: saves, detached handles, headers, writes at
//! their await.

use std::time::Duration;

use http::{Request, StatusCode};
use tower::{Layer, service_fn};
use tower_handoff::session::{
    CommitOutcome, Fault, FaultySessions, Session, SessionErrorKind, SessionExpiry, SessionHeader,
    SessionLayer, Users,
};

use super::support::{Store, on_both, request, visit};
use crate::support::evidence::oneshot;

const OK: StatusCode = StatusCode::OK;

fn month() -> SessionExpiry {
    let day = Duration::from_secs(24 * 60 * 60);
    SessionExpiry::new(15 * day, 30 * day).unwrap()
}

#[tokio::test]
async fn a_login_that_is_saved_is_settled_once() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        for begun in [false, true] {
            let cookie = match begun {
                true => visit(&layer, "", "cart", "1").await,
                false => String::new(),
            };
            store.asked();
            let mut detached = None;
            let answer = request(&layer, &cookie, async |session| {
                session.bind("ada").unwrap();
                session.set_expiry(month()).unwrap();
                session.set_persistent(true).unwrap();
                detached = session.detach().await.unwrap();
                OK
            })
            .await;
            assert_eq!(store.asked(), 1, "begun: {begun}");
            assert_eq!(answer.outcome, None, "nothing left to commit");
            let text = answer.headers["set-cookie"].to_str().unwrap();
            assert!(text.contains("Max-Age=2592000"), "{text}");
            let detached = detached.unwrap();
            assert_eq!(detached.user().await.unwrap().as_deref(), Some("ada"));
            detached.set("heard", "1").unwrap();
            detached.commit().await.unwrap();
            let sealed = [
                detached.bind("eve"),
                detached.unbind(),
                detached.rotate(),
                detached.set_expiry(month()),
                detached.set_persistent(false),
                detached.set_label("x"),
            ];
            for result in sealed {
                assert_eq!(result.unwrap_err().kind(), SessionErrorKind::Sealed);
            }
            let after = request(&layer, &answer.token(), async |session| {
                assert_eq!(session.user().await.unwrap().as_deref(), Some("ada"));
                OK
            })
            .await;
            assert!(after.set_cookie().is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn a_write_at_its_await_goes_before_the_login_and_stays_without_it() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let users = Users::new(store.clone());
        for status in [OK, StatusCode::BAD_GATEWAY] {
            let old = visit(&layer, "", "cart", "1").await;
            for cookie in ["", &old] {
                let answer = request(&layer, cookie, async |session| {
                    session.bind("ada").unwrap();
                    assert_eq!(session.increment("n", 1).await.unwrap(), 1);
                    status
                })
                .await;
                let logged_in = status == OK;
                let outcome = match logged_in {
                    true => CommitOutcome::Written,
                    false => CommitOutcome::Discarded,
                };
                assert_eq!(answer.outcome, Some(outcome));
                let now = answer.set_cookie();
                assert_eq!(now.is_some(), logged_in || cookie.is_empty());
                let now = now.unwrap_or_else(|| cookie.to_owned());
                request(&layer, &now, async |session| {
                    assert_eq!(session.get::<i64>("n").await.unwrap(), Some(1));
                    assert_eq!(session.user().await.unwrap().is_some(), logged_in);
                    OK
                })
                .await;
            }
            let listed = users.sessions("ada").await.unwrap().len();
            assert_eq!(listed, 2, "none more after the 5xx");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_said_during_a_save_is_not_lost() {
    let store = FaultySessions::new(Store::memory());
    let layer = SessionLayer::new(store.clone());
    for begun in [false, true] {
        let cookie = match begun {
            true => visit(&layer, "", "cart", "1").await,
            false => String::new(),
        };
        let answer = request(&layer, &cookie, async |session: Session| {
            session.set("cart", "2").unwrap();
            store.fail(Fault::Slow(Duration::from_secs(1)));
            let (saved, bound) = tokio::join!(session.save(), async { session.bind("ada") });
            store.heal();
            saved.unwrap();
            bound.unwrap();
            OK
        })
        .await;
        assert_eq!(answer.outcome, Some(CommitOutcome::Written));
        request(&layer, &answer.token(), async |session| {
            assert_eq!(session.user().await.unwrap().as_deref(), Some("ada"));
            OK
        })
        .await;
    }
}

#[tokio::test]
async fn a_login_before_a_destroy_is_forgotten_with_it() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let cookie = visit(&layer, "", "cart", "1").await;
        let answer = request(&layer, &cookie, async |session| {
            session.bind("ada").unwrap();
            assert!(session.destroy().await.unwrap());
            OK
        })
        .await;
        assert!(answer.is_removal());
        assert_eq!(answer.outcome, None);
        assert!(Users::new(store).sessions("ada").await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_header_goes_out_with_a_login_and_not_with_new_clocks() {
    let header = SessionHeader::new("x-session").unwrap();
    let layer = SessionLayer::new(Store::memory()).with_header(header);
    let send = async |token: &str, login: bool| {
        let service = layer.layer(service_fn(move |request: Request<()>| async move {
            let session = Session::from_extensions(request.extensions()).unwrap();
            match login {
                true => session.bind("ada").unwrap(),
                false => session.set_expiry(month()).unwrap(),
            }
            Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::<
                bytes::Bytes,
            >::default()))
        }));
        let request = Request::builder().header("x-session", token);
        let answer = oneshot(service, request.body(()).unwrap()).await.unwrap();
        let outcome = answer.extensions().get::<CommitOutcome>().copied();
        assert_eq!(outcome, Some(CommitOutcome::Written));
        let token = answer.headers().get("x-session");
        token.map(|token| token.to_str().unwrap().to_owned())
    };
    let token = send("", true).await.unwrap();
    assert_eq!(send(&token, false).await, None);
    assert_ne!(send(&token, true).await.unwrap(), token);
}
