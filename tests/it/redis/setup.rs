//! How Redis is set up: what is warned of, and what cannot be used at all.

use tower_handoff::redis::{AwayCause, RedisStatus};

use super::said::failure;
use crate::support::eventually::eventually;
use crate::support::log::Log;
use crate::support::patient::patient;
use crate::support::quiet_port::quiet_port;
#[cfg(feature = "sentinel")]
use crate::support::redis_sentinel::Sentinel;
use crate::support::redis_server::RedisServer;
use crate::support::retelling::retelling;

/// What is warned of while `handle` connects `times` times.
async fn warnings(server: &RedisServer, url: &str, times: u64) -> Vec<String> {
    let (log, _guard) = Log::of_this_thread(tracing::Level::INFO);
    let handle = patient(url);
    let mut epochs = handle.wire().epochs();
    for time in 1..=times {
        eventually("it connects", async || *epochs.borrow_and_update() >= time).await;
        handle.ping().await.expect("a warning is no failure");
        if time < times {
            server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
    }
    let text = log.text();
    let lines = text
        .lines()
        .filter(|line| line.contains("WARN") && !line.contains("Redis is away"));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_policy_that_may_evict_locks_is_warned_of_once_a_connection() {
    let server = RedisServer::start();
    let policy = |policy, limit| {
        server.command(&["CONFIG", "SET", "maxmemory-policy", policy]);
        server.command(&["CONFIG", "SET", "maxmemory", limit]);
    };
    policy("volatile-lru", "100mb");
    let lines = warnings(&server, &server.url(), 3).await;
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines.iter().all(|line| line.contains("volatile-lru")),
        "{lines:?}"
    );
    for (name, limit) in [("noeviction", "100mb"), ("allkeys-lru", "0")] {
        policy(name, limit);
        let lines = warnings(&server, &server.url(), 1).await;
        assert!(lines.is_empty(), "{name}: {lines:?}");
    }
}

#[tokio::test]
async fn a_user_without_the_channels_is_warned_of_and_one_without_info_is_not() {
    let server = RedisServer::start();
    let user = ["ACL", "SETUSER", "me", "on", ">pw", "~*", "+@all"];
    let url = format!("redis://me:pw@127.0.0.1:{}", server.port());
    for (rights, warned) in [
        (&["resetchannels"][..], true),
        (&["resetchannels", "&app:inbox1:*"], false),
        (&["-publish"], true),
        (&["+publish", "-info"], false),
    ] {
        server.command(&[&user[..], rights].concat());
        let lines = warnings(&server, &url, 1).await;
        assert_eq!(lines.len(), usize::from(warned), "{rights:?}: {lines:?}");
        assert!(
            lines.iter().all(|line| line.contains("NOPERM")),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn a_version_that_is_too_old_is_named_and_never_used() {
    let server = RedisServer::start();
    let hello = server.command(&["INFO", "server"]);
    let hello: String = redis::from_redis_value(hello).expect("text");
    // Valkey's `redis_version` is the one that it is compatible with, and not what it greets with.
    let said = |field| hello.lines().find_map(|line| line.strip_prefix(field));
    let version = said("valkey_version:").or_else(|| said("redis_version:"));
    let version: &'static str = version.expect("a version").to_owned().leak();
    let digits = version.len() - 2;
    for (told, good) in [("6.1", false), ("5.9", false), ("6.2", true), ("9.0", true)] {
        let told: &'static str = format!("{told}{:.>1$}", "", digits - 1).leak();
        let port = retelling(server.port(), version, told).await;
        let url = format!("redis://127.0.0.1:{port}");
        let handle = patient(&url);
        assert_eq!(handle.ping().await.is_ok(), good, "{told}");
        if let RedisStatus::Away { cause, reason, .. } = handle.status() {
            assert_eq!(cause, AwayCause::Unsupported, "{told}: {reason}");
            assert!(
                reason.contains(&told[..3]) && reason.contains("6.2"),
                "{reason}"
            );
        }
    }
}

#[tokio::test]
async fn a_node_of_a_cluster_is_named_where_the_url_is_of_one_server() {
    let server = RedisServer::start_on(quiet_port(), &["--cluster-enabled", "yes"]);
    let handle = patient(&server.url());
    let (cause, reason) = failure(&handle).await;
    assert_eq!(cause, AwayCause::Unsupported, "{reason}");
    assert!(reason.contains("redis-cluster://"), "{reason}");
}

#[cfg(feature = "sentinel")]
#[tokio::test]
async fn a_sentinel_is_named_where_the_url_is_of_a_server() {
    let server = RedisServer::start();
    let sentinel = Sentinel::start(server.port(), 1, &[]);
    let url = format!("redis://127.0.0.1:{}", sentinel.port());
    let handle = patient(&url);
    let (cause, reason) = failure(&handle).await;
    assert_eq!(cause, AwayCause::Unsupported, "{reason}");
    assert!(reason.contains("redis-sentinel://"), "{reason}");
}
