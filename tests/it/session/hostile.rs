//! What may lie in Redis that is no session of ours, and a Redis that does not answer.

use std::time::Duration;

use http::StatusCode;
use redis::Value;
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{Session, SessionErrorKind, SessionLayer, Undecodable};

use super::support::{read, request, visit};
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

const OK: StatusCode = StatusCode::OK;

struct World {
    server: RedisServer,
    layer: SessionLayer,
    cookie: String,
    key: String,
}

impl World {
    async fn new() -> Self {
        let server = RedisServer::start();
        let redis = patient(&server.url());
        let layer = SessionLayer::new(redis.sessions()).with_undecodable(Undecodable::Error);
        let cookie = visit(&layer, "", "user", "ada").await;
        let Value::Array(keys) = server.command(&["KEYS", "*"]) else {
            panic!("no keys");
        };
        let [Value::BulkString(key)] = &keys[..] else {
            panic!("not one key: {keys:?}");
        };
        let key = String::from_utf8(key.clone()).unwrap();
        Self {
            server,
            layer,
            cookie,
            key,
        }
    }

    fn dump(&self) -> Value {
        self.server.command(&["DUMP", &self.key])
    }

    /// Tries everything there is to try; each fails as `kind`, and a commit with 503.
    async fn everything_fails(&self, kind: SessionErrorKind) {
        let before = self.dump();
        assert_ne!(before, Value::Nil);
        let answer = request(&self.layer, &self.cookie, async |session: Session| {
            let error = session.get::<String>("user").await.unwrap_err();
            assert_eq!(error.kind(), kind);
            assert_eq!(session.id().await.unwrap_err().kind(), kind);
            assert_eq!(session.fields().await.unwrap_err().kind(), kind);
            assert_eq!(session.increment("n", 1).await.unwrap_err().kind(), kind);
            let update = session.update("n", |n: Option<u8>| n.or(Some(1)));
            assert_eq!(update.await.unwrap_err().kind(), kind);
            assert_eq!(session.destroy().await.unwrap_err().kind(), kind);
            session.set("user", "eve").unwrap();
            session.rotate().unwrap();
            OK
        })
        .await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.set_cookie(), None);
        assert_eq!(self.dump(), before, "overwritten");
    }
}

#[tokio::test]
async fn a_key_of_another_type_is_an_error_and_stays() {
    let world = World::new().await;
    for command in [["LPUSH", "x"], ["SADD", "x"]] {
        world.server.command(&["DEL", &world.key]);
        world.server.command(&[command[0], &world.key, command[1]]);
        world.everything_fails(SessionErrorKind::Corrupt).await;
    }
}

#[tokio::test]
async fn truncated_and_hostile_records_are_errors_and_stay() {
    let world = World::new().await;
    let zeros = "\0".repeat(300);
    for record in ["", "\u{1}", "\u{1}hello", &zeros] {
        world.server.command(&["SET", &world.key, record]);
        world.everything_fails(SessionErrorKind::Corrupt).await;
    }
}

#[tokio::test]
async fn a_damaged_record_is_passed_over_and_stays() {
    let world = World::new().await;
    let layer = world.layer.clone().with_undecodable(Undecodable::Discard);
    world.server.command(&["SET", &world.key, "\u{1}hello"]);
    let before = world.dump();
    for reads_first in [true, false] {
        let answer = request(&layer, &world.cookie, async |session: Session| {
            if reads_first {
                assert_eq!(session.get::<String>("user").await.unwrap(), None);
                assert_eq!(session.id().await.unwrap(), None);
            }
            assert!(!session.destroy().await.unwrap());
            session.set("user", "eve").unwrap();
            OK
        })
        .await;
        let fresh = answer.token();
        assert_eq!(read(&layer, &fresh, "user").await.as_deref(), Some("eve"));
        assert_eq!(world.dump(), before, "overwritten");
    }
    let answer = request(&layer, &world.cookie, async |session: Session| {
        session.set("user", "eve").unwrap();
        OK
    })
    .await;
    assert_ne!(answer.token()[..30], world.cookie[..30], "a blind write");
    let answer = request(&layer, &world.cookie, async |session: Session| {
        assert_eq!(session.increment("n", 1).await.unwrap(), 1);
        OK
    })
    .await;
    assert_ne!(
        answer.token()[..30],
        world.cookie[..30],
        "a blind increment"
    );
    assert_eq!(world.dump(), before, "overwritten");
    // A newer version's record is not passed over.
    world.server.command(&["SET", &world.key, "\u{3}newer"]);
    let answer = request(&layer, &world.cookie, async |session: Session| {
        let error = session.get::<String>("user").await.unwrap_err();
        assert_eq!(error.kind(), SessionErrorKind::Unavailable);
        OK
    })
    .await;
    assert_eq!(answer.set_cookie(), None);
}

#[tokio::test]
async fn a_cut_off_field_is_an_error_and_stays() {
    let world = World::new().await;
    // A field with the right header whose length says more than there is.
    world
        .server
        .command(&["SETRANGE", &world.key, "119", "\u{7f}\u{7f}\u{7f}"]);
    let before = world.dump();
    let answer = request(&world.layer, &world.cookie, async |session: Session| {
        let corrupt = SessionErrorKind::Corrupt;
        let error = session.get::<String>("user").await.unwrap_err();
        assert_eq!(error.kind(), corrupt);
        assert_eq!(session.increment("n", 1).await.unwrap_err().kind(), corrupt);
        session.set("user", "eve").unwrap();
        OK
    })
    .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.dump(), before, "overwritten");
    // Its owner is still known, and may end it.
    request(&world.layer, &world.cookie, async |session| {
        assert!(session.destroy().await.unwrap());
        OK
    })
    .await;
    assert_eq!(world.dump(), Value::Nil);
}

#[tokio::test]
async fn a_record_of_a_newer_format_is_unavailable_and_stays() {
    let world = World::new().await;
    // The first byte is the format; whatever the newer version made of the rest.
    world
        .server
        .command(&["SETRANGE", &world.key, "0", "\u{2}"]);
    world.everything_fails(SessionErrorKind::Unavailable).await;
    world.server.command(&["SET", &world.key, "\u{3}another"]);
    world.everything_fails(SessionErrorKind::Unavailable).await;
    let other = visit(&world.layer, "", "user", "eve").await;
    assert_eq!(
        read(&world.layer, &other, "user").await.as_deref(),
        Some("eve")
    );
    world
        .server
        .command(&["SETRANGE", &world.key, "0", "\u{1}"]);
}

#[tokio::test]
async fn an_older_and_a_newer_version_work_side_by_side() {
    let world = World::new().await;
    let newer = format!("__Host-session=2{}", "a".repeat(60));
    let both = format!("{newer}; {}", world.cookie);
    assert_eq!(
        read(&world.layer, &both, "user").await.as_deref(),
        Some("ada")
    );
    visit(&world.layer, &both, "user", "eve").await;
    assert_eq!(
        read(&world.layer, &world.cookie, "user").await.as_deref(),
        Some("eve")
    );
}

#[tokio::test]
async fn redis_expires_the_key_and_keeps_no_secret() {
    let world = World::new().await;
    let Value::Int(ttl) = world.server.command(&["PTTL", &world.key]) else {
        panic!("no time to live");
    };
    assert!((1..=3_600_000).contains(&ttl), "{ttl}");
    let Value::BulkString(record) = world.server.command(&["GET", &world.key]) else {
        panic!("no record");
    };
    let secret = &world.cookie.as_bytes()[world.cookie.len() - 30..];
    let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
    assert!(!holds(&record) && !holds(world.key.as_bytes()));
    assert_eq!(record[0], 1);
}

#[tokio::test]
async fn a_redis_that_hangs_costs_a_time_out_and_nothing_else() {
    let world = World::new().await;
    assert!(read(&world.layer, &world.cookie, "user").await.is_some());
    world.server.signal("STOP");
    let hung = tokio::time::timeout(Duration::from_secs(30), async {
        request(&world.layer, &world.cookie, async |session| {
            assert!(session.get::<String>("user").await.is_err());
            session.set("user", "eve").unwrap();
            OK
        })
        .await
    });
    let answer = hung.await.expect("every operation ends");
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(answer.set_cookie(), None);
    // Neither what needs no session nor what has no cookie waits.
    assert_eq!(
        request(&world.layer, &world.cookie, async |_| OK)
            .await
            .status,
        OK
    );
    assert_eq!(read(&world.layer, "", "user").await, None);
    world.server.signal("CONT");
    for _ in 0..300 {
        let mut found = None;
        request(&world.layer, &world.cookie, async |session: Session| {
            found = session.get::<String>("user").await.ok();
            OK
        })
        .await;
        if let Some(user) = found {
            // Whether the write that nobody answered was carried out, nobody promised.
            assert!(["ada", "eve"].contains(&&*user.unwrap()));
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the session does not come back");
}

#[tokio::test]
async fn a_write_tells_the_handle_what_time_it_is_in_redis() {
    let server = RedisServer::start();
    let redis = patient(&server.url());
    let layer = SessionLayer::new(redis.sessions());
    let cookie = visit(&layer, "", "user", "ada").await;
    let wire = redis.wire();
    let before = wire.now_ms();
    // As after the machine was put to sleep, the other way round.
    wire.observe_time("", before + 3_600_000);
    assert!(wire.now_ms() > before + 3_000_000);
    visit(&layer, &cookie, "user", "eve").await;
    assert!(
        wire.now_ms() < before + 60_000,
        "{}",
        wire.now_ms() - before
    );
}

#[tokio::test]
async fn a_user_with_no_more_than_the_rights_that_are_documented_is_enough() {
    let server = RedisServer::start();
    let connection = "+hello +ping +time";
    let sessions = "+eval +evalsha +get +set +getrange +setrange +exists +pexpire +del";
    let users = "~shop:u1:* +zadd +zrem +zrange +zremrangebyscore +pexpireat";
    let rights = format!("ACL SETUSER shop on >hunter2 ~shop:s1:* {connection} {sessions} {users}");
    server.command(&rights.split(' ').collect::<Vec<_>>());
    let url = format!("redis://shop:hunter2@127.0.0.1:{}", server.port());
    let redis = RedisHandle::builder(url).prefix("shop").connect().unwrap();
    let store = redis.sessions();
    tower_handoff::session::contract::check(&store).await;
}
