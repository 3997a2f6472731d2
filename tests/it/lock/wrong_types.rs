//! What is no lock, no fence floor and no line, where these belong.

use http::StatusCode;
use tower_handoff::Reason;
use tower_handoff::Refusal;

use super::rig::{fencing, layer, send, status, text};
use crate::support::eventually::eventually;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

const LOCK: &str = "app:l1:{x-lock:a}";
const LINE: &str = "app:l1:{x-lock:a}:q";

#[tokio::test]
async fn a_key_of_another_type_makes_its_lock_unavailable_and_stays() {
    let server = RedisServer::start();
    let locks = patient(&server.url()).locks();
    let waiting = fencing(&layer(&locks));
    for (key, right) in [(LOCK, "SET"), (LINE, "RPUSH")] {
        for command in [
            &["SET", key, "1"][..],
            &["RPUSH", key, "x"],
            &["SADD", key, "x"],
            &["HSET", key, "a", "x"],
            &["ZADD", key, "1", "x"],
            &["XADD", key, "1-1", "a", "x"],
        ] {
            if command[0] == right {
                continue;
            }
            server.command(&["FLUSHALL"]);
            server.command(command);
            let before = server.command(&["DUMP", key]);
            for service in [&waiting, &fencing(&layer(&locks).with_try())] {
                let answer = send(service, "a").await;
                let reason = answer.extensions().get::<Refusal>().map(|r| r.reason);
                assert_eq!(reason, Some(Reason::LockUnavailable), "{command:?}");
            }
            assert_eq!(server.command(&["DUMP", key]), before, "{command:?}");
            assert_eq!(server.command(&["DBSIZE"]), redis::Value::Int(1));
            assert_eq!(status(&waiting, "b").await, StatusCode::OK);
            server.command(&["DEL", key]);
            assert_eq!(status(&waiting, "a").await, StatusCode::OK, "{command:?}");
            eventually("all is let go", async || locks.held().names().is_empty()).await;
        }
    }
}

#[tokio::test]
async fn a_fence_floor_that_is_no_fence_counts_as_lost() {
    let server = RedisServer::start();
    let locks = patient(&server.url()).locks();
    let service = fencing(&layer(&locks));
    let mut last = 0;
    for floor in [
        "",
        "x",
        "nan",
        "inf",
        "-5",
        "1e9",
        "0x1F",
        " 1",
        "9999999999999999",
    ] {
        // Free, with a floor of 16 bytes; twice, because with a `w` somebody may wait.
        for value in [format!("0{floor:>16}"), format!("0{floor:>16}w")] {
            server.command(&["SET", LOCK, &value]);
            let answer = send(&service, "a").await;
            assert_eq!(answer.status(), StatusCode::OK, "{value}");
            let fence: u64 = text(answer).await.parse().unwrap();
            assert!(last < fence && fence < 1 << 53, "{value}: {fence}");
            last = fence;
        }
    }
}
