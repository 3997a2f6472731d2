//! Sentinels that are dead, hang, know nothing or refuse: who is asked, and what is said.

mod cells;

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;
use tower_handoff::redis::{AwayCause, RedisHandle, RedisStatus};

use super::said::failure;
use crate::support::eventually::eventually;
use crate::support::proxy::Proxy;
use crate::support::redis_sentinel::{Sentinel, url};
use crate::support::redis_server::{RedisServer, free_port};

/// A master, and sentinels that will never fail over: there is nobody to fail over to.
fn one_master(sentinels: usize, lines: &[&str]) -> (RedisServer, Vec<Sentinel>) {
    let server = RedisServer::start();
    let start = |_| Sentinel::start(server.port(), sentinels, lines);
    let sentinels = (0..sentinels).map(start).collect();
    (server, sentinels)
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
    let watching = clients.lines().filter(|line| line.contains("cmd=sentinel"));
    assert_eq!(watching.count(), 1, "{clients}");
    handle.close().await;
    eventually("no task is left", async || {
        metrics.num_alive_tasks() == before
    })
    .await;
}

#[tokio::test]
async fn of_two_sentinels_the_one_that_knows_of_the_latest_fail_over_is_believed() {
    let (stale, of_stale) = one_master(1, &[]);
    let (current, of_current) = one_master(1, &["sentinel config-epoch main 5"]);
    let ports = [of_stale[0].port(), of_current[0].port()];
    for ports in [ports, [ports[1], ports[0]]] {
        let handle = patient(&url(&ports));
        let mut mark = redis::cmd("INCR");
        mark.arg("here");
        handle.wire().send(mark).await.expect("it is up");
    }
    let marks = [&stale, &current].map(|server| server.command(&["GET", "here"]));
    assert_eq!(marks, [Value::Nil, Value::BulkString(b"2".to_vec())]);
}

/// Waits until the handle is served by this one.
async fn moves_to(handle: &RedisHandle, server: &RedisServer) {
    let mark = format!("{}", server.port());
    eventually("it is served by the other one", async || {
        let mut set = redis::cmd("SET");
        set.arg("mark").arg(&mark);
        let sent = handle.wire().send(set).await;
        sent.is_ok() && server.command(&["GET", "mark"]) != Value::Nil
    })
    .await;
}

#[tokio::test]
async fn a_sentinel_that_is_slower_than_the_others_is_heard() {
    let (_stale, of_stale) = one_master(1, &[]);
    let (current, of_current) = one_master(1, &["sentinel config-epoch main 5"]);
    let slow = Proxy::start(of_current[0].port()).await;
    slow.slow_down(Duration::from_millis(200));
    let builder = RedisHandle::builder(url(&[of_stale[0].port(), slow.port()]));
    let builder = builder.connect_timeout(Duration::from_secs(1));
    let handle = builder.connect().expect("a good url");
    moves_to(&handle, &current).await;
    // And stays there.
    let epoch = *handle.wire().epochs().borrow();
    tokio::time::sleep(Duration::from_secs(3)).await;
    handle.ping().await.expect("it is up");
    assert_eq!(*handle.wire().epochs().borrow(), epoch);
}

#[tokio::test]
async fn a_master_that_was_entered_anew_under_the_name_is_followed() {
    let (_first, sentinels) = one_master(1, &["sentinel config-epoch main 5"]);
    let second = RedisServer::start();
    let handle = patient(&url(&[sentinels[0].port()]));
    handle.ping().await.expect("it is up");
    sentinels[0].command(&["SENTINEL", "REMOVE", "main"]);
    let port = second.port().to_string();
    sentinels[0].command(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "1"]);
    moves_to(&handle, &second).await;
}

#[cfg(feature = "tls-rustls")]
#[tokio::test]
async fn sentinels_and_servers_are_spoken_to_over_tls_with_the_same_roots() {
    use crate::support::certificates::Authority;

    let (authority, other) = (Authority::new(), Authority::new());
    let (_server, port) = authority.redis("127.0.0.1", &[]);
    let signed = authority.sign("127.0.0.1");
    let tls = free_port();
    let lines = [
        format!("tls-port {tls}"),
        format!(
            "tls-ca-cert-file {}",
            authority.file("ca.pem", &authority.pem())
        ),
        format!("tls-cert-file {}", authority.file("s.pem", &signed.chain)),
        format!("tls-key-file {}", authority.file("s.key", &signed.key)),
        "tls-auth-clients no".to_owned(),
        "tls-replication yes".to_owned(),
    ];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let sentinel = Sentinel::start(port, 1, &lines);
    let connect = |port, authority: &Authority| {
        let url = url(&[port]).replace("redis-", "rediss-");
        let builder = RedisHandle::builder(url).command_timeout(Duration::from_secs(5));
        let builder = builder.tls_roots(authority.pem());
        builder.connect().expect("good settings")
    };
    connect(tls, &authority).ping().await.expect("it is up");
    let (cause, reason) = failure(&connect(tls, &other)).await;
    assert_eq!(cause, AwayCause::Tls, "{reason}");
    assert!(reason.contains("sentinel 127.0.0.1"), "{reason}");
    // Nothing is ever said in the clear.
    let plain = connect(sentinel.port(), &authority);
    plain.ping().await.expect_err("it speaks no TLS there");
}
