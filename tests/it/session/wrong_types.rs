//! Keys of another type where sessions and lists of sessions belong.

use http::StatusCode;
use tower_handoff::session::{
    CommitOutcome, Session, SessionErrorKind, SessionLayer, Undecodable, Users,
};

use super::support::{read, request, visit};
use super::users::{id_of, log_in};
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

const OK: StatusCode = StatusCode::OK;
const AWAY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
const ADA: &str = "app:u1:{ada}";

/// How each type but the right one comes to be.
fn types<'a>(key: &'a str, but: &str) -> Vec<Vec<&'a str>> {
    let all = [
        vec!["SET", key, "something else"],
        vec!["RPUSH", key, "x"],
        vec!["SADD", key, "x"],
        vec!["HSET", key, "a", "x"],
        vec!["ZADD", key, "1", "x"],
        vec!["XADD", key, "1-1", "a", "x"],
    ];
    let others = all.into_iter().filter(|command| command[0] != but);
    others.collect()
}

struct World {
    server: RedisServer,
    layer: SessionLayer,
    users: Users,
}

impl World {
    fn new() -> Self {
        let server = RedisServer::start();
        let store = patient(&server.url()).sessions();
        let layer = SessionLayer::new(store.clone());
        let users = Users::new(store);
        Self {
            server,
            layer,
            users,
        }
    }

    fn replace(&self, key: &str, command: &[&str]) -> redis::Value {
        self.server.command(&["DEL", key]);
        self.server.command(command);
        self.server.command(&["DUMP", key])
    }
}

#[tokio::test]
async fn a_session_key_of_another_type_is_passed_over_or_an_error_and_stays() {
    let world = World::new();
    let cookie = log_in(&world.layer, "", "ada").await.token();
    let id = id_of(&world.layer, &cookie).await.unwrap();
    let key = format!("app:s1:{{{id}}}");
    for command in types(&key, "SET") {
        let before = world.replace(&key, &command);
        for (policy, corrupt) in [(Undecodable::Discard, false), (Undecodable::Error, true)] {
            let layer = world.layer.clone().with_undecodable(policy);
            let failed = |failed: bool| assert_eq!(failed, corrupt, "{policy:?}, {command:?}");
            // Each operation the first of its request, and blind.
            request(&layer, &cookie, async |session: Session| {
                failed(session.get::<String>("a").await.is_err());
                OK
            })
            .await;
            request(&layer, &cookie, async |session: Session| {
                failed(session.destroy().await.is_err());
                OK
            })
            .await;
            request(&layer, &cookie, async |session: Session| {
                failed(session.increment("n", 1).await.is_err());
                OK
            })
            .await;
            request(&layer, &cookie, async |session: Session| {
                failed((session.update("n", |n: Option<u8>| n.or(Some(1))).await).is_err());
                OK
            })
            .await;
            for rotates in [false, true] {
                let answer = request(&layer, &cookie, async |session: Session| {
                    session.set("a", "b").unwrap();
                    if rotates {
                        session.rotate().unwrap();
                    }
                    OK
                })
                .await;
                assert_eq!(answer.status, if corrupt { AWAY } else { OK });
                assert_eq!(answer.set_cookie().is_none(), corrupt);
            }
            let corrupt = SessionErrorKind::Corrupt;
            for error in [
                world.users.sessions("ada").await.unwrap_err(),
                world.users.revoke("ada", &id).await.unwrap_err(),
                world.users.revoke_all("ada").await.unwrap_err(),
            ] {
                assert_eq!(error.kind(), corrupt, "{command:?}");
            }
            assert_eq!(world.server.command(&["DUMP", &key]), before, "{command:?}");
        }
    }
}

#[tokio::test]
async fn a_list_of_another_type_fails_logins_and_lists_and_nothing_else() {
    let world = World::new();
    for command in types(ADA, "ZADD") {
        world.server.command(&["DEL", ADA]);
        let inside = log_in(&world.layer, "", "ada").await.token();
        let outside = visit(&world.layer, "", "cart", "full").await;
        let before = world.replace(ADA, &command);
        for cookie in ["", &outside, &inside] {
            for reads_first in [false, true] {
                let answer = request(&world.layer, cookie, async |session: Session| {
                    if reads_first {
                        session.fields().await.unwrap();
                    }
                    session.bind("ada").unwrap();
                    OK
                })
                .await;
                let at = format!("{command:?}, {cookie:?}, {reads_first}");
                assert_eq!(answer.status, AWAY, "{at}");
                assert_eq!(answer.set_cookie(), None, "{at}");
            }
        }
        assert!(world.users.sessions("ada").await.is_err());
        assert!(world.users.revoke_all("ada").await.is_err());
        // What needs no list goes on.
        assert_eq!(
            read(&world.layer, &outside, "cart").await.as_deref(),
            Some("full")
        );
        visit(&world.layer, &inside, "cart", "full").await;
        let answer = request(&world.layer, &inside, async |session: Session| {
            session.unbind().unwrap();
            OK
        })
        .await;
        assert_eq!(answer.outcome, Some(CommitOutcome::Written));
        let other = log_in(&world.layer, &answer.token(), "eve").await.token();
        request(&world.layer, &other, async |session| {
            assert!(session.destroy().await.unwrap());
            OK
        })
        .await;
        assert_eq!(world.server.command(&["DUMP", ADA]), before, "{command:?}");
    }
}
