//! Redis is not there, goes, stops, comes back.

use std::time::Duration;

use tower_handoff::redis::{RedisErrorKind, RedisHandle, RedisStatus};

use crate::support::eventually::{PATIENCE, eventually};
use crate::support::patient::patient;
use crate::support::proxy::Proxy;
use crate::support::redis_server::{RedisServer, free_port};

/// How long after Redis accepts commands it may take to serve again. An attempt begins every 500 ms; the
/// rest is what a busy machine may need. `benches/outage.rs` measures it.
const BACK: Duration = Duration::from_secs(8);

async fn is_back_in_time(handle: &RedisHandle) {
    let served = eventually("a ping is answered", async || handle.ping().await.is_ok());
    let served = tokio::time::timeout(BACK, served).await;
    served.expect("it is back in time");
}

#[tokio::test]
async fn an_absent_redis_keeps_nobody_waiting_and_is_found_when_it_comes() {
    let port = free_port();
    let handle = RedisHandle::connect(&format!("redis://127.0.0.1:{port}")).expect("a good url");
    let error = handle.ping().await.expect_err("nobody listens");
    assert_eq!(error.kind(), RedisErrorKind::Away);
    let RedisStatus::Away { reason, .. } = handle.status() else {
        panic!("nobody listens");
    };
    assert!(reason.contains("refused"), "{reason}");

    let _server = RedisServer::start_on(port, &[]);
    is_back_in_time(&handle).await;
    assert!(handle.status().is_up());
}

#[tokio::test]
async fn a_command_sent_at_the_start_waits_for_the_first_connection() {
    let server = RedisServer::start();
    for _ in 0..20 {
        let handle = patient(&server.url());
        handle
            .ping()
            .await
            .expect("the first command needs no retry");
    }
}

#[tokio::test]
async fn a_first_attempt_into_a_black_hole_holds_a_command_no_longer_than_its_time_out() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    proxy.black_hole(true);
    let handle = RedisHandle::builder(proxy.url())
        .command_timeout(Duration::from_millis(100))
        .connect_timeout(Duration::from_secs(10))
        .connect()
        .expect("good settings");
    let ping = tokio::time::timeout(Duration::from_secs(5), handle.ping());
    let error = ping
        .await
        .expect("the attempt takes longer")
        .expect_err("nothing answers");
    assert_eq!(error.kind(), RedisErrorKind::Away);
    proxy.black_hole(false);
    // The attempt in the hole would last ten seconds; another has begun long before.
    let served = eventually("a later attempt gets through", async || {
        handle.ping().await.is_ok()
    });
    let served = tokio::time::timeout(Duration::from_secs(6), served);
    served.await.expect("attempts overlap");
}

#[tokio::test]
async fn a_killed_redis_is_away_and_found_again() {
    let server = RedisServer::start();
    let port = server.port();
    let handle = patient(&server.url());
    handle.ping().await.expect("it is up");
    let mut epochs = handle.wire().epochs();
    let before = *epochs.borrow_and_update();

    drop(server);
    eventually("the loss is noticed without a command", async || {
        !handle.status().is_up()
    })
    .await;
    let error = handle.ping().await.expect_err("it is gone");
    assert_eq!(error.kind(), RedisErrorKind::Away);

    let _server = RedisServer::start_on(port, &[]);
    let grown = tokio::time::timeout(BACK, epochs.wait_for(|epoch| *epoch > before));
    grown.await.expect("in time").expect("the handle lives");
    handle
        .ping()
        .await
        .expect("whoever the epoch wakes can send at once");
}

#[tokio::test]
async fn a_stopped_redis_is_away_and_the_same_connection_may_not_be_trusted() {
    let server = RedisServer::start();
    let handle = RedisHandle::builder(server.url())
        .command_timeout(Duration::from_millis(100))
        .connect()
        .expect("good settings");
    handle.ping().await.expect("it is up");

    server.signal("STOP");
    let error = handle.ping().await.expect_err("nothing answers");
    assert_eq!(error.kind(), RedisErrorKind::Unknown);
    // Nobody sends anything more: the supervisor itself asks for a sign of life.
    eventually("one silent command is enough", async || {
        !handle.status().is_up()
    })
    .await;
    let error = handle.ping().await.expect_err("still nothing answers");
    assert_eq!(error.kind(), RedisErrorKind::Away);

    server.signal("CONT");
    is_back_in_time(&handle).await;
}

#[tokio::test]
async fn a_moment_of_silence_costs_a_command_but_not_the_connection() {
    let server = RedisServer::start();
    let handle = RedisHandle::builder(server.url())
        .command_timeout(Duration::from_secs(4))
        .connect()
        .expect("good settings");
    handle.ping().await.expect("it is up");
    let mut sleep = redis::cmd("DEBUG");
    sleep.arg("SLEEP").arg("4.3");
    let error = handle
        .wire()
        .send(sleep)
        .await
        .expect_err("it takes too long");
    assert_eq!(error.kind(), RedisErrorKind::Unknown);
    // Nobody sends anything now, so it is the supervisor that has to ask. Past the two seconds that are
    // left for an answer, a connection that was given up would have been replaced.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    handle.ping().await.expect("Redis has answered in time");
    assert_eq!(
        *handle.wire().epochs().borrow(),
        1,
        "on the same connection"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[expect(clippy::disallowed_methods, reason = "the worker is to be blocked")]
async fn a_reply_that_came_while_this_process_stood_still_counts() {
    let server = RedisServer::start();
    let handle = RedisHandle::builder(server.url())
        .command_timeout(Duration::from_millis(500))
        .connect()
        .expect("good settings");
    handle.ping().await.expect("it is up");
    // On the one worker, as the supervisor: what blocks this task stops them both.
    let stalled = tokio::spawn(async move {
        let mut sleep = redis::cmd("DEBUG");
        sleep.arg("SLEEP").arg("0.05");
        let wire = handle.wire();
        let answer = tokio::spawn(async move { wire.send(sleep).await });
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        std::thread::sleep(Duration::from_secs(2));
        answer.await.expect("no panic").expect("it was answered");
        assert_eq!(*handle.wire().epochs().borrow(), 1, "the connection serves");
    });
    stalled.await.expect("the answer counts");
}

#[tokio::test]
async fn a_redis_that_loads_its_data_is_away() {
    let server = RedisServer::start();
    let handle = RedisHandle::connect(&server.url()).expect("a good url");
    handle.ping().await.expect("it is up");
    server.is_slow_to_load("2000");
    let url = server.url();
    let reload = std::thread::spawn(move || {
        let client = redis::Client::open(url).expect("a good url");
        let mut connection = client.get_connection().expect("it is up");
        let _: redis::RedisResult<()> = redis::cmd("DEBUG").arg("RELOAD").query(&mut connection);
    });
    let mut codes = Vec::new();
    eventually("Redis says that it loads", async || {
        match handle.ping().await {
            Ok(()) => false,
            Err(error) => {
                assert_eq!(error.kind(), RedisErrorKind::Away, "{error}");
                codes.push(error.code().map(str::to_owned));
                true
            }
        }
    })
    .await;
    assert_eq!(codes, [Some("LOADING".to_owned())]);
    eventually("the breaker opens", async || !handle.status().is_up()).await;
    eventually("a ping is answered", async || handle.ping().await.is_ok()).await;
    reload.join().expect("the reload ends");
}

#[tokio::test]
async fn the_clock_is_redis_s_and_not_this_machine_s() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    handle.ping().await.expect("it is up");
    let wire = handle.wire();
    let local = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.expect("after 1970").as_millis() as u64
    };
    assert!(
        wire.now_ms().abs_diff(local()) < 10_000,
        "both clocks are this machine's here"
    );

    // A Redis whose clock is an hour ahead says so in a script's reply.
    wire.observe_time("", local() + 3_600_000);
    let ahead = wire.now_ms() - local();
    assert!((3_590_000..3_610_000).contains(&ahead), "{ahead}");

    // The next connection asks TIME, which is right again.
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    let mut epochs = wire.epochs();
    let grown = tokio::time::timeout(PATIENCE, epochs.wait_for(|epoch| *epoch >= 2));
    drop(grown.await.expect("in time").expect("the handle lives"));
    assert!(wire.now_ms().abs_diff(local()) < 10_000);
}
