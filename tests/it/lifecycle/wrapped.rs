//! Connections that no listener of ours took in.

use std::future::{Future, pending};
use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::time::{Instant, sleep};
use tower_handoff::lifecycle::{Outcome, Stage};

use super::common::{eventually, quiet_builder, within};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn both_halves_end_at_the_deadline_wherever_they_wait() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let peer = "192.0.2.7:4242".parse().unwrap();
    let (_theirs, ours) = duplex(16);
    let (mut reader, mut writer) = split(handle.wrap_io(ours, Some(peer)));
    let reading = tokio::spawn(async move { reader.read(&mut [0; 16]).await });
    let writing = tokio::spawn(async move { writer.write_all(&[b'x'; 64]).await });
    eventually("it cannot write", async || {
        handle.status().connections.len() == 1
    })
    .await;
    handle.shutdown();
    let report = lifecycle.run(handle.stop_accepting()).await;
    assert_eq!(report.outcome, Outcome::Forced);
    let [aborted] = &report.aborted[..] else {
        panic!("{report:?}");
    };
    assert_eq!(
        (aborted.stage, aborted.peer, aborted.age >= SECOND),
        (Stage::Unsent, Some(peer), true)
    );
    let json = serde_json::to_value(aborted).unwrap();
    assert_eq!(
        (&json["method"], &json["peer"]),
        (&().into(), &"192.0.2.7:4242".into())
    );
    // An error, so that neither takes it for the peer's end.
    let read = within("the reader", reading).await.unwrap().unwrap_err();
    let written = within("the writer", writing).await.unwrap().unwrap_err();
    let aborted = ErrorKind::ConnectionAborted;
    assert_eq!((read.kind(), written.kind()), (aborted, aborted));
    assert!(handle.status().connections.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_moved_to_another_task_is_found_there() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let (_theirs, ours) = duplex(16);
    let mut stream = handle.wrap_io(ours, None);
    assert!(
        tokio::time::timeout(SECOND, stream.read_u8())
            .await
            .is_err()
    );
    let moved = tokio::spawn(async move { stream.read(&mut [0; 16]).await });
    // A run that is dropped gives its connections up as well.
    let run = tokio::time::timeout(SECOND, lifecycle.run(std::future::pending::<()>()));
    assert!(run.await.is_err());
    assert!(within("the reader", moved).await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_end_is_ended_at_once() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    handle.shutdown();
    lifecycle.run(handle.stop_accepting()).await;
    let (mut theirs, ours) = duplex(16);
    theirs.write_all(b"GET").await.unwrap();
    let mut late = handle.wrap_io(ours, None);
    assert!(late.read(&mut [0; 16]).await.is_err());
    assert!(late.write_all(b"x").await.is_err());
    assert!(late.flush().await.is_err());
    late.shutdown().await.unwrap();
}

/// How long the shutdown of a stream takes after `rounds` requests, when its peer then does as
/// `peer` says.
async fn lingers<F: Future<Output = ()> + Send + 'static>(
    rounds: usize,
    ends_before: usize,
    peer: impl FnOnce(DuplexStream) -> F,
) -> Duration {
    let lifecycle = quiet_builder().build().unwrap();
    let (mut theirs, ours) = duplex(1 << 16);
    let mut stream = lifecycle.wrap_io(ours, None);
    for round in 0..rounds {
        if round == ends_before {
            lifecycle.shutdown();
        }
        let head = b"POST / HTTP/1.1\r\n\r\n";
        theirs.write_all(head).await.unwrap();
        assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), head.len());
        stream.flush().await.unwrap();
        stream.write_all(b"HTTP/1.1 503 x\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
    }
    if ends_before == rounds {
        lifecycle.shutdown();
    }
    let peer = tokio::spawn(peer(theirs));
    tokio::task::yield_now().await;
    let begun = Instant::now();
    stream.shutdown().await.unwrap();
    let took = begun.elapsed();
    peer.abort();
    took
}

#[tokio::test(start_paused = true)]
async fn a_stream_reads_on_only_while_its_peer_sends_what_nobody_reads() {
    let silent = |theirs: DuplexStream| async move {
        let _theirs = theirs;
        pending::<()>().await;
    };
    let sends = |mut theirs: DuplexStream| async move {
        theirs.write_all(b"the body").await.unwrap();
        pending::<()>().await;
    };
    // Idle, however many requests there were.
    for rounds in 0..3 {
        assert_eq!(lingers(rounds, rounds, silent).await, Duration::ZERO);
    }
    // In the middle of an upload: until a second of silence.
    assert_eq!(lingers(2, 1, sends).await, SECOND);
    assert_eq!(lingers(2, 1, silent).await, SECOND);
    assert_eq!(lingers(2, 2, sends).await, SECOND);
    assert_eq!(lingers(2, 9, sends).await, Duration::ZERO);
    // Or until it has ended.
    let ends = |mut theirs: DuplexStream| async move {
        theirs.write_all(b"the body").await.unwrap();
        sleep(SECOND / 4).await;
    };
    assert_eq!(lingers(2, 1, ends).await, SECOND / 4);
    // Or until it has had its five seconds.
    let endless = |mut theirs: DuplexStream| async move {
        loop {
            theirs.write_all(b"more").await.unwrap();
            sleep(SECOND / 2).await;
        }
    };
    let took = lingers(2, 1, endless).await;
    assert!(took >= 5 * SECOND && took < 6 * SECOND, "{took:?}");
}
