//! Whose a session is: logging in and out.

use std::collections::BTreeSet;

use http::StatusCode;
use tower_handoff::session::{
    CommitOutcome, Session, SessionErrorKind, SessionId, SessionLayer, Users,
};

use super::support::{Answer, Store, on_both, read, request, visit};

mod lists;
mod stored;

const OK: StatusCode = StatusCode::OK;

/// A request that logs in and does nothing else.
pub(super) async fn log_in(layer: &SessionLayer, cookie: &str, user: &str) -> Answer {
    let answer = request(layer, cookie, async |session| {
        session.bind(user).unwrap();
        OK
    })
    .await;
    assert_eq!(answer.outcome, Some(CommitOutcome::Written));
    answer
}

pub(super) async fn listed(users: &Users, user: &str) -> BTreeSet<SessionId> {
    let sessions = users.sessions(user).await.unwrap();
    sessions.iter().map(|session| *session.id()).collect()
}

pub(super) async fn id_of(layer: &SessionLayer, cookie: &str) -> Option<SessionId> {
    let mut id = None;
    request(layer, cookie, async |session| {
        id = session.id().await.unwrap();
        OK
    })
    .await;
    id
}

async fn user_of(layer: &SessionLayer, cookie: &str) -> Option<String> {
    let mut user = None;
    request(layer, cookie, async |session| {
        user = session.user().await.unwrap();
        OK
    })
    .await;
    user
}

#[tokio::test]
async fn a_login_keeps_the_data_and_changes_the_secret() {
    on_both(async |store: Store| {
        let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store));
        let before = visit(&layer, "", "cart", "full").await;
        let id = id_of(&layer, &before).await.unwrap();
        for reads_first in [true, false] {
            let user = format!("user {reads_first}");
            let before = visit(&layer, "", "cart", "full").await;
            let answer = request(&layer, &before, async |session: Session| {
                if reads_first {
                    assert_eq!(session.user().await.unwrap(), None);
                }
                session.bind(&user).unwrap();
                session.set_label("Firefox").unwrap();
                assert_eq!(session.user().await.unwrap().as_deref(), Some(&*user));
                session.set("role", "admin").unwrap();
                OK
            })
            .await;
            let after = answer.token();
            assert_eq!(read(&layer, &before, "cart").await, None, "the old secret");
            assert_eq!(read(&layer, &after, "cart").await.as_deref(), Some("full"));
            assert_eq!(read(&layer, &after, "role").await.as_deref(), Some("admin"));
            assert_eq!(user_of(&layer, &after).await.as_deref(), Some(&*user));
            let sessions = users.sessions(&user).await.unwrap();
            assert_eq!(sessions.len(), 1);
            assert_eq!(sessions[0].label(), "Firefox");
            assert_eq!(Some(*sessions[0].id()), id_of(&layer, &after).await);
            assert!(sessions[0].created_ms() <= sessions[0].seen_ms());
            assert!(sessions[0].seen_ms() < sessions[0].expires_ms());
        }
        assert_eq!(id_of(&layer, &before).await, Some(id), "another session");
        assert_eq!(user_of(&layer, &before).await, None);
    })
    .await;
}

#[tokio::test]
async fn a_login_without_a_session_makes_one_and_one_that_fails_does_not() {
    on_both(async |store: Store| {
        let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store));
        let failed = request(&layer, "", async |session| {
            session.bind("ada").unwrap();
            StatusCode::INTERNAL_SERVER_ERROR
        })
        .await;
        assert_eq!(failed.outcome, Some(CommitOutcome::Discarded));
        assert_eq!(failed.set_cookie(), None);
        assert!(listed(&users, "ada").await.is_empty());
        let cookie = log_in(&layer, "", "ada").await.token();
        assert_eq!(listed(&users, "ada").await.len(), 1);
        // A login as somebody else that fails leaves everything as it was.
        request(&layer, &cookie, async |session| {
            session.bind("eve").unwrap();
            StatusCode::INTERNAL_SERVER_ERROR
        })
        .await;
        assert_eq!(user_of(&layer, &cookie).await.as_deref(), Some("ada"));
        assert!(listed(&users, "eve").await.is_empty());
        // What was written through before the login is in the same session.
        let answer = request(&layer, "", async |session| {
            session.increment("n", 1).await.unwrap();
            session.bind("ada").unwrap();
            OK
        })
        .await;
        let cookie = answer.token();
        assert_eq!(user_of(&layer, &cookie).await.as_deref(), Some("ada"));
        assert_eq!(listed(&users, "ada").await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_session_may_be_nobodys_again() {
    on_both(async |store: Store| {
        let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store));
        let bound = log_in(&layer, "", "ada").await.token();
        visit(&layer, &bound, "cart", "full").await;
        let answer = request(&layer, &bound, async |session: Session| {
            session.unbind().unwrap();
            assert_eq!(session.user().await.unwrap(), None);
            OK
        })
        .await;
        let free = answer.token();
        assert_eq!(user_of(&layer, &free).await, None);
        assert_eq!(read(&layer, &free, "cart").await.as_deref(), Some("full"));
        assert_eq!(read(&layer, &bound, "cart").await, None, "the old secret");
        assert_eq!(users.revoke_all("ada").await.unwrap(), 0);
        let answer = request(&layer, "", async |session| {
            session.unbind().unwrap();
            session.set_label("nothing").unwrap();
            OK
        })
        .await;
        assert_eq!((answer.outcome, answer.set_cookie()), (None, None));
    })
    .await;
}

#[tokio::test]
async fn names_that_are_none_are_refused_before_anything_happens() {
    on_both(async |store: Store| {
        let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store.clone()));
        let long = "x".repeat(257);
        for bad in ["", &long] {
            let answer = request(&layer, "", async |session: Session| {
                let error = session.bind(bad).unwrap_err();
                assert_eq!(error.kind(), SessionErrorKind::InvalidUser);
                OK
            })
            .await;
            assert_eq!(answer.set_cookie(), None);
            let error = users.revoke_all(bad).await.unwrap_err();
            assert_eq!(error.kind(), SessionErrorKind::InvalidUser);
            assert!(users.sessions(bad).await.is_err());
        }
        assert_eq!(store.asked(), 0);
        let names = [
            "}",
            "{",
            "%7D",
            ":",
            "*",
            "\0",
            "ä",
            &"\u{1F600}".repeat(64),
        ];
        for name in names {
            log_in(&layer, "", name).await;
        }
        for name in names {
            assert_eq!(users.revoke_all(name).await.unwrap(), 1, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_sealed_handle_binds_nobody() {
    let layer = SessionLayer::new(Store::memory());
    let mut kept = None;
    request(&layer, "", async |session| {
        kept = Some(session);
        OK
    })
    .await;
    let session = kept.unwrap();
    for result in [
        session.bind("ada"),
        session.unbind(),
        session.set_label("x"),
        session.set_persistent(true),
        session.set_expiry(Default::default()),
    ] {
        assert_eq!(result.unwrap_err().kind(), SessionErrorKind::Sealed);
    }
}
