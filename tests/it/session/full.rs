//! Redis has no memory left for a while: nobody who is at work is logged out by that.

use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep};
use tower_handoff::session::{SessionExpiry, SessionLayer};

use super::support::{Store, read, request, visit};
use crate::support::eventually::eventually;
use crate::support::redis_server::RedisServer;

const MS: Duration = Duration::from_millis(1);

/// A session that ends after four seconds without a request, longer than a busy machine stands still, and one
/// request after the other for six.
async fn used_for_six_seconds(writes: bool) {
    let server = RedisServer::start();
    let expiry = SessionExpiry::new(4_000 * MS, 60_000 * MS).unwrap();
    let layer = SessionLayer::new(Store::patient(&server)).with_expiry(expiry);
    let cookie = visit(&layer, "", "name", "ada").await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let begun = Instant::now();
    while begun.elapsed() < 6_000 * MS {
        if writes {
            let answer = request(&layer, &cookie, async |session| {
                session.set("name", "eve").unwrap();
                StatusCode::OK
            });
            let status = answer.await.status;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "it is full");
        } else {
            let name = read(&layer, &cookie, "name").await;
            assert_eq!(name.as_deref(), Some("ada"), "{:?}", begun.elapsed());
        }
        sleep(100 * MS).await;
    }
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    let name = read(&layer, &cookie, "name").await;
    assert_eq!(name.as_deref(), Some("ada"), "the session is there");
    // It ends by its idle time all the same.
    eventually("nobody uses it", async || {
        server.command(&["DBSIZE"]) == redis::Value::Int(0)
    })
    .await;
}

#[tokio::test]
async fn who_reads_while_redis_is_out_of_memory_stays_logged_in() {
    used_for_six_seconds(false).await;
}

#[tokio::test]
async fn who_writes_while_redis_is_out_of_memory_stays_logged_in() {
    used_for_six_seconds(true).await;
}
