//! Rolling restarts: no request fails, no increment is lost, no lock has two holders.

use super::instances::Fleet;
use super::load::Load;
use crate::support::balancer::{Balancer, Kind};
use crate::support::redis_server::RedisServer;

const ROLLS: usize = 5;
const REQUESTS: u64 = 50_000;

async fn restarts_lose_nothing(kind: Kind, server: &'static str) {
    let redis = RedisServer::start();
    let mut fleet = Fleet::patient(server, redis.url()).await;
    let balancer = Balancer::start(kind, fleet.addrs()).await;
    let load = Load::start(balancer.addr());
    let mut rolls = 0;
    while rolls < ROLLS || load.requests() < REQUESTS {
        for instance in 0..3 {
            let exit = fleet.replace(instance, "TERM").await;
            let report = exit.report();
            assert_eq!(
                (exit.code, &report["outcome"]),
                (0, &"clean".into()),
                "{exit:?}"
            );
        }
        rolls += 1;
        assert!(
            rolls < 20 * ROLLS,
            "only {} requests got through",
            load.requests()
        );
    }
    let mut seen = load.stop().await;
    let failures = seen.failures.len();
    seen.failures.truncate(20);
    assert_eq!(failures, 0, "{:#?} of {}", seen.failures, seen.requests);
    assert_eq!(seen.wrong, [""; 0]);
    assert_eq!(seen.total, seen.counted, "increments that were answered");
    assert_eq!(seen.uses.overlaps(), [""; 0]);
    assert!(
        seen.requests >= REQUESTS && seen.uses.count() > 1000,
        "{}",
        seen.uses.count()
    );
    println!(
        "{kind:?}, {server}: {} requests, {} increments, {} uses of locks, {} restarts",
        seen.requests,
        seen.counted,
        seen.uses.count(),
        3 * rolls
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_nginx_rolling_restarts_lose_nothing() {
    restarts_lose_nothing(Kind::Nginx, "axum").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_haproxy_rolling_restarts_lose_nothing() {
    restarts_lose_nothing(Kind::Haproxy, "hyper").await;
}
