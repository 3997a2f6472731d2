//! Fences grow, whatever Redis has lost and whatever its clock says.

use super::rig::{fencing, layer, send, text};
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

const LOCK: &str = "app:l1:{x-lock:a}";

#[tokio::test]
async fn fences_grow_after_redis_lost_everything() {
    let server = RedisServer::start();
    let service = fencing(&layer(&patient(&server.url()).locks()));
    let mut last = 0;
    for _ in 0..10 {
        let fence: u64 = text(send(&service, "a").await).await.parse().unwrap();
        assert!(fence > last);
        last = fence;
        server.command(&["FLUSHALL"]);
    }
}

#[tokio::test]
async fn fences_grow_when_redis_s_clock_is_behind_the_last_one() {
    let server = RedisServer::start();
    server.command(&["SET", LOCK, "08000000000000000"]);
    let service = fencing(&layer(&patient(&server.url()).locks()));
    assert_eq!(text(send(&service, "a").await).await, "8000000000000001");
    assert_eq!(text(send(&service, "a").await).await, "8000000000000002");
}

/// The holder died, its lease is over, and the clock was set back meanwhile.
#[tokio::test]
async fn fences_grow_past_those_of_a_holder_that_never_let_go() {
    let server = RedisServer::start();
    let dead = "1the-dead-holder!8000000000000000-channel";
    server.command(&["SET", LOCK, dead, "PX", "86400000"]);
    let service = fencing(&layer(&patient(&server.url()).locks()).with_try());
    // Past those that it may have passed on within its process.
    assert_eq!(text(send(&service, "a").await).await, "8000000000065537");
}
