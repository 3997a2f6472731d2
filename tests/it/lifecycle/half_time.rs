//! Who looks into a drain that takes long is told while it can still be looked into.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::sleep;
use tower_handoff::lifecycle::{Outcome, Phase};
use tracing::Level;

use super::common::quiet_builder;
use crate::support::log::Log;

const SECOND: Duration = Duration::from_secs(1);

/// The warnings of a drain of 13 s that a task holds for `time`.
async fn warnings(time: Duration) -> Vec<String> {
    let (log, _guard) = Log::of_this_thread(Level::WARN);
    let builder = quiet_builder().grace(20 * SECOND).settle(2 * SECOND);
    let lifecycle = builder.hook_time(4 * SECOND).build().unwrap();
    let handle = lifecycle.handle();
    for number in 0..20 {
        handle.spawn(format!("slow-{number}"), sleep(2 * SECOND + time));
    }
    handle.shutdown();
    let report = lifecycle.run(handle.stop_accepting()).await;
    assert_eq!(report.outcome, Outcome::Clean);
    log.text().lines().map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn who_is_under_way_is_named_when_half_of_the_drain_is_over() {
    let in_time = warnings(6 * SECOND).await;
    assert!(in_time.is_empty(), "{in_time:?}");
    let late = warnings(7 * SECOND).await;
    let (first, named) = late.split_first().expect("a warning");
    assert!(
        first.contains("half of the drain's time is over") && first.contains("tasks=20"),
        "{first}"
    );
    assert!(first.contains("left=6.5s"), "{first}");
    assert_eq!(named.len(), 10);
    assert!(named.iter().all(|line| line.contains("slow-")), "{named:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_zero_has_no_half() {
    let (log, _guard) = Log::of_this_thread(Level::WARN);
    let builder = quiet_builder().hook_time(Duration::from_millis(9500));
    let lifecycle = builder.build().unwrap();
    assert_eq!(lifecycle.budget().drain(), Duration::ZERO);
    let handle = lifecycle.handle();
    handle.spawn("endless", std::future::pending());
    handle.shutdown();
    let report = lifecycle.run(handle.stop_accepting()).await;
    assert_eq!(report.outcome, Outcome::Forced);
    assert!(!log.text().contains("half"), "{}", log.text());
}

#[test]
fn hooks_that_want_more_than_there_is_are_a_warning() {
    for (hook_time, warns) in [(3, false), (2, true)] {
        let (log, _guard) = Log::of_this_thread(Level::WARN);
        let builder = quiet_builder().hook_time(hook_time * SECOND);
        let builder = builder.on_shutdown("one", SECOND, || async { Ok(()) });
        let builder = builder.on_shutdown("two", 2 * SECOND, || async { Ok(()) });
        builder.build().unwrap();
        let warned = log.text().contains("time_outs=3s");
        assert_eq!(warned, warns, "{}", log.text());
    }
}

/// The warnings of a drain of 9 s in which only a client is left that says `begin` in `phase`, and `then`
/// when the server is told to stop.
async fn warnings_of_a_client_that_says(
    begin: &[u8],
    phase: Phase,
    then: &[u8],
    grace: Duration,
) -> String {
    let (log, _guard) = Log::of_this_thread(Level::WARN);
    let lifecycle = quiet_builder().grace(grace).build().unwrap();
    let handle = lifecycle.handle();
    // A server that ends when its connection does.
    let (stop, (mut theirs, ours)) = (handle.stop_accepting(), duplex(64));
    let mut stream = handle.wrap_io(ours, None);
    let server = async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
        stop.await;
    };
    let begun = handle.watch().reached(phase);
    let (begin, then) = (begin.to_owned(), then.to_owned());
    let told = handle.stop_accepting();
    let client = tokio::spawn(async move {
        begun.await;
        theirs.write_all(&begin).await.unwrap();
        told.await;
        // Whose server may be gone.
        let _ = theirs.write_all(&then).await;
        theirs
    });
    let shutdown = handle.clone();
    tokio::spawn(async move {
        let held = shutdown.in_flight().token();
        sleep(SECOND).await;
        shutdown.shutdown();
        // Until the client has begun.
        shutdown.watch().reached(Phase::Draining).await;
        sleep(Duration::from_millis(10)).await;
        drop(held);
    });
    lifecycle.run(server).await;
    drop(client.await);
    log.text()
}

#[tokio::test(start_paused = true)]
async fn a_peer_on_http2_that_does_not_let_go_is_named_at_half_time() {
    // `GET /` behind its settings.
    let asks = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
        \0\0\0\x04\0\0\0\0\0\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x86";
    let pong = b"\0\0\x08\x06\x01\0\0\0\0ponged..";
    let text = warnings_of_a_client_that_says(asks, Phase::Ready, pong, 20 * SECOND).await;
    let half: Vec<_> = text
        .lines()
        .filter(|line| line.contains("half of"))
        .collect();
    assert_eq!(half.len(), 2, "{text}");
    assert!(
        half[0].contains("http2=1") && half[1].contains("Http2"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_head_alone_is_no_warning() {
    let text = warnings_of_a_client_that_says(b"G", Phase::Draining, b"", 2 * SECOND).await;
    assert!(!text.contains("half of"), "{text}");
}
