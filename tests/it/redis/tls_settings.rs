//! Settings of TLS that cannot be accepted, and what is said about them.

use tower_handoff::redis::{RedisBuilder, RedisHandle};

use crate::support::certificates::Authority;

fn builder() -> RedisBuilder {
    RedisHandle::builder("rediss://127.0.0.1")
}

#[tokio::test]
async fn what_cannot_be_read_or_used_is_named_and_not_shown() {
    let authority = Authority::new();
    let (mine, other) = (authority.sign("me"), authority.sign("me"));
    let damaged = mine.chain.replacen('M', "!", 1);
    let plain = || RedisHandle::builder("redis://127.0.0.1");
    for (option, builder) in [
        ("tls_roots", builder().tls_roots("")),
        ("tls_roots", builder().tls_roots("hunter2")),
        ("tls_roots", builder().tls_roots(damaged.clone())),
        ("tls_roots", builder().tls_roots(mine.key.clone())),
        ("tls_roots", plain().tls_roots(authority.pem())),
        (
            "tls_identity",
            plain().tls_identity(mine.chain.clone(), mine.key.clone()),
        ),
        ("tls_identity", builder().tls_identity("", mine.key.clone())),
        (
            "tls_identity",
            builder().tls_identity(damaged, mine.key.clone()),
        ),
        (
            "tls_identity",
            builder().tls_identity(mine.chain.clone(), "hunter2"),
        ),
        (
            "tls_identity",
            builder().tls_identity(mine.chain.clone(), mine.chain.clone()),
        ),
        (
            "tls_identity",
            builder().tls_identity(mine.chain.clone(), other.key.clone()),
        ),
        ("url", RedisHandle::builder("rediss://:hunter2@a..b")),
        (
            "url",
            RedisHandle::builder("rediss://:hunter2@127.0.0.1#insecure"),
        ),
        (
            "url",
            RedisHandle::builder("rediss://:hunter2@127.0.0.1?insecure=true"),
        ),
    ] {
        let debug = format!("{builder:?}");
        let error = builder.connect().expect_err(option);
        assert_eq!(error.option(), option, "{error}");
        let shown = format!("{error} {error:?} {debug}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("PRIVATE"),
            "{shown}"
        );
        assert!(shown.len() < 1000, "no certificate in it: {shown}");
    }
}

#[tokio::test]
async fn every_documented_form_is_accepted() {
    let authority = Authority::new();
    let mine = authority.sign("me");
    let both = authority.pem() + &Authority::new().pem();
    for url in [
        "rediss://localhost",
        "rediss://127.0.0.1:6379",
        "rediss://[::1]:6379/15",
        "rediss://user:p%40ss@redis.internal:6380/2",
    ] {
        let builder = RedisHandle::builder(url).tls_roots(both.clone());
        let builder = builder.tls_identity(mine.chain.clone(), mine.key.clone());
        assert!(!format!("{builder:?}").contains("p%40ss"));
        builder.connect().expect(url);
    }
}
