//! What a store promises of sessions that belong to somebody.
//! Floor 3.

use std::time::Duration;

use crate::random;
use crate::session::contract::fixture::{
    create, expiry, kind, load, new_session, save, saved, set,
};
use crate::session::expiry::SessionExpiry;
use crate::session::id::SessionId;
use crate::session::save::{NewSession, Plan, Save};
use crate::session::store::SessionStore;
use crate::session::terms::Terms;
use crate::session::token::Token;
use crate::session::user_session::{Revoke, UserSession};

pub(super) async fn check_users<S: SessionStore>(store: &S) {
    a_bound_session_is_listed_until_it_ends(store).await;
    a_session_is_in_one_list(store).await;
    revoked_sessions_are_gone(store).await;
    nobody_ends_a_session_of_others(store).await;
    lists_are_longer_than_any_page(store).await;
    what_expires_leaves_the_list_and_what_lives_does_not(store).await;
}

/// A name that nobody has used, with whatever may break a key.
fn some_user() -> String {
    format!("ä}}{{:%*\u{0} {}", SessionId::from_bytes(random::bytes()))
}

fn bound_to(user: &str) -> Terms {
    Terms {
        user: Some(user.into()),
        ..Terms::default()
    }
}

async fn log_in<S: SessionStore>(store: &S, user: &str, times: &SessionExpiry) -> Token {
    let token = Token::random();
    let terms = bound_to(user);
    let new = NewSession {
        terms: &terms,
        ..new_session(&token, times, &[])
    };
    let created = store.create(token.id(), &new).await;
    assert!(matches!(created, Ok(true)), "create: {created:?}");
    token
}

async fn change<S: SessionStore>(store: &S, token: &Token, terms: &Terms) {
    let changes = set("a", b"1");
    let save = Save {
        terms,
        ..save(token, &changes, Plan::Merge)
    };
    assert_eq!(kind(&saved(store, token, &save).await), "saved");
}

async fn list<S: SessionStore>(store: &S, user: &str) -> Vec<UserSession> {
    let mut sessions = match store.sessions_of(user).await {
        Ok(sessions) => sessions,
        Err(error) => panic!("sessions_of fails: {error}"),
    };
    sessions.sort_by_key(|session| *session.id());
    sessions
}

async fn ids<S: SessionStore>(store: &S, user: &str) -> Vec<SessionId> {
    let sessions = list(store, user).await;
    sessions.iter().map(|session| *session.id()).collect()
}

async fn revoke<S: SessionStore>(store: &S, user: &str, which: Revoke) -> u64 {
    match store.revoke(user, which).await {
        Ok(ended) => ended,
        Err(error) => panic!("revoke fails: {error}"),
    }
}

async fn assert_gone<S: SessionStore>(store: &S, token: &Token) {
    let changes = set("late", b"1");
    for plan in [Plan::Merge, Plan::Add { name: "n", by: 1 }] {
        let outcome = saved(store, token, &save(token, &changes, plan)).await;
        assert_eq!(kind(&outcome), "absent", "a save to a revoked session");
    }
    let renewed = store.renew(token.id(), &token.hash()).await;
    assert!(
        matches!(renewed, Ok(false)),
        "renew finds a revoked session"
    );
    let loaded = store.load(token.id()).await;
    assert!(matches!(loaded, Ok(None)), "a revoked session is there");
}

async fn a_bound_session_is_listed_until_it_ends<S: SessionStore>(store: &S) {
    let user = some_user();
    assert!(list(store, &user).await.is_empty());
    let new = log_in(store, &user, &SessionExpiry::default()).await;
    let old = create(store, &SessionExpiry::default(), &[]).await;
    let terms = Terms {
        label: Some("désktop".into()),
        ..bound_to(&user)
    };
    change(store, &old, &terms).await;
    // A write that says nothing of it changes nothing of it.
    change(store, &old, &Terms::default()).await;
    let (record, sessions) = (load(store, &old).await, list(store, &user).await);
    assert_eq!(record.user(), Some(&*user), "the record's user");
    assert_eq!(sessions.len(), 2, "both are listed");
    let listed = sessions.iter().find(|session| session.id() == old.id());
    assert_eq!(listed, Some(&UserSession::new(*old.id(), &record)));
    assert_eq!(record.label(), "désktop", "the label");
    let destroyed = store.destroy(old.id(), &old.hash()).await;
    assert!(matches!(destroyed, Ok(true)), "destroy: {destroyed:?}");
    assert_eq!(ids(store, &user).await, [*new.id()], "one has ended");
}

async fn a_session_is_in_one_list<S: SessionStore>(store: &S) {
    let (first, second) = (some_user(), some_user());
    let token = log_in(store, &first, &SessionExpiry::default()).await;
    change(store, &token, &bound_to(&second)).await;
    assert!(ids(store, &first).await.is_empty(), "the list of before");
    assert_eq!(ids(store, &second).await, [*token.id()]);
    assert_eq!(revoke(store, &first, Revoke::All).await, 0);
    change(store, &token, &bound_to("")).await;
    assert!(ids(store, &second).await.is_empty(), "nobody's session");
    assert_eq!(load(store, &token).await.user(), None);
    assert_eq!(revoke(store, &second, Revoke::All).await, 0);
    load(store, &token).await;
}

async fn revoked_sessions_are_gone<S: SessionStore>(store: &S) {
    let user = some_user();
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(log_in(store, &user, &SessionExpiry::default()).await);
    }
    let one = Revoke::One(*tokens[0].id());
    assert_eq!(revoke(store, &user, one).await, 1, "one is ended");
    assert_eq!(revoke(store, &user, one).await, 0, "and ended once");
    assert_gone(store, &tokens[0]).await;
    let others = Revoke::Others(*tokens[1].id());
    assert_eq!(
        revoke(store, &user, others).await,
        3,
        "the others are ended"
    );
    assert_gone(store, &tokens[2]).await;
    assert_eq!(ids(store, &user).await, [*tokens[1].id()]);
    assert_eq!(revoke(store, &user, Revoke::All).await, 1, "all are ended");
    for token in &tokens {
        assert_gone(store, token).await;
    }
    assert!(ids(store, &user).await.is_empty());
}

async fn nobody_ends_a_session_of_others<S: SessionStore>(store: &S) {
    let (user, other) = (some_user(), some_user());
    let theirs = log_in(store, &user, &SessionExpiry::default()).await;
    let nobodys = create(store, &SessionExpiry::default(), &[]).await;
    for id in [theirs.id(), nobodys.id()] {
        let ended = revoke(store, &other, Revoke::One(*id)).await;
        assert_eq!(ended, 0, "an id alone ends a session");
    }
    assert_eq!(revoke(store, &user, Revoke::One(*nobodys.id())).await, 0);
    load(store, &theirs).await;
    load(store, &nobodys).await;
    assert_eq!(ids(store, &user).await, [*theirs.id()]);
}

async fn lists_are_longer_than_any_page<S: SessionStore>(store: &S) {
    const MANY: usize = 1_001;
    let user = some_user();
    let mut tokens = Vec::new();
    for _ in 0..MANY {
        tokens.push(log_in(store, &user, &SessionExpiry::default()).await);
    }
    let mut expected: Vec<_> = tokens.iter().map(|token| *token.id()).collect();
    expected.sort_unstable();
    assert!(ids(store, &user).await == expected, "not all are listed");
    let keep = *tokens[MANY / 2].id();
    let ended = revoke(store, &user, Revoke::Others(keep)).await;
    assert_eq!(ended, MANY as u64 - 1, "not all others are ended");
    assert_eq!(ids(store, &user).await, [keep]);
    assert_eq!(revoke(store, &user, Revoke::All).await, 1);
}

async fn what_expires_leaves_the_list_and_what_lives_does_not<S: SessionStore>(store: &S) {
    let user = some_user();
    let idle = log_in(store, &user, &expiry(300, 60_000)).await;
    log_in(store, &user, &expiry(400, 400)).await;
    let remembered = log_in(store, &user, &expiry(500, 500)).await;
    let longer = Terms {
        expiry: Some(expiry(60_000, 60_000)),
        ..Terms::default()
    };
    change(store, &remembered, &longer).await;
    assert_eq!(list(store, &user).await.len(), 3);
    let began = store.now_ms();
    while store.now_ms() < began + 1_500 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let listed = ids(store, &user).await;
    assert_eq!(listed, [*remembered.id()], "the living, and only they");
    // Neither does whoever comes next cost it its place, nor a second login.
    let next = log_in(store, &user, &expiry(60_000, 60_000)).await;
    assert_eq!(list(store, &user).await.len(), 2, "a living one is lost");
    let created_ms = load(store, &remembered).await.created_ms();
    change(store, &remembered, &bound_to(&user)).await;
    let again_ms = load(store, &remembered).await.created_ms();
    assert!(again_ms > created_ms, "a login begins the session anew");
    assert_eq!(list(store, &user).await.len(), 2);
    assert_eq!(revoke(store, &user, Revoke::One(*next.id())).await, 1);
    let ended = revoke(store, &user, Revoke::One(*idle.id())).await;
    assert_eq!(ended, 0, "an expired session is ended");
    assert_eq!(revoke(store, &user, Revoke::All).await, 1);
    assert_gone(store, &remembered).await;
}
