//! Which signals count, and from when on.

use std::time::Duration;

use tokio::time::sleep;

use super::SERVERS;
use super::lifecycle::not_ready;
use super::sessions::in_flight;
use crate::support::testbed::Testbed;

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    for server in SERVERS {
        for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
            let testbed = Testbed::start(&[("SERVER", server), ("GRACE_MS", "25000")]).await;
            let mut client = testbed.client();
            tokio::spawn(
                async move { client.try_send("GET", "/sleep/60000", None).await.is_err() },
            );
            in_flight(&testbed, "/sleep/{ms}").await;
            // Open before the socket closes, and until what is in flight ends.
            let mut probes = testbed.client();
            assert_eq!(probes.get("/ready").await.status, 200);
            testbed.signal(first);
            not_ready(&mut probes).await;
            // What comes sooner is the same request.
            sleep(Duration::from_millis(1100)).await;
            testbed.signal(second);
            let exit = testbed.exit().await;
            assert_eq!((exit.code, exit.stdout.len()), (130, 0), "{exit:?}");
        }
    }
}

/// From a platform that signals the process group and a wrapper that passes its own on, or from
/// systemd and a unit's `ExecStop`.
#[tokio::test]
async fn a_request_that_comes_as_two_signals_is_one() {
    for server in SERVERS {
        for (first, again) in [("TERM", "TERM"), ("TERM", "INT"), ("INT", "TERM")] {
            let testbed = Testbed::start(&[("SERVER", server), ("GRACE_MS", "25000")]).await;
            let mut client = testbed.client();
            let slow = tokio::spawn(async move { client.get("/sleep/1500").await.status });
            in_flight(&testbed, "/sleep/{ms}").await;
            testbed.signal(first);
            // Two of a kind that are pending at once would be one already for the kernel.
            sleep(Duration::from_millis(20)).await;
            testbed.signal(again);
            let exit = testbed.exit().await;
            assert_eq!((exit.code, exit.stdout.len()), (0, 1), "{exit:?}");
            assert_eq!(slow.await.unwrap(), 200);
        }
    }
}

#[tokio::test]
async fn a_signal_is_heard_as_soon_as_the_instance_says_that_it_listens() {
    for server in SERVERS {
        for _ in 0..10 {
            let testbed = Testbed::start(&[("SERVER", server)]).await;
            testbed.signal("TERM");
            let exit = testbed.exit().await;
            assert_eq!((exit.code, exit.stdout.len()), (0, 1), "{exit:?}");
        }
    }
}

/// As a `preStop` hook asks, before the platform sends its signal.
#[tokio::test]
async fn asked_to_stop_by_http_the_first_signal_is_still_a_first_one() {
    for server in SERVERS {
        for (method, asked) in [("GET", 1), ("POST", 2)] {
            let testbed = Testbed::start(&[("SERVER", server), ("GRACE_MS", "25000")]).await;
            let mut client = testbed.client();
            let slow = tokio::spawn(async move { client.get("/sleep/1500").await.status });
            in_flight(&testbed, "/sleep/{ms}").await;
            let mut hook = testbed.client();
            assert_eq!(hook.send("PUT", "/pre-stop", None).await.status, 405);
            assert_eq!(hook.get("/ready").await.status, 200);
            for _ in 0..asked {
                let answer = hook.send(method, "/pre-stop", None).await;
                assert_eq!((answer.status, answer.body.len()), (202, 0));
            }
            not_ready(&mut hook).await;
            testbed.signal("TERM");
            let exit = testbed.exit().await;
            assert_eq!((exit.code, exit.stdout.len()), (0, 1), "{exit:?}");
            assert_eq!(slow.await.unwrap(), 200);
        }
    }
}
