//! Redis refuses this process: told apart from a Redis that is away, and mended without a restart.

use tower_handoff::redis::{AwayCause, RedisStatus};

use super::said::{failure, own_lines};
use crate::support::eventually::eventually;
use crate::support::log::Log;
use crate::support::patient::patient;
use crate::support::redis_server::{RedisServer, free_port};

#[tokio::test]
async fn each_refusal_is_named_and_a_right_that_lacks_with_its_command() {
    let server = RedisServer::start();
    let rights = |user, right| {
        let all = [
            "ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", right,
        ];
        server.command(&all);
    };
    rights("no-ping", "-ping");
    rights("no-time", "-time");
    server.command(&["ACL", "SETUSER", "default", "on", ">secret"]);
    let at = format!("127.0.0.1:{}", server.port());
    for (login, word) in [
        ("", "NOAUTH"),
        (":hunter2@", "WRONGPASS"),
        ("nobody:hunter2@", "WRONGPASS"),
        ("no-ping:pw@", "'ping'"),
        ("no-time:pw@", "'time'"),
    ] {
        let handle = patient(&format!("redis://{login}{at}"));
        let (cause, reason) = failure(&handle).await;
        assert_eq!(cause, AwayCause::Login, "{login}: {reason}");
        assert!(reason.contains(word), "{login}: {reason}");
        assert!(!reason.contains("hunter2"), "{reason}");
    }
}

// One thread, so that the subscriber of this thread sees the supervisor too.
#[tokio::test]
async fn each_cause_is_logged_once_and_what_is_mended_at_redis_is_found() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::INFO);
    let port = free_port();
    let url = format!("redis://me:pw@127.0.0.1:{port}");
    let handle = patient(&url);
    assert_eq!(failure(&handle).await.0, AwayCause::Unreachable);
    let server = RedisServer::start_on(port, &[]);
    eventually("Redis refuses the user", async || {
        failure(&handle).await.0 == AwayCause::Login
    })
    .await;
    // Several attempts more; none of them is news.
    eventually("Redis has refused it often", async || {
        let refused: Vec<redis::Value> =
            redis::from_redis_value(server.command(&["ACL", "LOG"])).expect("a list");
        format!("{refused:?}").contains("auth") && {
            let list = server.command(&["INFO", "stats"]);
            let text: String = redis::from_redis_value(list).expect("text");
            let count = text
                .lines()
                .find_map(|line| line.strip_prefix("acl_access_denied_auth:"));
            count.is_none_or(|count| count.parse::<u32>().expect("a number") >= 4)
        }
    })
    .await;
    server.command(&["ACL", "SETUSER", "me", "on", ">pw", "~*", "&*", "+@all"]);
    eventually("a ping is answered", async || handle.ping().await.is_ok()).await;

    let text = log.text();
    let lines = own_lines(&text);
    assert_eq!(lines.len(), 3, "unreachable, refused, up:\n{text}");
    assert!(lines[0].contains("cause=Unreachable"), "{text}");
    assert!(
        lines[1].contains("cause=Login") && lines[1].contains("WRONGPASS"),
        "{text}"
    );
}

#[tokio::test]
async fn a_user_that_is_removed_is_refused_from_then_on() {
    let server = RedisServer::start();
    server.command(&["ACL", "SETUSER", "me", "on", ">pw", "~*", "&*", "+@all"]);
    let url = format!("redis://me:pw@127.0.0.1:{}", server.port());
    let handle = patient(&url);
    handle.ping().await.expect("it is up");
    server.command(&["ACL", "DELUSER", "me"]);
    eventually("Redis refuses the user", async || {
        matches!(
            handle.status(),
            RedisStatus::Away {
                cause: AwayCause::Login,
                ..
            }
        )
    })
    .await;
}
