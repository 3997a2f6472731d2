//! Settings that cannot be accepted, and what is said about them.

use std::time::Duration;

use tower_handoff::redis::RedisHandle;

use crate::support::redis_server::RedisServer;

#[tokio::test]
async fn a_bad_url_is_named_with_its_password_masked() {
    for url in [
        "",
        "localhost:6379",
        "http://127.0.0.1:6379",
        "redis://",
        "redis:///0",
        "redis://:6379",
        "redis://:hunter2",
        "redis://user:hunter2/0",
        "redis://:hunter2@",
        "redis://:hunter2@:6379",
        "redis://127.0.0.1:port",
        "redis://127.0.0.1:0",
        "redis://127.0.0.1:65536",
        "redis://user:hunter2@127.0.0.1:65536/0",
        "redis://user:hunter2@127.0.0.1/zero",
        "redis://user:hunter2@127.0.0.1/-1",
        "redis://127.0.0.1/0/1",
        "redis://127.0.0.1?timeout=5",
        "redis://127.0.0.1/0?password=hunter2",
        "redis://127.0.0.1#insecure",
        "redis://0.0.0.0:6379",
        "rediss://:hunter2@",
        "redis+cluster://127.0.0.1:6379",
        #[cfg(not(feature = "sentinel"))]
        "redis-sentinel://:hunter2@127.0.0.1:26379/main",
        "redis://127.0.0.1:6379,127.0.0.1:6380",
        "unix://",
        "unix:///",
        "unix:///run/redis.sock?db=x&pass=hunter2",
        "unix:///run/redis.sock?database=1",
        "redis://us er:hunter2@",
    ] {
        let error = RedisHandle::connect(url).expect_err(url);
        assert_eq!(error.option(), "url", "{url}");
        assert!(error.accepted().contains("redis://"), "{error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{url}: {shown}");
    }
}

#[tokio::test]
async fn every_documented_form_of_a_url_is_accepted() {
    for url in [
        "redis://localhost",
        "redis://127.0.0.1:6379",
        "redis://[::1]:6379/15",
        "redis://:hunter2@127.0.0.1/",
        "redis://user:p%40ss@127.0.0.1:6379/2",
        "unix:///run/redis.sock",
        "unix:///run/redis.sock?db=2&user=me&pass=hunter2",
        "redis+unix:///run/redis.sock",
    ] {
        let handle = RedisHandle::connect(url).expect(url);
        let shown = format!("{handle:?} {:?}", RedisHandle::builder(url));
        assert!(
            !shown.contains("hunter2") && !shown.contains("p%40ss"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_setting_out_of_range_is_named() {
    let builder = || RedisHandle::builder("redis://127.0.0.1");
    for (option, builder) in [
        ("prefix", builder().prefix("")),
        ("prefix", builder().prefix("a b")),
        ("prefix", builder().prefix("a{b}")),
        ("prefix", builder().prefix("ä")),
        ("prefix", builder().prefix("a\n")),
        ("prefix", builder().prefix("x".repeat(65))),
        ("command_timeout", builder().command_timeout(Duration::ZERO)),
        ("command_timeout", builder().command_timeout(Duration::MAX)),
        ("connect_timeout", builder().connect_timeout(Duration::ZERO)),
        (
            "connect_timeout",
            builder().connect_timeout(Duration::from_secs(11)),
        ),
        ("queue_bound", builder().queue_bound(0)),
        ("queue_bound", builder().queue_bound(usize::MAX)),
    ] {
        let error = builder.connect().expect_err(option);
        assert_eq!(error.option(), option);
    }
    assert!(builder().prefix("x".repeat(64)).connect().is_ok());
}

#[test]
fn outside_of_a_runtime_is_an_error_and_no_panic() {
    let error = RedisHandle::connect("redis://127.0.0.1").expect_err("there is no runtime");
    assert_eq!(error.option(), "runtime");
}

#[tokio::test]
async fn a_password_and_a_database_reach_redis_over_both_transports() {
    let server = RedisServer::start();
    server.command(&["ACL", "SETUSER", "me", "on", ">p@ss", "~*", "+@all"]);
    let socket = server.socket();
    for url in [
        format!("redis://me:p%40ss@127.0.0.1:{}/3", server.port()),
        format!("unix://{}?db=3&user=me&pass=p%40ss", socket.display()),
        format!("redis+unix://{}?db=3&user=me&pass=p%40ss", socket.display()),
    ] {
        let handle = RedisHandle::connect(&url).expect(&url);
        let mut command = redis::cmd("CLIENT");
        command.arg("INFO");
        let info = handle.wire().send(command).await.expect(&url);
        let info: String = redis::from_redis_value(info).expect("text");
        assert!(
            info.contains(" db=3 ") && info.contains(" user=me "),
            "{info}"
        );
    }
    let url = format!("redis://me:wr0ng@127.0.0.1:{}", server.port());
    let handle = RedisHandle::connect(&url).expect(&url);
    let error = handle.ping().await.expect_err("the password is wrong");
    let shown = format!("{error} {error:?} {handle:?} {:?}", handle.status());
    assert!(
        shown.contains("WRONGPASS") || shown.contains("uthentication"),
        "{shown}"
    );
    assert!(!shown.contains("wr0ng"), "{shown}");
}
