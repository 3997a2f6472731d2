//! The list of a user's sessions as Redis keeps it.

use std::time::Duration;

use http::StatusCode;
use redis::Value;
use tower_handoff::session::{SessionErrorKind, SessionExpiry, SessionLayer, Users};

use super::super::support::{request, visit};
use super::{OK, id_of, listed, log_in, user_of};
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

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
        let seconds = Duration::from_secs(seconds);
        SessionExpiry::new(seconds, seconds).unwrap()
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
    let second = Duration::from_secs(1);
    let expiry = SessionExpiry::new(10 * second, 60 * second).unwrap();
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
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("a live session stays out of the list");
}

#[tokio::test]
async fn a_broken_list_costs_no_session_its_renewal() {
    let world = World::new();
    let second = Duration::from_secs(1);
    let expiry = SessionExpiry::new(4 * second, 60 * second).unwrap();
    let layer = world.layer.clone().with_expiry(expiry);
    let cookie = log_in(&layer, "", "ada").await.token();
    world.server.command(&["SET", ADA, "something else"]);
    let until = tokio::time::Instant::now() + 6 * second;
    while tokio::time::Instant::now() < until {
        assert!(id_of(&layer, &cookie).await.is_some());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sessions_expire_and_leave_nothing() {
    let world = World::new();
    let seconds = Duration::from_secs;
    let short = SessionExpiry::new(seconds(2), seconds(4)).unwrap();
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
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("left: {:?}", world.server.command(&["KEYS", "*u1*"]));
}
