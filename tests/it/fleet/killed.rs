//! SIGKILL under load: what is lost are the requests that the killed instance was working on.

use super::instances::Fleet;
use super::load::{Load, VISITORS};
use crate::support::balancer::{Balancer, Kind};
use crate::support::redis_server::RedisServer;

async fn a_kill_costs_what_was_in_flight(kind: Kind, server: &'static str) {
    let redis = RedisServer::start();
    let mut fleet = Fleet::patient(server, redis.url()).await;
    let balancer = Balancer::start(kind, fleet.addrs()).await;
    let load = Load::start(balancer.addr());
    // One of them lives on.
    let kills = [0, 1, 0];
    for instance in kills {
        let before = load.requests();
        let failed_before = balancer.failed_on(fleet.addrs()).len();
        fleet.replace(instance, "KILL").await;
        assert!(load.requests() > before, "the others went on");
        let failed = balancer.failed_on(fleet.addrs()).split_off(failed_before);
        assert!(
            failed.iter().all(|failed_on| *failed_on == instance),
            "{instance} was killed: {}",
            balancer.log()
        );
    }
    let mut seen = load.stop().await;
    // No failure that the balancer does not put down to one that was killed.
    let failed = match kind {
        Kind::Nginx => balancer.failed_on(fleet.addrs()).len(),
        Kind::Haproxy => {
            let unanswered = balancer.unanswered();
            assert_eq!(unanswered[2], 0, "on the one that lives on: {unanswered:?}");
            unanswered.iter().sum()
        }
    };
    assert!(
        seen.failures.len() <= failed,
        "{failed} are known: {:#?} {}",
        seen.failures,
        balancer.log()
    );
    // A visitor has one request in flight, so a kill costs each of them one at most.
    assert!(
        seen.failures.len() <= kills.len() * VISITORS,
        "{:#?}",
        seen.failures
    );
    // 502, or a connection that broke: the outcome is unknown, and nobody says otherwise.
    for failure in &seen.failures {
        assert!(
            !failure.contains(": 500") && !failure.contains(": 409"),
            "{failure}"
        );
    }
    assert_eq!(seen.wrong, [""; 0], "values that had been answered");
    assert!(
        (seen.counted..=seen.counted + seen.unknown).contains(&seen.total),
        "{} counted, {} unknown, {} in the end",
        seen.counted,
        seen.unknown,
        seen.total
    );
    assert_eq!(seen.uses.overlaps(), [""; 0]);
    println!(
        "{kind:?}, {server}: {} of {} requests failed in {} kills",
        seen.failures.len(),
        seen.requests,
        kills.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_nginx_a_kill_costs_what_was_in_flight() {
    a_kill_costs_what_was_in_flight(Kind::Nginx, "hyper").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_haproxy_a_kill_costs_what_was_in_flight() {
    a_kill_costs_what_was_in_flight(Kind::Haproxy, "axum").await;
}
