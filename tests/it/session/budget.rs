//! What each kind of request costs in commands to Redis.
//!
//! Counted are commands that a client sent, as Redis's MONITOR shows them: a script is one,
//! whatever it calls inside.

use std::time::Duration;

use http::StatusCode;
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{Session, SessionExpiry, SessionLayer, Users};

use super::support::{request, visit};
use crate::support::redis_server::RedisServer;
use monitor::Monitor;

mod monitor;

const OK: StatusCode = StatusCode::OK;

/// Makes Redis learn every script, so that none is sent twice.
async fn warm_up(layer: &SessionLayer) {
    let cookie = visit(layer, "", "a", "1").await;
    visit(layer, &cookie, "a", "2").await;
    let answer = request(layer, &cookie, async |session| {
        session.destroy().await.unwrap();
        OK
    })
    .await;
    assert!(answer.is_removal());
}

#[tokio::test]
async fn every_kind_of_request_keeps_its_budget() {
    let server = RedisServer::start();
    let redis = RedisHandle::connect(&server.url()).unwrap();
    let layer = &SessionLayer::new(redis.sessions());
    warm_up(layer).await;
    let cookie = visit(layer, "", "user", "ada").await;
    let mut monitor = Monitor::start(&server).await;

    request(layer, &cookie, async |_| OK).await;
    assert!(monitor.sent().await.is_empty(), "untouched");

    request(layer, "", async |session| {
        assert!(!session.exists().await.unwrap());
        assert!(!session.destroy().await.unwrap());
        OK
    })
    .await;
    assert!(monitor.sent().await.is_empty(), "read without a cookie");

    request(layer, &cookie, async |session: Session| {
        for _ in 0..3 {
            session.get::<String>("user").await.unwrap();
            session.clone().id().await.unwrap();
            session.fields().await.unwrap();
        }
        OK
    })
    .await;
    assert_eq!(monitor.sent().await, ["GET"], "read");

    visit(layer, &cookie, "user", "eve").await;
    assert_eq!(monitor.sent().await, ["EVALSHA"], "blind write");

    request(layer, &cookie, async |session| {
        let user: Option<String> = session.get("user").await.unwrap();
        session.set("before", &user).unwrap();
        session.set("user", "ada").unwrap();
        OK
    })
    .await;
    assert_eq!(monitor.sent().await, ["GET", "EVALSHA"], "read then write");

    visit(layer, "", "user", "bob").await;
    assert_eq!(monitor.sent().await, ["EVALSHA"], "new session");

    request(layer, &cookie, async |session| {
        session.increment("n", 1).await.unwrap();
        OK
    })
    .await;
    assert_eq!(monitor.sent().await, ["EVALSHA"], "increment");

    request(layer, &cookie, async |session| {
        let update = session.update("n", |n: Option<u32>| n.map(|n| n + 1));
        update.await.unwrap();
        OK
    })
    .await;
    assert_eq!(monitor.sent().await, ["GET", "EVALSHA"], "update");

    let answer = request(layer, &cookie, async |session| {
        session.rotate().unwrap();
        session.set("role", "admin").unwrap();
        OK
    })
    .await;
    assert_eq!(monitor.sent().await, ["EVALSHA"], "rotate and write");
    let cookie = answer.token();

    let two = format!("{cookie}; __Host-session=1{}", "A".repeat(54));
    visit(layer, &two, "user", "eve").await;
    let sent = monitor.sent().await;
    assert_eq!(
        sent,
        ["GET", "GET", "EVALSHA"],
        "blind write with two candidates"
    );

    request(layer, &cookie, async |session| {
        assert!(session.destroy().await.unwrap());
        OK
    })
    .await;
    assert_eq!(monitor.sent().await, ["EVALSHA"], "logout");

    visit(layer, &cookie, "user", "eve").await;
    let sent = monitor.sent().await;
    assert_eq!(
        sent,
        ["EVALSHA", "EVALSHA"],
        "blind write under a stale cookie"
    );
}

#[tokio::test]
async fn logins_lists_and_revocations_keep_their_budget() {
    let server = RedisServer::start();
    let redis = RedisHandle::connect(&server.url()).unwrap();
    let layer = &SessionLayer::new(redis.sessions());
    let users = Users::new(redis.sessions());
    warm_up(layer).await;
    users.revoke_all("nobody").await.unwrap();
    let anonymous = visit(layer, "", "cart", "full").await;
    request(layer, &anonymous, async |session| {
        session.set_label("learn the script").unwrap();
        OK
    })
    .await;
    let mut monitor = Monitor::start(&server).await;

    let login = async |cookie: &str, user: &str| {
        let answer = request(layer, cookie, async |session: Session| {
            session.bind(user).unwrap();
            session.set_label("Firefox").unwrap();
            session.set_expiry(SessionExpiry::default()).unwrap();
            session.set_persistent(true).unwrap();
            session.set("role", "admin").unwrap();
            OK
        });
        answer.await.token()
    };
    let cookie = login(&anonymous, "ada").await;
    assert_eq!(monitor.sent().await, ["EVALSHA"], "rotate, bind, write");
    let cookie = login(&cookie, "eve").await;
    assert_eq!(monitor.sent().await, ["EVALSHA"], "as another user");
    login("", "ada").await;
    assert_eq!(monitor.sent().await, ["EVALSHA"], "without a session");

    let answer = request(layer, &cookie, async |session| {
        assert_eq!(session.user().await.unwrap().as_deref(), Some("eve"));
        session.unbind().unwrap();
        OK
    });
    let cookie = answer.await.token();
    assert_eq!(monitor.sent().await, ["GET", "EVALSHA"], "unbind");
    request(layer, &cookie, async |session| {
        session.set_expiry(SessionExpiry::default()).unwrap();
        OK
    })
    .await;
    assert_eq!(monitor.sent().await, ["EVALSHA"], "other time-outs");

    let id = *users.sessions("ada").await.unwrap()[0].id();
    assert_eq!(monitor.sent().await, ["EVALSHA"], "list");
    users.revoke_others("ada", &id).await.unwrap();
    assert_eq!(monitor.sent().await, ["EVALSHA"], "revoke others");
    assert!(users.revoke("ada", &id).await.unwrap());
    assert_eq!(monitor.sent().await, ["EVALSHA"], "revoke one");
    users.revoke_all("ada").await.unwrap();
    assert_eq!(monitor.sent().await, ["EVALSHA"], "revoke all");

    let bound = login("", "ada").await;
    monitor.sent().await;
    request(layer, &bound, async |session| {
        assert!(session.destroy().await.unwrap());
        OK
    })
    .await;
    assert_eq!(monitor.sent().await, ["EVALSHA"], "logout");
}

#[tokio::test]
async fn of_many_readers_of_a_due_session_one_renews_it() {
    let server = RedisServer::start();
    let redis = RedisHandle::connect(&server.url()).unwrap();
    let layer = &SessionLayer::new(redis.sessions());
    let cookie = &visit(layer, "", "user", "ada").await;
    let mut id = String::new();
    request(layer, cookie, async |session| {
        id = session.id().await.unwrap().unwrap().to_string();
        OK
    })
    .await;
    // Last used in 1970.
    let key = format!("app:s1:{{{id}}}");
    server.command(&["SETRANGE", &key, "89", "\0\0\0\0\0\0\0\0"]);
    let mut monitor = Monitor::start(&server).await;
    let read = async || {
        request(layer, cookie, async |session| {
            assert!(session.exists().await.unwrap());
            OK
        })
        .await
    };
    futures_util::future::join_all((0..50).map(|_| read())).await;
    // Behind the renewal, which nobody waits for.
    redis.ping().await.unwrap();
    let sent = monitor.sent().await;
    let renewals = sent.iter().filter(|name| *name == "EVALSHA").count();
    assert_eq!((sent.len() - renewals, renewals), (50 + 1, 1), "{sent:?}");
    // The session is not due any more: EVAL taught Redis the script.
    read().await;
    redis.ping().await.unwrap();
    assert_eq!(monitor.sent().await, ["GET"]);
}

#[tokio::test]
async fn a_renewal_is_one_command_that_nobody_waits_for_once_in_a_window() {
    let server = RedisServer::start();
    let redis = RedisHandle::connect(&server.url()).unwrap();
    let second = Duration::from_secs(1);
    let expiry = SessionExpiry::new(30 * second, 60 * second).unwrap();
    let layer = &SessionLayer::new(redis.sessions()).with_expiry(expiry);
    let cookie = visit(layer, "", "user", "ada").await;
    let mut monitor = Monitor::start(&server).await;
    let (mut reads, mut renewals) = (0, 0);
    // The window is three seconds: one renewal falls due, and no second one before the end.
    while renewals == 0 {
        request(layer, &cookie, async |session| {
            session.get::<String>("user").await.unwrap();
            OK
        })
        .await;
        reads += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let sent = monitor.sent().await;
        // The first one of all makes Redis learn the script.
        renewals += sent.iter().filter(|name| *name == "EVALSHA").count();
        assert!(sent.contains(&"GET".to_owned()));
        assert!(reads < 300, "no renewal");
    }
    request(layer, &cookie, async |session| {
        session.get::<String>("user").await.unwrap();
        OK
    })
    .await;
    assert_eq!(
        (renewals, monitor.sent().await),
        (1, vec!["GET".to_owned()])
    );
}
