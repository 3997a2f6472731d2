//! A result that Redis does not take.

use std::convert::Infallible;

use tokio::sync::Notify;
use tower_handoff::once::{OnceError, Outcome};

use super::rig::{comes_free, fleet, job, ms, run};
use crate::support::eventually::eventually;
use crate::support::redis_server::RedisServer;

const LOCK: &str = "app:l1:{once:x}";
const KEPT: &str = "app:o1:{once:x}";

/// The lease is renewed all the while, so that it ends nothing.
#[tokio::test]
async fn a_job_ends_though_redis_stays_out_of_memory() {
    let server = RedisServer::start();
    let fleet = fleet(&server);
    let once = fleet.a.clone().with_lease(ms(6_000)).unwrap();
    let work = |_| async {
        server.command(&["CONFIG", "SET", "maxmemory", "1"]);
        Ok::<u64, Infallible>(1)
    };
    let x = job("x");
    let runs = tokio::time::timeout(ms(60_000), once.run(&x, work));
    let error = runs.await.expect("it ends").unwrap_err();
    let OnceError::NotKept(why) = &error else {
        panic!("{error:?}");
    };
    let why = format!("{why:?}");
    assert!(why.contains("OOM"), "{why}");
    assert!(error.refusal().is_none());
    // It is let go all the same.
    eventually("its lease is over", async || {
        let left: i64 = redis::from_redis_value(server.command(&["PTTL", LOCK])).unwrap();
        left <= 86_400_000
    })
    .await;
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(run(&fleet.b, &x, 2).await.unwrap(), Outcome::Ran(2));
}

#[tokio::test]
async fn memory_that_comes_back_in_time_keeps_the_result() {
    let server = RedisServer::start();
    let fleet = fleet(&server);
    let once = fleet.a.clone().with_lease(ms(20_000)).unwrap();
    let refused = Notify::new();
    let work = |_| async {
        server.command(&["CONFIG", "SET", "maxmemory", "1"]);
        refused.notify_one();
        Ok::<u64, Infallible>(1)
    };
    let x = job("x");
    let relief = async {
        refused.notified().await;
        tokio::time::sleep(ms(500)).await;
        server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    };
    let (ran, ()) = tokio::join!(once.run(&x, work), relief);
    assert_eq!(ran.unwrap(), Outcome::Ran(1));
    assert_eq!(run(&fleet.b, &x, 2).await.unwrap(), Outcome::Fresh(1));
}

/// Nobody else had the key: what was done under it was done under a lease that lasts.
#[tokio::test]
async fn what_redis_refuses_for_good_is_no_lost_lease() {
    let server = RedisServer::start();
    let fleet = fleet(&server);
    for key in [KEPT, LOCK] {
        let work = |_| async {
            server.command(&["DEL", key]);
            server.command(&["RPUSH", key, "somebody's"]);
            Ok::<u64, Infallible>(1)
        };
        let error = fleet.a.run(&job("x"), work).await.unwrap_err();
        assert!(matches!(error, OnceError::NotKept(_)), "{key}: {error:?}");
        assert!(error.refusal().is_none());
        server.command(&["DEL", key]);
        comes_free(&fleet.b, &job("x")).await;
        server.command(&["DEL", KEPT]);
    }
}
