//! Logins, logouts and rotations in combinations that a handler may not have meant.

use http::StatusCode;
use tower_handoff::session::{
    CommitOutcome, Session, SessionErrorKind, SessionExpiry, SessionLayer, Users,
};

use super::support::{Store, on_both, read, request, visit};

const OK: StatusCode = StatusCode::OK;

#[tokio::test]
async fn a_login_whose_session_ended_is_fresh_or_gone_and_never_the_old_one() {
    on_both(async |store: Store| {
        let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store));
        for reads_first in [false, true] {
            for ends_meanwhile in [false, true] {
                let cookie = visit(&layer, "", "cart", "1").await;
                let end = async || {
                    request(&layer, &cookie, async |session: Session| {
                        assert!(session.destroy().await.unwrap());
                        OK
                    })
                    .await
                };
                if !ends_meanwhile {
                    end().await;
                }
                let answer = request(&layer, &cookie, async |session: Session| {
                    if reads_first {
                        assert_eq!(session.exists().await.unwrap(), ends_meanwhile);
                    }
                    if ends_meanwhile {
                        end().await;
                    }
                    session.bind("ada").unwrap();
                    OK
                })
                .await;
                let gone = reads_first && ends_meanwhile;
                let outcome = match gone {
                    true => CommitOutcome::Gone,
                    false => CommitOutcome::Written,
                };
                assert_eq!(answer.outcome, Some(outcome));
                assert_eq!(answer.set_cookie().is_none(), gone);
                assert_eq!(read(&layer, &cookie, "cart").await, None);
                let ended = users.revoke_all("ada").await.unwrap();
                assert_eq!(ended, u64::from(!gone), "nobody is logged in by halves");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn of_two_users_in_one_request_the_last_one_is_logged_in_and_no_other() {
    on_both(async |store: Store| {
        let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store));
        for saves in [false, true] {
            for begun in [false, true] {
                let cookie = match begun {
                    true => visit(&layer, "", "cart", "1").await,
                    false => String::new(),
                };
                let answer = request(&layer, &cookie, async |session: Session| {
                    session.bind("ada").unwrap();
                    if saves {
                        session.save().await.unwrap();
                    }
                    session.bind("eve").unwrap();
                    assert_eq!(session.user().await.unwrap().as_deref(), Some("eve"));
                    OK
                })
                .await;
                request(&layer, &answer.token(), async |session: Session| {
                    assert_eq!(session.user().await.unwrap().as_deref(), Some("eve"));
                    OK
                })
                .await;
                assert!(users.sessions("ada").await.unwrap().is_empty());
                assert_eq!(users.revoke_all("eve").await.unwrap(), 1);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_logout_is_a_logout_whatever_else_was_said() {
    on_both(async |store: Store| {
        let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store));
        let login = request(&layer, "", async |session| {
            session.bind("ada").unwrap();
            OK
        });
        let cookie = login.await.token();
        let answer = request(&layer, &cookie, async |session: Session| {
            session.unbind().unwrap();
            session.rotate().unwrap();
            assert!(session.destroy().await.unwrap());
            OK
        })
        .await;
        assert!(answer.is_removal());
        assert_eq!(answer.outcome, None, "nothing left to write");
        assert!(users.sessions("ada").await.unwrap().is_empty());
        // The other way round: there is nothing to unbind any more.
        let cookie = visit(&layer, "", "cart", "1").await;
        let answer = request(&layer, &cookie, async |session: Session| {
            assert!(session.destroy().await.unwrap());
            session.unbind().unwrap();
            OK
        })
        .await;
        assert!(answer.is_removal());
    })
    .await;
}

#[tokio::test]
async fn what_changes_no_session_makes_none() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let stale = visit(&layer, "", "cart", "1").await;
        request(&layer, &stale, async |session: Session| {
            assert!(session.destroy().await.unwrap());
            OK
        })
        .await;
        for cookie in ["", &stale] {
            for number in 0..4 {
                let answer = request(&layer, cookie, async |session: Session| {
                    match number {
                        0 => session.rotate().unwrap(),
                        1 => session.unbind().unwrap(),
                        2 => session.set_expiry(SessionExpiry::default()).unwrap(),
                        _ => session.set_persistent(true).unwrap(),
                    }
                    session.save().await.unwrap();
                    OK
                })
                .await;
                assert_eq!((answer.outcome, answer.set_cookie()), (None, None));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn time_outs_that_cannot_be_written_are_an_error() {
    let store = Store::memory();
    let layer = SessionLayer::new(store.clone());
    let cookie = visit(&layer, "", "cart", "1").await;
    store.set_away(true);
    let answer = request(&layer, &cookie, async |session: Session| {
        session.set_expiry(SessionExpiry::default()).unwrap();
        let error = session.save().await.unwrap_err();
        assert_eq!(error.kind(), SessionErrorKind::Unavailable);
        OK
    })
    .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.set_cookie(), None);
}
