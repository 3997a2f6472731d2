//! Several things that Redis refuses at once: each is said where it begins and where it ends.

use std::time::Duration;

use redis::cmd;
use tokio::time::{Instant, sleep};
use tower_handoff::redis::RedisHandle;

use super::said::own_lines;
use crate::support::eventually::eventually;
use crate::support::log::Log;
use crate::support::redis_server::RedisServer;

const MS: Duration = Duration::from_millis(1);

fn set(handle: &RedisHandle) -> impl Future<Output = bool> {
    let (wire, mut set) = (handle.wire(), cmd("SET"));
    set.arg("key").arg("value");
    async move { wire.send(set).await.is_ok() }
}

/// A line of the level that has the word.
fn count(log: &Log, level: &str, word: &str) -> usize {
    let text = log.text();
    let lines = own_lines(&text).into_iter();
    let said = lines.filter(|line| line.contains(level) && line.contains(word));
    said.count()
}

/// The inbox channel is refused all the time, about once a second, as long as somebody wants it.
// One thread, so that the subscriber of this thread sees the supervisor too.
#[tokio::test]
async fn a_command_that_is_refused_for_ever_hides_no_state_of_the_server() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::INFO);
    let server = RedisServer::start();
    let me = ["ACL", "SETUSER", "me", "on", ">pw", "~*", "+@all"];
    server.command(&[&me[..], &["resetchannels"]].concat());
    let url = format!("redis://me:pw@127.0.0.1:{}", server.port());
    let handle = RedisHandle::connect(&url).expect("a good url");
    let wire = handle.wire();
    wire.inbox_ready().await.expect_err("it is forbidden");
    let inbox = handle.warning().expect("it is not well");
    assert!(inbox.contains("inbox"), "{inbox}");

    let mut lines = own_lines(&log.text()).len();
    for (option, ill, well, code) in [
        ("maxmemory", "1", "0", "OOM"),
        ("min-replicas-to-write", "1", "0", "NOREPLICAS"),
    ] {
        server.command(&["CONFIG", "SET", option, ill]);
        let begun = Instant::now();
        // So long that the channel is asked for again, and refused, at least twice.
        while begun.elapsed() < 2_500 * MS {
            assert!(!set(&handle).await, "{code}");
            wire.inbox_ready().await.expect_err("it is forbidden");
            let warning = handle.warning().expect("it is not well");
            assert!(warning.contains(code), "{warning}");
            sleep(50 * MS).await;
        }
        assert_eq!(count(&log, "WARN", code), 1, "{}", log.text());
        server.command(&["CONFIG", "SET", option, well]);
        eventually("it takes writes", async || {
            assert!(set(&handle).await, "{code}");
            count(&log, "INFO", code) == 1
        })
        .await;
        assert_eq!(handle.warning().as_ref(), Some(&inbox), "it still is");
        lines += 2;
    }
    let text = log.text();
    assert_eq!(own_lines(&text).len(), lines, "{text}");
    server.command(&["ACL", "SETUSER", "me", "allchannels"]);
    eventually("now it is allowed", async || {
        wire.inbox_ready().await.is_ok()
    })
    .await;
    assert_eq!(handle.warning(), None);
    assert_eq!(count(&log, "INFO", "inbox channel"), 1, "{}", log.text());
}

#[tokio::test]
async fn another_state_of_the_server_is_another_line() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::INFO);
    let server = RedisServer::start();
    let handle = RedisHandle::connect(&server.url()).expect("a good url");
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(!set(&handle).await);
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    for _ in 0..20 {
        assert!(!set(&handle).await);
    }
    let warning = handle.warning().expect("it is not well");
    assert!(warning.contains("NOREPLICAS"), "{warning}");
    for code in ["OOM", "NOREPLICAS"] {
        assert_eq!(count(&log, "WARN", code), 1, "{}", log.text());
    }
}

#[tokio::test]
async fn each_command_that_is_refused_is_said_and_forgotten_by_itself() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::INFO);
    let server = RedisServer::start();
    let handle = RedisHandle::connect(&server.url()).expect("a good url");
    let refused = async |name: &str| {
        let answer = handle.wire().send(cmd(name)).await;
        answer.expect_err("nobody knows it");
    };
    for _ in 0..3 {
        refused("FIRST").await;
        refused("SECOND").await;
    }
    for name in ["FIRST", "SECOND"] {
        assert_eq!(count(&log, "WARN", name), 1, "{}", log.text());
    }
    let warning = handle.warning().expect("it is not well");
    assert!(warning.contains("FIRST"), "{warning}");
    // However many there are: what an application may send of its own makes no endless list.
    for number in 0..100 {
        refused(&format!("OTHER{number}")).await;
    }
    let others = count(&log, "WARN", "OTHER");
    assert!((1..=30).contains(&others), "{others}");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(50)).await;
    tokio::time::resume();
    eventually("it is up", async || handle.ping().await.is_ok()).await;
    refused("SECOND").await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    eventually("it is up", async || handle.ping().await.is_ok()).await;
    let warning = handle.warning().expect("the one that was refused just now");
    assert!(warning.contains("SECOND"), "{warning}");
    assert_eq!(count(&log, "INFO", "FIRST"), 1, "{}", log.text());
    assert_eq!(count(&log, "INFO", "SECOND"), 0, "{}", log.text());
}
