//! Signals, drains, exit codes and reports of real processes.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::SERVERS;
use super::locks::held;
use super::sessions::in_flight;
use crate::support::eventually::eventually;
use crate::support::http::Client;
use crate::support::redis_server::RedisServer;
use crate::support::testbed::Testbed;

/// Waits until the instance has heard of the signal.
pub(crate) async fn not_ready(probes: &mut Client) {
    eventually("/ready is 503", async || {
        probes.get("/ready").await.status == 503
    })
    .await;
}

#[tokio::test]
async fn slow_requests_complete_after_sigterm() {
    let redis = RedisServer::start();
    let url = redis.url();
    for server in SERVERS {
        for signal in ["TERM", "INT"] {
            let testbed = Testbed::start(&[
                ("SERVER", server),
                ("REDIS_URL", &url),
                ("GRACE_MS", "20000"),
                ("SETTLE_MS", "300"),
                ("PROBE_LISTEN", "127.0.0.1:0"),
            ])
            .await;
            testbed.until("/ready", 200).await;
            let mut probes = Client::new(testbed.probe_addr());
            assert_eq!(probes.get("/ready").await.status, 200);
            let [sleep, stream] = ["/sleep/3000", "/stream/30?every_ms=100&size=100"].map(|path| {
                let mut client = testbed.client();
                tokio::spawn(async move { client.get(path).await })
            });
            in_flight(&testbed, "/sleep/{ms}").await;
            in_flight(&testbed, "/stream/{chunks}").await;
            testbed.signal(signal);
            not_ready(&mut probes).await;
            assert_eq!(probes.get("/health").await.status, 200);
            assert_eq!(sleep.await.expect("an answer").status, 200);
            let streamed = stream.await.expect("an answer");
            assert_eq!((streamed.status, streamed.body.len()), (200, 3000));
            let exit = testbed.exit().await;
            assert_eq!(exit.code, 0, "{exit:?}");
            let report = exit.report();
            assert_eq!(report["outcome"], "clean", "{report}");
            assert_eq!(report["in_flight_at_signal"], 2, "{report}");
            assert!(report["completed"].as_u64() >= Some(2), "{report}");
            assert_eq!(report["aborted"], serde_json::json!([]), "{report}");
        }
    }
}

#[tokio::test]
async fn a_grace_too_short_names_what_it_cut_off() {
    for server in SERVERS {
        let testbed = Testbed::start(&[("SERVER", server), ("GRACE_MS", "1500")]).await;
        let mut client = testbed.client();
        let request = tokio::spawn(async move {
            client
                .try_send("GET", "/sleep/60000?secret=1", None)
                .await
                .is_err()
        });
        in_flight(&testbed, "/sleep/{ms}").await;
        testbed.signal("TERM");
        let exit = testbed.exit().await;
        assert_eq!(exit.code, 1, "{exit:?}");
        let report = exit.report();
        assert_eq!(report["outcome"], "forced", "{report}");
        assert_eq!(report["completed"], 0, "{report}");
        let aborted = report["aborted"].as_array().expect("a list");
        assert_eq!(aborted.len(), 1, "{report}");
        assert_eq!(
            (
                &aborted[0]["method"],
                &aborted[0]["route"],
                &aborted[0]["path"]
            ),
            (&"GET".into(), &"/sleep/{ms}".into(), &"/sleep/60000".into()),
        );
        assert!(
            aborted[0]["age_ms"].as_u64().is_some() && aborted[0]["stage"].is_string(),
            "{report}"
        );
        assert!(
            request.await.expect("a result"),
            "the cut request got no answer"
        );
    }
}

#[tokio::test]
async fn nobody_needs_to_read_the_logs() {
    for server in SERVERS {
        let mut testbed = Testbed::start(&[("SERVER", server), ("GRACE_MS", "20000")]).await;
        testbed.close_stderr().await;
        let mut client = testbed.client();
        let slow = tokio::spawn(async move { client.get("/sleep/3000").await.status });
        in_flight(&testbed, "/sleep/{ms}").await;
        testbed.signal("TERM");
        assert_eq!(slow.await.expect("an answer"), 200);
        assert_eq!(testbed.exit().await.code, 0);
    }
}

#[tokio::test]
async fn everything_is_served_during_the_settle_and_the_connection_is_closed() {
    for server in SERVERS {
        let testbed = Testbed::start(&[
            ("SERVER", server),
            ("SETTLE_MS", "4000"),
            ("GRACE_MS", "20000"),
        ])
        .await;
        let mut early = testbed.client();
        assert_eq!(early.get("/untouched").await.header("connection"), None);
        testbed.signal("TERM");
        testbed.until("/ready", 503).await;
        for mut client in [early, testbed.client()] {
            let answer = client.get("/untouched").await;
            assert_eq!(
                (answer.status, answer.header("connection")),
                (200, Some("close"))
            );
        }
        let mut http2 = Client::http2(testbed.addr());
        let answer = http2.get("/untouched").await;
        assert_eq!((answer.status, answer.header("connection")), (200, None));
        assert_eq!(testbed.exit().await.code, 0);
    }
}

#[tokio::test]
async fn stragglers_get_503_and_new_connections_are_refused() {
    for server in SERVERS {
        let testbed = Testbed::start(&[("SERVER", server), ("GRACE_MS", "25000")]).await;
        let mut idle = testbed.client();
        assert_eq!(idle.get("/untouched").await.status, 200);
        let mut client = testbed.client();
        let slow = tokio::spawn(async move { client.get("/sleep/4000").await.status });
        in_flight(&testbed, "/sleep/{ms}").await;
        let addr = testbed.addr().to_owned();
        testbed.signal("TERM");
        // The socket closes when the drain begins.
        let mut refused = false;
        for _ in 0..1000 {
            refused = TcpStream::connect(&addr).await.is_err();
            if refused {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(refused, "the listener never closed");
        let answer = idle.get("/untouched").await;
        assert_eq!(
            (answer.status, answer.header("connection")),
            (503, Some("close")),
            "{answer:?}"
        );
        assert!(answer.header("retry-after").is_some());
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(slow.await.expect("an answer"), 200);
        let exit = testbed.exit().await;
        assert_eq!(exit.code, 0, "{exit:?}");
        assert_eq!(exit.report()["rejected"], 1);
    }
}

#[tokio::test]
async fn what_the_kernel_accepted_is_answered() {
    for server in SERVERS {
        let testbed = Testbed::start(&[("SERVER", server), ("GRACE_MS", "20000")]).await;
        testbed.until("/ready", 200).await;
        // Stopped, the process accepts nothing; the kernel takes the connections in.
        testbed.signal("STOP");
        let mut connections = Vec::new();
        for _ in 0..5 {
            let mut stream = TcpStream::connect(testbed.addr())
                .await
                .expect("the kernel accepts");
            stream
                .write_all(b"GET /untouched HTTP/1.1\r\nhost: x\r\n\r\n")
                .await
                .expect("a buffer");
            connections.push(stream);
        }
        testbed.signal("TERM");
        testbed.signal("CONT");
        for mut stream in connections {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("no reset");
            let status = answer.get(9..12).unwrap_or_default();
            assert!(status == "200" || status == "503", "{answer:?}");
        }
        assert_eq!(testbed.exit().await.code, 0);
    }
}

#[tokio::test]
async fn background_tasks_are_waited_for() {
    let testbed = Testbed::start(&[("GRACE_MS", "20000")]).await;
    let mut client = testbed.client();
    assert_eq!(client.post("/task/800").await.status, 202);
    assert_eq!(client.get("/status").await.json()["tasks"], 1);
    testbed.signal("TERM");
    let exit = testbed.exit().await;
    assert_eq!(exit.code, 0);
    let report = exit.report();
    assert_eq!(report["tasks"], 1, "{report}");
    assert!(report["ms"].as_u64() >= Some(100), "{report}");

    let short = Testbed::start(&[("GRACE_MS", "1000")]).await;
    assert_eq!(short.client().post("/task/60000").await.status, 202);
    short.signal("TERM");
    let exit = short.exit().await;
    assert_eq!(exit.code, 1);
    assert_eq!(exit.report()["aborted"][0]["stage"], "task");
}

#[tokio::test]
async fn streams_are_told_that_the_drain_began() {
    for server in SERVERS {
        let testbed = Testbed::start(&[("SERVER", server), ("GRACE_MS", "20000")]).await;
        let mut client = testbed.client();
        let events = tokio::spawn(async move { client.get("/events").await });
        in_flight(&testbed, "/events").await;
        testbed.signal("TERM");
        let answer = events.await.expect("an answer");
        assert!(answer.text().contains("event: bye"), "{answer:?}");
        assert_eq!(testbed.exit().await.code, 0);
    }
}

#[tokio::test]
async fn locks_do_not_outlive_the_process() {
    let redis = RedisServer::start();
    let url = redis.url();
    let testbed = Testbed::start(&[
        ("REDIS_URL", &url),
        ("GRACE_MS", "1500"),
        ("LEASE_MS", "60000"),
    ])
    .await;
    testbed.until("/ready", 200).await;
    let mut client = testbed.client();
    tokio::spawn(async move {
        client
            .try_send("POST", "/lock/x?hold_ms=60000", None)
            .await
            .is_err()
    });
    held(&testbed).await;
    testbed.signal("TERM");
    assert_eq!(testbed.exit().await.code, 1);
    let next = Testbed::start(&[("REDIS_URL", &url)]).await;
    next.until("/ready", 200).await;
    assert_eq!(next.client().post("/trylock/x").await.status, 200);
}

#[tokio::test]
async fn http2_is_told_to_go_away() {
    let testbed = Testbed::start(&[("SERVER", "hyper"), ("GRACE_MS", "20000")]).await;
    let mut client = Client::http2(testbed.addr());
    assert_eq!(client.get("/untouched").await.status, 200);
    let mut slow = testbed.client();
    let slow = tokio::spawn(async move { slow.get("/sleep/3000").await.status });
    in_flight(&testbed, "/sleep/{ms}").await;
    testbed.signal("TERM");
    // GOAWAY ends the connection as soon as it is idle, long before the slow request is done.
    let mut gone = false;
    for _ in 0..1000 {
        match client.try_send("GET", "/untouched", None).await {
            Ok(answer) => assert!(answer.status == 200 || answer.status == 503, "{answer:?}"),
            Err(_) => {
                gone = true;
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(gone, "the connection was never ended");
    assert_eq!(slow.await.expect("an answer"), 200);
    assert_eq!(testbed.exit().await.code, 0);
}
