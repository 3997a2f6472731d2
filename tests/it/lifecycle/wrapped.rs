//! Connections that no listener of ours took in.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
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
