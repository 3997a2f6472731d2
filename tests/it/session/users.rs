//! Whose a session is: logging in and out, lists, and ending sessions from elsewhere.

use std::collections::BTreeSet;

use http::StatusCode;
use redis::Value;
use tower_handoff::session::{
    CommitOutcome, Session, SessionErrorKind, SessionId, SessionLayer, Users,
};

use super::support::{Answer, Store, on_both, read, request, visit};
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

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

#[tokio::test]
async fn sessions_of_one_user_end_one_by_one_or_all_and_nobody_elses() {
    on_both(async |store: Store| {
        let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store));
        let mut cookies = Vec::new();
        for user in ["ada", "ada", "ada", "eve"] {
            cookies.push(log_in(&layer, "", user).await.token());
        }
        let mut ids = Vec::new();
        for cookie in &cookies {
            ids.push(id_of(&layer, cookie).await.unwrap());
        }
        assert!(!users.revoke("eve", &ids[0]).await.unwrap(), "not eve's");
        assert!(!users.revoke("ada", &ids[3]).await.unwrap(), "not ada's");
        assert!(users.revoke("ada", &ids[0]).await.unwrap());
        assert!(!users.revoke("ada", &ids[0]).await.unwrap());
        assert_eq!(id_of(&layer, &cookies[0]).await, None);
        // As a handler does it: out everywhere else.
        request(&layer, &cookies[1], async |session| {
            let (user, id) = (session.user().await.unwrap(), session.id().await.unwrap());
            let users = session.users();
            let ended = users.revoke_others(&user.unwrap(), &id.unwrap()).await;
            assert_eq!(ended.unwrap(), 1);
            OK
        })
        .await;
        assert_eq!(listed(&users, "ada").await, BTreeSet::from([ids[1]]));
        assert_eq!(users.revoke_all("ada").await.unwrap(), 1);
        assert_eq!(listed(&users, "eve").await, BTreeSet::from([ids[3]]));
        // A logout of everything: the own one first, which takes the cookie away.
        let answer = request(&layer, &cookies[3], async |session| {
            let user = session.user().await.unwrap().unwrap();
            assert!(session.destroy().await.unwrap());
            assert_eq!(session.users().revoke_all(&user).await.unwrap(), 0);
            OK
        })
        .await;
        assert!(answer.is_removal());
    })
    .await;
}

/// Random logins, moves and ends, beside a model of who is logged in where.
#[tokio::test]
async fn lists_agree_with_a_model_whatever_happens() {
    on_both(async |store: Store| {
        let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store));
        let mut seed: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut below = |bound: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % bound
        };
        // Cookie, id, user.
        let mut model: Vec<(String, SessionId, Option<&str>)> = Vec::new();
        for step in 0..300 {
            let user = ["ada", "eve", "a}b"][below(3) as usize];
            let at = below(model.len() as u64 + 1) as usize;
            match below(8) {
                0 if step % 10 == 0 => {
                    let ended = users.revoke_all(user).await.unwrap();
                    let before = model.len() as u64;
                    model.retain(|(_, _, owner)| *owner != Some(user));
                    assert_eq!(ended, before - model.len() as u64, "step {step}");
                }
                1 if at < model.len() => {
                    let (_, id, owner) = model[at];
                    let ended = users.revoke(user, &id).await.unwrap();
                    assert_eq!(ended, owner == Some(user), "step {step}");
                    if ended {
                        model.remove(at);
                    }
                }
                2 if at < model.len() => {
                    let (cookie, _, _) = model.remove(at);
                    request(&layer, &cookie, async |session| {
                        assert!(session.destroy().await.unwrap());
                        OK
                    })
                    .await;
                }
                3 if at < model.len() => {
                    let answer = request(&layer, &model[at].0, async |session| {
                        session.unbind().unwrap();
                        OK
                    })
                    .await;
                    model[at].0 = answer.token();
                    model[at].2 = None;
                }
                4 if at < model.len() => {
                    visit(&layer, &model[at].0, "step", &step.to_string()).await;
                }
                5 | 6 if at < model.len() => {
                    model[at].0 = log_in(&layer, &model[at].0, user).await.token();
                    model[at].2 = Some(user);
                }
                _ => {
                    let cookie = log_in(&layer, "", user).await.token();
                    let id = id_of(&layer, &cookie).await.unwrap();
                    model.push((cookie, id, Some(user)));
                }
            }
            for user in ["ada", "eve", "a}b"] {
                let theirs = model.iter().filter(|(_, _, owner)| *owner == Some(user));
                let expected: BTreeSet<_> = theirs.map(|(_, id, _)| *id).collect();
                assert_eq!(listed(&users, user).await, expected, "step {step}, {user}");
            }
        }
        assert!(model.len() > 3, "nothing was tried");
    })
    .await;
}

struct World {
    server: RedisServer,
    layer: SessionLayer,
    users: Users,
}

impl World {
    fn new() -> Self {
        let server = RedisServer::start();
        let sessions = patient(&server.url()).sessions();
        Self {
            layer: SessionLayer::new(sessions.clone()),
            users: Users::new(sessions),
            server,
        }
    }

    fn number(&self, command: &[&str]) -> i64 {
        match self.server.command(command) {
            Value::Int(number) => number,
            other => panic!("{command:?}: {other:?}"),
        }
    }
}

const ADA: &str = "app:u1:{ada}";

#[tokio::test]
async fn no_list_no_login() {
    let world = World::new();
    let cookie = visit(&world.layer, "", "cart", "full").await;
    world.server.command(&["SET", ADA, "something else"]);
    for cookie in ["", &cookie] {
        let answer = request(&world.layer, cookie, async |session| {
            session.bind("ada").unwrap();
            OK
        })
        .await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.set_cookie(), None);
    }
    assert_eq!(world.number(&["DBSIZE"]), 2, "no session without an entry");
    assert_eq!(user_of(&world.layer, &cookie).await, None);
    assert!(world.users.sessions("ada").await.is_err());
    assert!(world.users.revoke_all("ada").await.is_err());
    // The session itself is as good as before, and a logout needs no list.
    world.server.command(&["DEL", ADA]);
    let cookie = log_in(&world.layer, &cookie, "ada").await.token();
    world.server.command(&["SET", ADA, "something else"]);
    request(&world.layer, &cookie, async |session| {
        assert!(session.destroy().await.unwrap());
        OK
    })
    .await;
    assert_eq!(world.number(&["DBSIZE"]), 1);
}

#[tokio::test]
async fn what_a_newer_version_wrote_is_left_alone_and_said() {
    let world = World::new();
    for _ in 0..3 {
        log_in(&world.layer, "", "ada").await;
    }
    let newer = *listed(&world.users, "ada").await.first().unwrap();
    let key = format!("app:s1:{{{newer}}}");
    world.server.command(&["SETRANGE", &key, "0", "\u{2}"]);
    let before = world.server.command(&["DUMP", &key]);
    let error = world.users.sessions("ada").await.unwrap_err();
    assert_eq!(error.kind(), SessionErrorKind::Unavailable);
    let error = world.users.revoke_all("ada").await.unwrap_err();
    assert_eq!(error.kind(), SessionErrorKind::Unavailable);
    let error = world.users.revoke("ada", &newer).await.unwrap_err();
    assert_eq!(error.kind(), SessionErrorKind::Unavailable);
    assert_eq!(world.server.command(&["DUMP", &key]), before);
    // The others are ended all the same, and the entry waits for who can read it.
    assert_eq!(world.number(&["ZCARD", ADA]), 1);
    world.server.command(&["SETRANGE", &key, "0", "\u{1}"]);
    assert_eq!(world.users.revoke_all("ada").await.unwrap(), 1);
    for wrong in [&["LPUSH", &key, "x"][..], &["SET", &key, "\u{1}short"]] {
        log_in(&world.layer, "", "ada").await;
        world
            .server
            .command(&["ZADD", ADA, "9999999999999", &newer.to_string()]);
        world.server.command(wrong);
        let error = world.users.revoke_all("ada").await.unwrap_err();
        assert_eq!(error.kind(), SessionErrorKind::Corrupt);
        assert_eq!(world.number(&["DBSIZE"]), 2, "the key and its entry");
        world.server.command(&["DEL", &key, ADA]);
    }
}

#[tokio::test]
async fn an_entry_gives_no_power_over_a_session() {
    let world = World::new();
    let cookie = log_in(&world.layer, "", "eve").await.token();
    let id = id_of(&world.layer, &cookie).await.unwrap();
    world
        .server
        .command(&["ZADD", ADA, "9999999999999", &id.to_string()]);
    assert!(world.users.sessions("ada").await.unwrap().is_empty());
    assert_eq!(
        world.number(&["EXISTS", ADA]),
        0,
        "such an entry is removed"
    );
    world
        .server
        .command(&["ZADD", ADA, "9999999999999", &id.to_string()]);
    assert_eq!(world.users.revoke_all("ada").await.unwrap(), 0);
    assert_eq!(id_of(&world.layer, &cookie).await, Some(id));
}

#[tokio::test]
async fn a_list_lives_as_long_as_its_last_session_and_goes_with_it() {
    let world = World::new();
    let life = |seconds| {
        let seconds = std::time::Duration::from_secs(seconds);
        tower_handoff::session::SessionExpiry::new(seconds, seconds).unwrap()
    };
    let mut cookies = Vec::new();
    for (seconds, at_least) in [(100, 90), (1000, 900), (10, 900), (5000, 4900)] {
        let layer = world.layer.clone().with_expiry(life(seconds));
        cookies.push(log_in(&layer, "", "ada").await.token());
        let left = world.number(&["PTTL", ADA]) / 1000;
        assert!((at_least..=5000).contains(&left), "{left}");
    }
    // Time-outs of its own move the session in the list.
    request(&world.layer, &cookies[0], async |session| {
        session.set_expiry(life(50_000)).unwrap();
        OK
    })
    .await;
    assert!(world.number(&["PTTL", ADA]) > 49_000_000);
    assert_eq!(world.number(&["ZCARD", ADA]), 4);
    for cookie in &mut cookies {
        *cookie = log_in(&world.layer, cookie, "eve").await.token();
    }
    assert_eq!(world.number(&["EXISTS", ADA]), 0, "all have moved");
    for cookie in &cookies {
        request(&world.layer, cookie, async |session| {
            assert!(session.destroy().await.unwrap());
            OK
        })
        .await;
    }
    assert_eq!(world.number(&["DBSIZE"]), 0);
}

#[tokio::test]
async fn a_list_that_redis_lost_is_whole_again_with_the_next_renewals() {
    let world = World::new();
    let second = std::time::Duration::from_secs(1);
    let expiry = tower_handoff::session::SessionExpiry::new(10 * second, 60 * second).unwrap();
    let layer = world.layer.clone().with_expiry(expiry);
    let cookie = log_in(&layer, "", "ada").await.token();
    let id = id_of(&layer, &cookie).await.unwrap();
    // As an eviction does it; the renewal window is a second.
    world.server.command(&["DEL", ADA]);
    for _ in 0..300 {
        assert_eq!(id_of(&layer, &cookie).await, Some(id));
        if listed(&world.users, "ada").await.contains(&id) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("a live session stays out of the list");
}

#[tokio::test]
async fn a_broken_list_costs_no_session_its_renewal() {
    let world = World::new();
    let second = std::time::Duration::from_secs(1);
    let expiry = tower_handoff::session::SessionExpiry::new(4 * second, 60 * second).unwrap();
    let layer = world.layer.clone().with_expiry(expiry);
    let cookie = log_in(&layer, "", "ada").await.token();
    world.server.command(&["SET", ADA, "something else"]);
    let until = tokio::time::Instant::now() + 6 * second;
    while tokio::time::Instant::now() < until {
        assert!(id_of(&layer, &cookie).await.is_some());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sessions_expire_and_leave_nothing() {
    let world = World::new();
    let seconds = std::time::Duration::from_secs;
    let short = tower_handoff::session::SessionExpiry::new(seconds(2), seconds(4)).unwrap();
    let layer = world.layer.clone().with_expiry(short);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..20 {
        let layer = layer.clone();
        tasks.spawn(async move {
            for n in 0..500 {
                log_in(&layer, "", &format!("user {}", (task + n) % 10)).await;
            }
        });
    }
    tasks.join_all().await;
    assert!(world.number(&["DBSIZE"]) > 10);
    for _ in 0..3000 {
        if world.number(&["DBSIZE"]) == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("left: {:?}", world.server.command(&["KEYS", "*u1*"]));
}
