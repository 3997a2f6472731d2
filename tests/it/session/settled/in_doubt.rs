//! A rotation whose answer is lost, or that nobody waits for: the browser is left a cookie that works.

use std::time::Duration;

use http::StatusCode;
use tower_handoff::session::{
    CommitOutcome, Fault, FaultySessions, Session, SessionErrorKind, SessionLayer,
};

use super::super::support::{Store, on_both, read, request, visit};
use super::{FAILED, OK, write};
use crate::support::eventually::eventually;
use crate::support::redis_server::RedisServer;

/// After the answer to a request under `before`, the browser has a cookie that opens the session.
async fn still_opens(layer: &SessionLayer, before: &str, now: Option<String>, why: &str) {
    let kept = now.clone().unwrap_or_else(|| before.to_owned());
    let user = read(layer, &kept, "user").await;
    assert_eq!(user.as_deref(), Some("ada"), "{why}");
    if now.is_some() {
        assert_eq!(read(layer, before, "user").await, None, "{why}");
    }
}

#[tokio::test]
async fn a_rotation_whose_answer_is_lost_leaves_the_browser_a_cookie_that_works() {
    on_both(async |store: Store| {
        let store = FaultySessions::new(store);
        let layer = SessionLayer::new(store.clone());
        for fault in [Fault::ReplyLost, Fault::Down] {
            for status in [OK, StatusCode::NOT_FOUND, FAILED] {
                for reads_first in [false, true] {
                    let why = format!("{fault:?} {status} {reads_first}");
                    let cookie = visit(&layer, "", "user", "ada").await;
                    let answer = request(&layer, &cookie, async |session: Session| {
                        if reads_first {
                            assert!(session.exists().await.unwrap());
                        }
                        session.set("cart", "1").unwrap();
                        session.rotate().unwrap();
                        store.fail_nth(1, fault);
                        assert!(session.save().await.unwrap_err().is_unavailable());
                        status
                    })
                    .await;
                    assert_eq!(answer.status, status, "{why}");
                    let now = answer.set_cookie();
                    assert!(status == FAILED || now.is_some(), "{why}");
                    still_opens(&layer, &cookie, now, &why).await;
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_login_whose_answer_is_lost_at_the_commit_is_a_login() {
    on_both(async |store: Store| {
        let store = FaultySessions::new(store);
        let layer = SessionLayer::new(store.clone());
        let cookie = visit(&layer, "", "user", "ada").await;
        store.fail_nth(1, Fault::ReplyLost);
        let answer = request(&layer, &cookie, async |session| {
            session.bind("ada").unwrap();
            OK
        })
        .await;
        assert_eq!(answer.outcome, Some(CommitOutcome::Written));
        still_opens(&layer, &cookie, Some(answer.token()), "once lost").await;
        // Nobody answers at all: neither is one known to be good, and the client is told to come back.
        let cookie = answer.token();
        let answer = request(&layer, &cookie, async |session| {
            session.bind("ada").unwrap();
            store.fail(Fault::Hang(Duration::from_millis(1)));
            OK
        })
        .await;
        store.heal();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        still_opens(&layer, &cookie, answer.set_cookie(), "nothing was done").await;
    })
    .await;
}

#[tokio::test]
async fn while_a_rotation_is_in_doubt_every_operation_finds_the_session() {
    on_both(async |store: Store| {
        let store = FaultySessions::new(store);
        let layer = SessionLayer::new(store.clone());
        for number in 0..6 {
            let cookie = visit(&layer, "", "user", "ada").await;
            let answer = request(&layer, &cookie, async |session: Session| {
                session.rotate().unwrap();
                store.fail_nth(1, Fault::ReplyLost);
                let error = session.save().await.unwrap_err();
                assert_eq!(error.kind(), SessionErrorKind::OutcomeUnknown);
                match number {
                    0..4 => write(session, number).await,
                    4 => {
                        let user = session.get::<String>("user").await.unwrap();
                        assert_eq!(user.as_deref(), Some("ada"));
                    }
                    _ => assert!(session.id().await.unwrap().is_some()),
                }
                FAILED
            })
            .await;
            match number {
                3 => assert!(answer.is_removal()),
                _ => still_opens(&layer, &cookie, Some(answer.token()), "found").await,
            }
        }
    })
    .await;
}

/// Redis is stopped with the command on its way, and the handler does not wait for it.
#[tokio::test]
async fn a_rotation_that_nobody_waits_for_leaves_the_browser_a_cookie_that_works() {
    let server = RedisServer::start();
    let store = Store::patient(&server);
    let layer = SessionLayer::new(store.clone());
    for status in [OK, FAILED] {
        for sets in [false, true] {
            let cookie = visit(&layer, "", "user", "ada").await;
            let answer = request(&layer, &cookie, async |session: Session| {
                session.rotate().unwrap();
                if sets {
                    session.set("cart", "1").unwrap();
                }
                server.signal("STOP");
                store.asked();
                let clone = session.clone();
                let save = tokio::spawn(async move { clone.save().await });
                eventually("it is on its way", async || store.asked() > 0).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                save.abort();
                assert!(save.await.unwrap_err().is_cancelled());
                server.signal("CONT");
                status
            })
            .await;
            assert_eq!(answer.status, status);
            let why = format!("{status} {sets} {answer:?}");
            still_opens(&layer, &cookie, answer.set_cookie(), &why).await;
        }
    }
}
