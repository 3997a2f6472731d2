//! From one instance to the next: two connections, one Redis.

use std::sync::{Arc, Mutex};

use http::StatusCode;
use tower::ServiceExt;
use tower_handoff::lock::RedisLocks;

use super::rig::{
    Service, fencing, guarded, hanging, is_free, layer, ms, occupy, request, send, status, text,
};
use crate::support::eventually::eventually;
use crate::support::log::Log;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

const LOCK: &str = "app:l1:{x-lock:a}";
const LINE: &str = "app:l1:{x-lock:a}:q";

fn instance(server: &RedisServer) -> RedisLocks {
    patient(&server.url()).locks()
}

fn waiting(locks: &RedisLocks) -> tokio::task::JoinHandle<String> {
    waiting_in(fencing(&layer(locks).with_wait(ms(60_000)).unwrap()))
}

fn waiting_in(service: Service) -> tokio::task::JoinHandle<String> {
    tokio::spawn(async move { text(send(&service, "a").await).await })
}

fn line(server: &RedisServer) -> i64 {
    redis::from_redis_value(server.command(&["LLEN", LINE])).unwrap()
}

async fn in_line(server: &RedisServer, many: i64) {
    eventually("they are in line", async || line(server) == many).await;
}

/// The inbox is subscribed at the first wait; afterwards a wait costs one command.
async fn warm_up(server: &RedisServer, locks: &RedisLocks) {
    let other = instance(server);
    let holder = occupy(&other, "a").await;
    let waiter = waiting(locks);
    in_line(server, 1).await;
    holder.abort();
    waiter.await.unwrap();
}

#[tokio::test]
async fn a_release_wakes_the_waiter_of_another_instance_with_one_message() {
    let server = RedisServer::start();
    let (a, b) = (instance(&server), instance(&server));
    warm_up(&server, &b).await;
    let holder = occupy(&a, "a").await;
    let fence: u64 = {
        let value: Vec<u8> = redis::from_redis_value(server.command(&["GET", LOCK])).unwrap();
        std::str::from_utf8(&value[17..33])
            .unwrap()
            .parse()
            .unwrap()
    };
    let waiter = waiting(&b);
    in_line(&server, 1).await;
    server.command(&["CONFIG", "RESETSTAT"]);
    holder.abort();
    let next: u64 = waiter.await.unwrap().parse().unwrap();
    assert!(next > fence);
    eventually("it is let go", async || is_free(&server, "x-lock:a")).await;
    let counts = server.command_counts();
    assert_eq!(counts["publish"], 1);
    // Two releases. A look at the lock, once a second, would be one more, if this machine slept.
    assert!((2..=3).contains(&counts["evalsha"]), "{counts:?}");
}

/// Acquire and release, whoever waits: nobody asks twice for one place in line.
#[tokio::test]
async fn a_wait_costs_one_command_and_its_end_another() {
    let server = RedisServer::start();
    let (a, b) = (instance(&server), instance(&server));
    warm_up(&server, &a).await;
    warm_up(&server, &b).await;
    let hold = |locks: &RedisLocks| {
        let service = hanging(&layer(locks).with_wait(ms(60_000)).unwrap());
        tokio::spawn(service.oneshot(request("a")))
    };
    let held = async |locks: &RedisLocks| {
        let held = locks.held();
        eventually("the lock is held", async || !held.names().is_empty()).await;
    };
    let mut holder = hold(&a);
    held(&a).await;
    server.command(&["CONFIG", "RESETSTAT"]);
    const ROUNDS: u64 = 20;
    for next in [&b, &a].into_iter().cycle().take(ROUNDS as usize) {
        let waiter = hold(next);
        in_line(&server, 1).await;
        holder.abort();
        holder = waiter;
        held(next).await;
    }
    let counts = server.command_counts();
    // A look at the lock, once a second, may be more, if this machine slept.
    let least = 2 * ROUNDS;
    assert!(
        (least..=least + 4).contains(&counts["evalsha"]),
        "{counts:?}"
    );
    holder.abort();
}

/// Each instance has one place; those of one instance follow one another within its turn.
#[tokio::test]
async fn instances_are_served_first_come_first_served() {
    let server = RedisServer::start();
    let instances = [(); 4].map(|()| instance(&server));
    let holder = occupy(&instances[3], "a").await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiters = Vec::new();
    for number in 0..9 {
        let order = order.clone();
        let layer = layer(&instances[number % 3]).with_wait(ms(60_000)).unwrap();
        waiters.push(waiting_in(guarded(&layer, move |guard| {
            order.lock().unwrap().push((number, guard.fence()));
            async { String::new() }
        })));
        in_line(&server, i64::try_from(waiters.len().min(3)).unwrap()).await;
        // The line of a process is not to be seen from outside.
        tokio::time::sleep(ms(30)).await;
    }
    holder.abort();
    for waiter in waiters {
        waiter.await.unwrap();
    }
    let order = order.lock().unwrap();
    let numbers: Vec<_> = order.iter().map(|(number, _)| *number).collect();
    let of = |instance: usize| -> Vec<usize> {
        let theirs = numbers.iter().filter(|number| **number % 3 == instance);
        theirs.copied().collect()
    };
    assert_eq!([of(0), of(1), of(2)], [[0, 3, 6], [1, 4, 7], [2, 5, 8]]);
    assert_eq!(numbers[0], 0, "{numbers:?}");
    assert!(order.is_sorted_by(|(_, a), (_, b)| a < b));
}

#[tokio::test]
async fn a_dead_waiter_is_skipped() {
    let server = RedisServer::start();
    let (locks, other) = (instance(&server), instance(&server));
    let holder = occupy(&locks, "a").await;
    let dead = "1the-dead-waiter!app:inbox1:nobody-listens";
    server.command(&["RPUSH", LINE, dead]);
    let waiter = waiting(&other);
    in_line(&server, 2).await;
    server.command(&["CONFIG", "RESETSTAT"]);
    holder.abort();
    waiter.await.unwrap();
    let counts = server.command_counts();
    assert_eq!(counts["publish"], 2, "{counts:?}");
}

#[tokio::test]
async fn a_waiter_that_listens_and_does_not_come_loses_its_turn() {
    let server = RedisServer::start();
    let (locks, other) = (instance(&server), instance(&server));
    let holder = occupy(&locks, "a").await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut stalled = client.get_connection().unwrap();
    let mut stalled = stalled.as_pubsub();
    stalled.subscribe("stalled").unwrap();
    server.command(&["RPUSH", LINE, "1the-stalled-one!stalled"]);
    let waiter = waiting(&other);
    in_line(&server, 2).await;
    holder.abort();
    let next: u64 = waiter.await.unwrap().parse().unwrap();
    let grant: Vec<u8> = stalled.get_message().unwrap().get_payload_bytes().to_vec();
    let stalled: u64 = std::str::from_utf8(&grant[17..33])
        .unwrap()
        .parse()
        .unwrap();
    assert!(next > stalled);
}

#[tokio::test]
async fn a_waiter_that_goes_away_leaves_the_line() {
    let server = RedisServer::start();
    let (locks, other) = (instance(&server), instance(&server));
    let _holder = occupy(&locks, "a").await;
    let waiter = waiting(&other);
    in_line(&server, 1).await;
    waiter.abort();
    in_line(&server, 0).await;
}

#[tokio::test]
async fn a_holder_that_died_is_succeeded_when_its_lease_ends() {
    let server = RedisServer::start();
    let locks = instance(&server);
    // Nobody will ever release or renew this.
    server.command(&[
        "SET",
        LOCK,
        "1the-dead-holder!1000000000000001-",
        "PX",
        "86401500",
    ]);
    let fence: u64 = waiting(&locks).await.unwrap().parse().unwrap();
    assert!(fence > 1_000_000_000_000_001);
}

#[tokio::test]
async fn a_free_key_with_a_line_goes_to_the_oldest_waiter_and_not_to_a_newcomer() {
    let server = RedisServer::start();
    let (a, b) = (instance(&server), instance(&server));
    let _holder = occupy(&a, "a").await;
    let waiter = waiting_in(super::rig::hanging(
        &layer(&b).with_wait(ms(60_000)).unwrap(),
    ));
    in_line(&server, 1).await;
    server.command(&["DEL", LOCK]);
    let newcomer = fencing(&layer(&a).with_try());
    assert_eq!(status(&newcomer, "a").await, StatusCode::CONFLICT);
    eventually("the waiter holds it", async || b.held().names().len() == 1).await;
    waiter.abort();
}

#[tokio::test]
async fn connections_killed_while_waiting_cost_no_place_and_no_lock() {
    let server = RedisServer::start();
    let (a, b) = (instance(&server), instance(&server));
    let holder = occupy(&a, "a").await;
    let waiter = waiting(&b);
    in_line(&server, 1).await;
    for kind in ["normal", "pubsub"] {
        server.command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
    }
    holder.abort();
    assert!(waiter.await.unwrap().parse::<u64>().is_ok());
}

#[tokio::test]
async fn forgotten_scripts_are_sent_again_while_somebody_waits() {
    let server = RedisServer::start();
    let (a, b) = (instance(&server), instance(&server));
    let holder = occupy(&a, "a").await;
    let waiter = waiting(&b);
    in_line(&server, 1).await;
    server.command(&["SCRIPT", "FLUSH"]);
    holder.abort();
    assert!(waiter.await.unwrap().parse::<u64>().is_ok());
}

#[tokio::test]
async fn a_place_in_line_in_a_newer_format_is_left_alone() {
    let server = RedisServer::start();
    let locks = instance(&server);
    let holder = occupy(&locks, "a").await;
    server.command(&["RPUSH", LINE, "2 whatever comes later"]);
    holder.abort();
    let service = fencing(&layer(&locks).with_wait(ms(20_000)).unwrap());
    assert_eq!(status(&service, "a").await, StatusCode::OK);
    eventually("it is let go", async || locks.held().names().is_empty()).await;
    assert_eq!(line(&server), 1);
}

// One thread, so that the subscriber of this thread sees every task.
#[tokio::test]
async fn who_owns_a_lock_or_a_place_in_line_is_in_no_log() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::TRACE);
    let server = RedisServer::start();
    let (a, b) = (instance(&server), instance(&server));
    let holder = occupy(&a, "a").await;
    let waiter = waiting(&b);
    in_line(&server, 1).await;
    let value: Vec<u8> = redis::from_redis_value(server.command(&["GET", LOCK])).unwrap();
    let place: Vec<u8> = redis::from_redis_value(server.command(&["LINDEX", LINE, "0"])).unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes"]);
    holder.abort();
    waiter.await.unwrap();
    a.held().release_all().await;
    server.command(&["SET", LOCK, "2 of a newer version"]);
    status(&fencing(&layer(&b)), "a").await;
    let log = log.text();
    assert!(log.contains("for want of its lock"), "{log}");
    for owner in [&value[1..17], &place[1..17]] {
        let hex: String = owner.iter().map(|byte| format!("{byte:02x}")).collect();
        let texts = [
            String::from_utf8_lossy(owner).into_owned(),
            owner.escape_ascii().to_string(),
            format!("{owner:?}"),
            hex,
        ];
        for text in texts {
            assert!(!log.contains(text.trim_matches(['[', ']'])), "{log}");
        }
    }
}
