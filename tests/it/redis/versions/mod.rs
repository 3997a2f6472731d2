//! Which server this run is of, and what differs between them: `scripts/test versions` runs on each.

use std::error::Error;
use std::time::Duration;

use tower_handoff::lock::{LockKey, Locks};
use tower_handoff::redis::{AwayCause, RedisError, RedisErrorKind, RedisHandle, RedisStatus};

use super::said::{failure, own_lines};
use crate::support::log::Log;
use crate::support::patient::patient;
use crate::support::redis_server::binary::version;
use crate::support::redis_server::{RedisServer, free_port};

/// What the server says of itself, as `scripts/servers` names it: `redis-6.2.14`, `valkey-8.1.1`.
fn name(server: &RedisServer) -> String {
    let info: String = redis::from_redis_value(server.command(&["INFO", "server"])).expect("text");
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
    match field("valkey_version:") {
        Some(version) => format!("valkey-{version}"),
        None => format!("redis-{}", field("redis_version:").expect("a version")),
    }
}

/// `TOWER_HANDOFF_SERVER` is the name that the server has in `scripts/servers`.
#[test]
fn the_server_is_the_one_that_was_named() {
    let server = RedisServer::start();
    let name = name(&server);
    println!("the server under test: {name}");
    let (major, minor) = version();
    let asked = std::env::var("TOWER_HANDOFF_SERVER")
        .unwrap_or_else(|_| format!("{}-{major}.{minor}", name.split('-').next().expect("one")));
    assert!(
        name.starts_with(&format!("{asked}.")),
        "asked for {asked}, started {name}"
    );
}

#[tokio::test]
async fn from_6_2_on_it_is_used_and_an_older_one_is_refused_by_its_version() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    let (major, minor) = version();
    if (major, minor) >= (6, 2) {
        handle.ping().await.expect("it is used");
        assert!(matches!(handle.status(), RedisStatus::Up));
        return;
    }
    let (cause, reason) = failure(&handle).await;
    assert_eq!(cause, AwayCause::Unsupported, "{reason}");
    let told = format!("the server's version is {major}.{minor}; needed is Redis 6.2");
    assert!(reason.contains(&told), "{reason}");
}

/// Up to 7.0 Redis does not say it of a script.
const NAMES_THE_COMMAND: (u32, u32) = (7, 2);

#[tokio::test]
async fn a_right_that_a_script_lacks_is_noperm_and_named_or_where_to_find_its_name() {
    let server = RedisServer::start();
    for lacks in ["get", "set", "time"] {
        let user = ["ACL", "SETUSER", lacks, "on", ">pw", "~*", "&*", "+@all"];
        server.command(&user);
        // `TIME` is asked on every connection: without it there is none.
        let right = format!("-{lacks}");
        server.command(&["ACL", "SETUSER", lacks, &right]);
        let url = format!("redis://{lacks}:pw@127.0.0.1:{}", server.port());
        let handle = patient(&url);
        if lacks == "time" {
            let (cause, reason) = failure(&handle).await;
            assert_eq!(cause, AwayCause::Login, "{reason}");
            assert!(reason.contains("'time'"), "{reason}");
            continue;
        }
        let error = refused(&handle).await;
        assert_eq!(error.code(), Some("NOPERM"), "{error}");
        let name = if version() >= NAMES_THE_COMMAND {
            format!("'{lacks}'")
        } else {
            "ACL LOG".to_owned()
        };
        assert!(error.to_string().contains(&name), "{error}");
    }
}

#[tokio::test]
async fn a_command_that_was_renamed_is_named_where_a_connection_begins() {
    let server = RedisServer::start_on(free_port(), &["--rename-command", "TIME", "OTHER"]);
    let handle = patient(&server.url());
    let (cause, reason) = failure(&handle).await;
    assert_eq!(cause, AwayCause::NotReady, "{reason}");
    assert!(reason.contains("TIME"), "{reason}");
}

// One thread, so that the subscriber of this thread sees the supervisor too.
#[tokio::test]
async fn commands_of_the_scripts_that_were_renamed_are_named_once_where_a_connection_begins() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::INFO);
    let renamed = ["LPOS", "ZADD"].map(|name| ["--rename-command", name, ""]);
    let server = RedisServer::start_on(free_port(), renamed.as_flattened());
    let handle = patient(&server.url());
    handle.ping().await.expect("the others are served");
    let text = log.text();
    let said = own_lines(&text).into_iter();
    let said: Vec<_> = said
        .filter(|line| line.contains("rename-command"))
        .collect();
    assert_eq!(said.len(), 1, "{text}");
    assert!(
        said[0].contains("WARN") && said[0].contains("LPOS, ZADD "),
        "{text}"
    );

    let (log, _guard) = Log::of_this_thread(tracing::Level::INFO);
    let server = RedisServer::start();
    patient(&server.url()).ping().await.expect("it is up");
    assert!(!log.text().contains("rename-command"), "{}", log.text());
}

/// A proxy may serve what it does not list. Here Redis itself is asked, and says no.
#[tokio::test]
async fn a_command_that_is_not_listed_is_sent_all_the_same() {
    let server = RedisServer::start_on(free_port(), &["--rename-command", "GET", ""]);
    let handle = patient(&server.url());
    let mut get = redis::cmd("GET");
    get.arg("key");
    let error = handle.wire().send(get).await.expect_err("nobody knows it");
    assert_eq!(error.kind(), RedisErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("unknown command"), "{error}");
}

#[tokio::test]
async fn a_write_that_a_script_is_refused_for_the_moment_has_its_code() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    handle.ping().await.expect("it is up");
    server.command(&["RPUSH", "app:l1:{a}", "of another type"]);
    assert_eq!(refused(&handle).await.code(), Some("WRONGTYPE"));
    server.command(&["DEL", "app:l1:{a}"]);
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert_eq!(refused(&handle).await.code(), Some("NOREPLICAS"));
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(refused(&handle).await.code(), Some("OOM"));
}

/// Why Redis does not let anybody have the lock `a`.
async fn refused(handle: &RedisHandle) -> RedisError {
    let locks = Locks::new(handle.locks()).with_wait(Duration::from_secs(5));
    let key = LockKey::new("a").expect("short");
    let taken = locks.expect("in range").acquire(key).await;
    let error = taken.expect_err("Redis refuses it");
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    let cause: &RedisError = cause.unwrap_or_else(|| panic!("not by Redis: {error}"));
    assert_eq!(cause.kind(), RedisErrorKind::Refused, "{cause}");
    cause.clone()
}
