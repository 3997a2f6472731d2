//! Sentinels that are dead, hang, know nothing or refuse: who is asked, and what is said.

use std::time::Duration;

use tokio::time::Instant;
use tower_handoff::redis::{AwayCause, RedisErrorKind, RedisHandle, RedisStatus};

use crate::support::eventually::eventually;
use crate::support::redis_sentinel::{Sentinel, url};
use crate::support::redis_server::{RedisServer, free_port};

/// A master, and sentinels that will never fail over: there is nobody to fail over to.
fn one_master(sentinels: usize, lines: &[&str]) -> (RedisServer, Vec<Sentinel>) {
    let server = RedisServer::start();
    let start = |_| Sentinel::start(server.port(), sentinels, lines);
    let sentinels = (0..sentinels).map(start).collect();
    (server, sentinels)
}

/// Waits for the first attempt, and says how it ended.
async fn failure(handle: &RedisHandle) -> (AwayCause, String) {
    let error = handle.ping().await.expect_err("it cannot connect");
    assert_eq!(error.kind(), RedisErrorKind::Away, "{error}");
    let RedisStatus::Away { cause, reason, .. } = handle.status() else {
        panic!("it was away a moment ago");
    };
    (cause, reason.to_string())
}

fn patient(url: &str) -> RedisHandle {
    let builder = RedisHandle::builder(url).command_timeout(Duration::from_secs(5));
    builder.connect().expect("a good url")
}

#[tokio::test]
async fn sentinels_that_are_dead_or_hang_are_passed_over() {
    let (_server, sentinels) = one_master(1, &[]);
    // Its connections are made by the kernel; nobody ever answers on them.
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let hanging = hanging.local_addr().map(|at| (at.port(), hanging));
    let (hangs, _listener) = hanging.expect("an address");
    let good = sentinels[0].port();
    for ports in [
        &[free_port(), good][..],
        &[hangs, good],
        &[good, hangs, hangs],
        &[hangs, free_port(), good],
    ] {
        // The first attempt: whoever waits for nothing is told of its failure at once.
        patient(&url(ports)).ping().await.expect("one answers");
    }
}

#[tokio::test]
async fn nobody_who_knows_is_named() {
    let (_server, sentinels) = one_master(1, &[]);
    let good = sentinels[0].port();
    let dead = free_port();
    let (cause, reason) = failure(&patient(&url(&[dead]))).await;
    assert_eq!(cause, AwayCause::Unreachable, "{reason}");
    assert!(
        reason.contains(&format!("sentinel 127.0.0.1:{dead}")),
        "{reason}"
    );

    let unknown = url(&[dead, good]).replace("/main", "/other");
    let (cause, reason) = failure(&patient(&unknown)).await;
    assert_eq!(cause, AwayCause::UnknownMaster, "{reason}");
    assert!(reason.contains("\"other\""), "{reason}");

    // What is no sentinel says so itself.
    let server = RedisServer::start();
    let (_, reason) = failure(&patient(&url(&[server.port()]))).await;
    assert!(reason.contains("SENTINEL"), "{reason}");
}

#[tokio::test]
async fn sentinels_have_a_login_of_their_own() {
    let (server, sentinels) = one_master(1, &["requirepass for-sentinels"]);
    server.command(&["ACL", "SETUSER", "default", "on", ">for-redis"]);
    let port = sentinels[0].port();
    let at = format!("redis-sentinel://:for-redis@127.0.0.1:{port}/main");
    let login = |password: Option<&str>| {
        let builder = RedisHandle::builder(&at).command_timeout(Duration::from_secs(5));
        match password {
            Some(password) => builder.sentinel_credentials("default", password),
            None => builder,
        }
        .connect()
        .expect("a good url")
    };
    for (password, word) in [(None, "NOAUTH"), (Some("hunter2"), "WRONGPASS")] {
        let (cause, reason) = failure(&login(password)).await;
        assert_eq!(cause, AwayCause::Login, "{reason}");
        assert!(
            reason.contains(word) && reason.contains("sentinel"),
            "{reason}"
        );
        assert!(!reason.contains("hunter2"), "{reason}");
    }
    // The sentinel cannot log in at the master, which it does not need to.
    login(Some("for-sentinels"))
        .ping()
        .await
        .expect("both let it in");
}

#[tokio::test]
async fn a_connection_outlives_its_sentinels_and_is_not_made_anew_without_them() {
    let (server, sentinels) = one_master(2, &[]);
    let ports: Vec<_> = sentinels.iter().map(Sentinel::port).collect();
    let handle = patient(&url(&ports));
    handle.ping().await.expect("it is up");
    let goes_on = async || {
        // Longer than it takes to ask them again.
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            handle.ping().await.expect("the master lives");
        }
    };
    sentinels
        .iter()
        .for_each(|sentinel| sentinel.signal("STOP"));
    goes_on().await;
    drop(sentinels);
    goes_on().await;
    assert_eq!(*handle.wire().epochs().borrow(), 1);
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    eventually("nobody says where the master is", async || {
        matches!(handle.status(), RedisStatus::Away { reason, .. } if reason.contains("sentinel"))
    })
    .await;
}

#[tokio::test]
async fn what_the_watch_costs_and_that_it_ends_with_the_handle() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let (_server, sentinels) = one_master(1, &[]);
    let sentinel = &sentinels[0];
    let before = metrics.num_alive_tasks();
    let handle = patient(&url(&[sentinel.port()]));
    handle.ping().await.expect("it is up");
    let text = |command: &[&str]| -> String {
        redis::from_redis_value(sentinel.command(command)).expect("text")
    };
    // Nobody else speaks to a sentinel that is alone, but for this test: three commands a question.
    let asked = || {
        let stats = text(&["INFO", "stats"]);
        let mut lines = stats.lines();
        let count = lines.find_map(|line| line.strip_prefix("total_commands_processed:"));
        count
            .and_then(|count| count.parse::<u64>().ok())
            .expect("a number")
    };
    let (first, begun) = (asked(), Instant::now());
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (asked, seconds) = (asked() - first - 3, begun.elapsed().as_secs());
    assert!(
        (4..=2 * (seconds + 1)).contains(&asked),
        "{asked} in {seconds} s"
    );
    // However often it asks, it does so on one connection.
    let clients = text(&["CLIENT", "LIST"]);
    let watching = clients
        .lines()
        .filter(|line| line.contains("cmd=sentinel|master"));
    assert_eq!(watching.count(), 1, "{clients}");
    handle.close().await;
    eventually("no task is left", async || {
        metrics.num_alive_tasks() == before
    })
    .await;
}
