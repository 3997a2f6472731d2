//! URLs with sentinels: what is accepted, what is said about the rest, and what stays secret.

use tower_handoff::redis::RedisHandle;

#[tokio::test]
async fn every_documented_form_is_accepted_and_no_password_shown() {
    for url in [
        "redis-sentinel://a/main",
        "redis-sentinel://a:1,b,c:3/main/2",
        "redis-sentinel://user:hunter2@a:1,b/my-main.1_x",
        "redis-sentinel://:hunter2@[::1],[::1]:7/main",
    ] {
        let handle = RedisHandle::connect(url).expect(url);
        let builder = RedisHandle::builder(url).sentinel_credentials("me", "hunter3");
        let shown = format!("{handle:?} {builder:?}");
        assert!(
            shown.contains("main") && !shown.contains("hunter"),
            "{shown}"
        );
        builder.connect().expect("credentials belong here");
    }
    let shown = format!(
        "{:?}",
        RedisHandle::connect("redis-sentinel://a,[::1]/main/2")
    );
    assert!(shown.contains("main of a:26379,::1:26379"), "{shown}");
}

#[tokio::test]
async fn a_bad_url_is_named_with_its_password_masked() {
    for url in [
        "redis-sentinel:",
        "redis-sentinel://",
        "redis-sentinel:///main",
        "redis-sentinel://a",
        "redis-sentinel://a/",
        "redis-sentinel://a//2",
        "redis-sentinel://a,/main",
        "redis-sentinel://a,,b/main",
        "redis-sentinel://a:0/main",
        "redis-sentinel://a:65536/main",
        "redis-sentinel://a/main/two",
        "redis-sentinel://a/main/-1",
        "redis-sentinel://a/main/1/2",
        "redis-sentinel://a/ma in",
        "redis-sentinel://a/main?timeout=5",
        "redis-sentinel://a/main#x",
        "redis-sentinel://me:hunter2,b/main",
        "redis-sentinel://me:hunter2,b:1/main",
        "redis-sentinel://me:hunter2@/main",
        "redis-sentinel://:hunter2@a:port/main",
        #[cfg(not(feature = "tls-rustls"))]
        "rediss-sentinel://me:hunter2@a/main",
    ] {
        let error = RedisHandle::connect(url).expect_err(url);
        assert_eq!(error.option(), "url", "{url}");
        assert!(error.accepted().contains("name-of-the-master"), "{error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{url}: {shown}");
    }
}

#[tokio::test]
async fn credentials_for_sentinels_without_sentinels_are_an_error() {
    let builder = RedisHandle::builder("redis://127.0.0.1").sentinel_credentials("me", "hunter2");
    let error = builder.connect().expect_err("nobody to give them to");
    assert_eq!(error.option(), "sentinel_credentials");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}

#[cfg(feature = "tls-rustls")]
#[tokio::test]
async fn tls_is_settled_for_every_sentinel_before_the_first_attempt() {
    let connect = |url| RedisHandle::connect(url);
    connect("rediss-sentinel://a,b:1,[::1]/main").expect("good names for certificates");
    let error = connect("rediss-sentinel://a,b..c/main").expect_err("no name for a certificate");
    assert_eq!((error.option(), error.value()), ("url", "b..c"));
    let builder = RedisHandle::builder("redis-sentinel://a/main").tls_roots("no PEM");
    assert_eq!(builder.connect().expect_err("no TLS").option(), "tls_roots");
}
