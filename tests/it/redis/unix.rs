//! A Redis behind a Unix socket, to which a password, a user and a database belong as elsewhere.

use tower_handoff::lock::{LockKey, Locks};
use tower_handoff::redis::{AwayCause, RedisStatus};

use crate::support::eventually::eventually;
use crate::support::patient::patient;
use crate::support::redis_server::{RedisServer, free_port, scratch_dir};

#[tokio::test]
async fn a_socket_that_goes_and_comes_back_is_used_again() {
    let dir = scratch_dir();
    let socket = dir.join("handoff.sock");
    let path = socket.to_str().expect("UTF-8");
    let start = || {
        let user = ["--user", "me", "on", ">p@ss", "~*", "&*", "+@all"];
        RedisServer::start_on(free_port(), &[&["--unixsocket", path][..], &user].concat())
    };
    let server = start();
    let url = format!("unix://{path}?db=3&user=me&pass=p%40ss");
    let handle = patient(&url);
    let locks = Locks::new(handle.locks());
    let take = async || {
        let key = LockKey::new("held").expect("short");
        match locks.try_acquire(key).await {
            Ok(guard) => {
                guard.release().await;
                true
            }
            Err(_) => false,
        }
    };
    let is_there = async || {
        eventually("it is granted", take).await;
        let mut info = redis::cmd("CLIENT");
        info.arg("INFO");
        let info = handle.wire().send(info).await.expect("it is up");
        let info: String = redis::from_redis_value(info).expect("text");
        assert!(
            info.contains(" db=3 ") && info.contains(" user=me "),
            "{info}"
        );
    };
    is_there().await;

    drop(server);
    eventually("it is away", async || !handle.status().is_up()).await;
    assert!(!take().await);
    let RedisStatus::Away { cause, reason, .. } = handle.status() else {
        panic!("nobody listens there");
    };
    assert_eq!(cause, AwayCause::Unreachable, "{reason}");
    assert!(!format!("{handle:?} {reason}").contains("p@ss"), "{reason}");

    let _server = start();
    is_there().await;
    let _ = std::fs::remove_dir_all(&dir);
}
