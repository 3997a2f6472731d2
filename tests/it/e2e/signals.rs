//! Which signals count, and from when on.

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
            testbed.signal(second);
            let exit = testbed.exit().await;
            assert_eq!((exit.code, exit.stdout.len()), (130, 0), "{exit:?}");
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
