//! What could put off the end, and does not.

use std::future::{pending, ready};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpListener;
use tower_handoff::lifecycle::{Outcome, Phase, ServerOutcome, Stage};

use super::common::{eventually, quiet_builder, within};
use super::piped::serve;

const MILLI: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn silent_connections_take_half_of_a_short_drain_at_most() {
    // A drain of 200 ms: less than a first request is waited for.
    let builder = quiet_builder().grace(400 * MILLI).hook_time(150 * MILLI);
    let lifecycle = builder.build().unwrap();
    assert_eq!(lifecycle.budget().drain(), 200 * MILLI);
    let handle = lifecycle.handle();
    let (_theirs, ours) = duplex(16);
    let _silent = handle.wrap_io(ours, None);
    handle.shutdown();
    let report = lifecycle.run(handle.stop_accepting()).await;
    assert_eq!(
        (report.outcome, report.settling, report.took),
        (Outcome::Clean, 100 * MILLI, 100 * MILLI)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sockets_close_though_the_server_has_ended_before() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let mut listener = lifecycle.tcp_listener(tcp);
    let accepting = tokio::spawn(async move { while listener.accept().await.is_some() {} });
    let held = handle.in_flight().token();
    let run = tokio::spawn(lifecycle.run(ready(())));
    handle.watch().reached(Phase::Draining).await;
    within("the accept loop", accepting).await.unwrap();
    assert!(!run.is_finished());
    drop(held);
    let report = within("the run", run).await.unwrap();
    assert_eq!(report.outcome, Outcome::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_are_named_and_all_are_ended() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let mut streams = Vec::new();
    let whole = b"GET / HTTP/1.1\r\n\r\n";
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x86";
    for (begin, count, unread) in [
        (&whole[..], 700, true),
        (http2, 700, false),
        (&whole[..9], 1100, false),
    ] {
        for _ in 0..count {
            let (mut theirs, ours) = duplex(64);
            theirs.write_all(begin).await.unwrap();
            let mut stream = handle.wrap_io(ours, None);
            stream.read_exact(&mut vec![0; begin.len()]).await.unwrap();
            if unread {
                assert!(stream.write_all(&[b'x'; 65]).now_or_never().is_none());
            } else {
                assert!(stream.read_u8().now_or_never().is_none());
            }
            streams.push((theirs, stream));
        }
    }
    assert_eq!(handle.status().connections.len(), 1000);
    handle.shutdown();
    let report = lifecycle.run(handle.stop_accepting()).await;
    let named = |stage| report.aborted.iter().filter(move |one| one.stage == stage);
    let (unsent, http2) = (named(Stage::Unsent).count(), named(Stage::Http2).count());
    assert_eq!((unsent, http2), (700, 300));
    assert_eq!(report.unfinished_heads.len(), 1000);
    for (_, stream) in &mut streams {
        assert!(matches!(stream.read_u8().now_or_never(), Some(Err(_))));
    }
}

/// All of it was there before the connection was first looked at, so it never waited for a byte.
#[tokio::test(start_paused = true)]
async fn a_connection_that_never_waited_is_ended_too() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let (mut theirs, ours) = duplex(2 << 20);
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n";
    theirs.write_all(head).await.unwrap();
    theirs.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
    let served = serve(&lifecycle, ours, |unread| async move {
        let _unread = unread;
        pending().await
    });
    let in_flight = handle.in_flight();
    eventually("it is asked", async || in_flight.count() == 1).await;
    handle.shutdown();
    let stop = handle.stop_accepting();
    let server = async move {
        stop.await;
        served.await.unwrap();
    };
    let report = lifecycle.run(server).await;
    assert_eq!(
        (report.outcome, report.server, report.aborted.len()),
        (Outcome::Forced, ServerOutcome::Done, 1)
    );
}
