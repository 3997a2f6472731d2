//! What is said of a URL whose feature was not built in. With all features there is nothing to say:
//! `cargo test --test without_features` has the default ones.

#![cfg(not(all(feature = "cluster", feature = "sentinel", feature = "tls-rustls")))]

use tower_handoff::redis::RedisHandle;

#[cfg(not(feature = "tls-rustls"))]
#[tokio::test]
async fn without_its_feature_a_url_with_tls_is_an_error_that_names_the_feature() {
    let error = RedisHandle::connect("rediss://:hunter2@127.0.0.1").expect_err("no TLS");
    assert_eq!(
        (error.option(), error.value()),
        ("url", "rediss://***@127.0.0.1")
    );
    assert!(error.accepted().contains("feature `tls-rustls`"), "{error}");
}

#[cfg(not(feature = "cluster"))]
#[tokio::test]
async fn without_its_feature_a_cluster_is_an_error_that_names_the_feature() {
    let url = "redis-cluster://:hunter2@127.0.0.1:7000,127.0.0.1:7001";
    let error = RedisHandle::connect(url).expect_err("no Cluster");
    assert_eq!(error.option(), "url");
    assert!(error.accepted().contains("feature `cluster`"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}

#[cfg(not(feature = "sentinel"))]
#[tokio::test]
async fn without_its_feature_a_url_with_sentinels_is_an_error_that_names_the_feature() {
    for scheme in ["redis-sentinel", "rediss-sentinel"] {
        let url = format!("{scheme}://:hunter2@a,b/main");
        let error = RedisHandle::connect(&url).expect_err("no sentinels");
        assert_eq!(error.value(), format!("{scheme}://***@a,b/main"));
        assert!(error.accepted().contains("feature `sentinel`"), "{error}");
    }
}
