//! Old and new code side by side: what an instance does not understand it does not touch.
//!
//! The newer version is played by its bytes: a value or a cookie with a format that this version
//! does not know, as a newer instance would have written it.

use crate::support::redis_server::RedisServer;
use crate::support::testbed::Testbed;

fn key_of(redis: &RedisServer, pattern: &str) -> String {
    let keys: Vec<String> =
        redis::from_redis_value(redis.command(&["KEYS", pattern])).expect("keys");
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys.into_iter().next().expect("one key")
}

#[tokio::test]
async fn a_session_of_a_newer_format_is_left_alone() {
    let redis = RedisServer::start();
    let url = redis.url();
    let testbed = Testbed::start(&[("REDIS_URL", &url)]).await;
    testbed.until("/ready", 200).await;
    let mut client = testbed.client();
    client.put("/session/name", "\"Ada\"").await;
    let cookies = client.cookies.clone();
    let key = key_of(&redis, "testbed:s*");
    redis.command(&["SETRANGE", &key, "0", "\u{9}"]);
    let before = redis.command(&["GET", &key]);
    for (method, path, body) in [
        ("GET", "/session/name", None),
        ("GET", "/session", None),
        ("PUT", "/session/name", Some("1")),
        ("PUT", "/slow/name?ms=0", Some("1")),
        ("DELETE", "/session/name", None),
        ("POST", "/counter/hits", None),
        ("POST", "/session/rotate", None),
        ("DELETE", "/session", None),
    ] {
        let answer = client.send(method, path, body).await;
        assert_eq!(answer.status, 503, "{method} {path}: {answer:?}");
        assert!(answer.header("retry-after").is_some(), "{method} {path}");
        assert_eq!(answer.header("set-cookie"), None, "{method} {path}");
        assert_eq!(redis.command(&["GET", &key]), before, "{method} {path}");
    }
    // The newer instance goes on with it, and so does this one with what it wrote itself.
    redis.command(&["SETRANGE", &key, "0", "\u{1}"]);
    client.cookies = cookies;
    assert_eq!(client.get("/session/name").await.text(), "\"Ada\"");
}

#[tokio::test]
async fn a_cookie_of_a_newer_format_is_left_alone() {
    let redis = RedisServer::start();
    let url = redis.url();
    let testbed = Testbed::start(&[("REDIS_URL", &url)]).await;
    testbed.until("/ready", 200).await;
    let mut client = testbed.client();
    client.put("/session/name", "\"Ada\"").await;
    let (name, value) = client.cookies.pop_first().expect("a cookie");
    client.cookies.insert(name, format!("2{}", &value[1..]));
    for (method, body) in [("GET", None), ("PUT", Some("1"))] {
        let answer = client.send(method, "/session/name", body).await;
        assert_eq!(
            (answer.status, answer.header("set-cookie")),
            (503, None),
            "{answer:?}"
        );
    }
    assert_eq!(client.get("/untouched").await.status, 200);
}

#[tokio::test]
async fn a_lock_of_a_newer_format_is_left_alone() {
    let redis = RedisServer::start();
    let url = redis.url();
    let testbed = Testbed::start(&[("REDIS_URL", &url)]).await;
    testbed.until("/ready", 200).await;
    let mut client = testbed.client();
    let holder = tokio::spawn(async move { client.post("/lock/x?hold_ms=1000").await });
    super::locks::held(&testbed).await;
    let key = key_of(&redis, "testbed:l*}");
    let mine = redis.command(&["GET", &key]);
    assert_eq!(holder.await.expect("an answer").status, 200);
    let redis::Value::BulkString(mut newer) = mine else {
        panic!("{mine:?}")
    };
    newer[0] = 9;
    // Latin-1 bytes would not survive a command line; the value is played by a short one.
    redis.command(&["SET", &key, "\u{9}newer"]);
    for path in ["/lock/x?wait_ms=200", "/trylock/x"] {
        let answer = testbed.client().post(path).await;
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
        assert!(answer.header("retry-after").is_some(), "{path}");
    }
    assert_eq!(
        redis.command(&["GET", &key]),
        redis::Value::BulkString(b"\x09newer".to_vec())
    );
}
