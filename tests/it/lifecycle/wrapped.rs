//! Connections that no listener of ours took in.

use std::future::{Future, pending};
use std::io::ErrorKind;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tower_handoff::lifecycle::{LifecycleHandle, Outcome, Phase, Report, Stage, TrackedStream};

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

/// A lifecycle that runs, has `grace` seconds, and settles for a third of them.
async fn settling(grace: u32) -> (LifecycleHandle, JoinHandle<Report>) {
    let builder = quiet_builder().grace(SECOND * grace);
    let lifecycle = builder.settle(SECOND * grace / 3).build().unwrap();
    let handle = lifecycle.handle();
    let run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
    handle.watch().reached(Phase::Ready).await;
    (handle, run)
}

/// Until the run has seen it.
async fn shutdown(handle: &LifecycleHandle) {
    handle.shutdown();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(handle.phase(), Phase::Settling);
}

/// Has `stream` serve one request and answer it.
async fn serves(
    stream: &mut TrackedStream<DuplexStream>,
    theirs: &mut DuplexStream,
    method: &str,
    status: u16,
) {
    let head = format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n");
    theirs.write_all(head.as_bytes()).await.unwrap();
    stream.read_exact(&mut vec![0; head.len()]).await.unwrap();
    stream.flush().await.unwrap();
    let answer = format!("HTTP/1.1 {status} x\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

/// Neither the bytes of an upgraded connection nor what another task reads are there to be dropped.
#[tokio::test(start_paused = true)]
async fn who_shuts_only_the_writing_side_reads_on() {
    for (method, status, upgraded) in [
        ("GET", 101, 1),
        ("POST", 101, 1),
        ("CONNECT", 200, 1),
        ("POST", 200, 0),
    ] {
        let (handle, _run) = settling(90).await;
        let (mut theirs, ours) = duplex(1 << 16);
        let mut stream = handle.wrap_io(ours, None);
        shutdown(&handle).await;
        serves(&mut stream, &mut theirs, method, status).await;
        assert_eq!(handle.status().upgraded, upgraded, "{method} {status}");
        let (mut reader, mut writer) = split(stream);
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).await.map(|_| all)
        });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        writer.shutdown().await.unwrap();
        theirs.write_all(b"the rest").await.unwrap();
        theirs.shutdown().await.unwrap();
        let read = within("the reader", reading).await.unwrap().unwrap();
        assert_eq!(read, b"the rest", "{method} {status}");
        assert_eq!(begun.elapsed(), Duration::ZERO, "{method} {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_reads_on_leaves_the_drain_a_quarter_of_its_time() {
    let builder = quiet_builder().grace(SECOND * 20).hook_time(SECOND * 17);
    let lifecycle = builder.build().unwrap();
    let (handle, drain) = (lifecycle.handle(), lifecycle.budget().drain());
    assert_eq!(drain, SECOND * 2);
    let run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
    let (mut theirs, ours) = duplex(1 << 16);
    let mut stream = handle.wrap_io(ours, None);
    // No longer new, so the instance does not wait for a first request.
    serves(&mut stream, &mut theirs, "GET", 200).await;
    let held = handle.in_flight().token();
    handle.watch().reached(Phase::Ready).await;
    let settled = Instant::now();
    handle.shutdown();
    handle.watch().reached(Phase::Draining).await;
    serves(&mut stream, &mut theirs, "POST", 503).await;
    let endless = tokio::spawn(async move {
        while theirs.write_all(b"more").await.is_ok() {
            sleep(SECOND / 10).await;
        }
    });
    stream.shutdown().await.unwrap();
    assert!(settled.elapsed() <= drain * 3 / 4 + SECOND / 10);
    drop((stream, held));
    let report = within("the run", run).await.unwrap();
    assert_eq!((report.outcome, report.aborted), (Outcome::Clean, vec![]));
    within("the client's error", endless).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_answered_early_is_an_unsent_answer() {
    let (handle, _run) = settling(90).await;
    let (mut theirs, ours) = duplex(16);
    let mut stream = handle.wrap_io(ours, None);
    theirs.write_all(b"POST / HT").await.unwrap();
    stream.read_exact(&mut [0; 9]).await.unwrap();
    assert!(stream.read_u8().now_or_never().is_none());
    let stages = || -> Vec<_> {
        let connections = handle.status().connections;
        connections.iter().map(|one| one.stage).collect()
    };
    assert_eq!(stages(), [Stage::Head]);
    let answer = b"HTTP/1.1 408 Request Timeout\r\n\r\n";
    assert!(stream.write_all(answer).now_or_never().is_none());
    assert_eq!(stages(), [Stage::Unsent]);
}

/// And so is a greeting, until it is out.
#[tokio::test(start_paused = true)]
async fn a_greeting_that_is_out_is_waited_for_no_longer() {
    let (handle, _run) = settling(90).await;
    let (mut theirs, ours) = duplex(16);
    let (mut reader, mut writer) = split(handle.wrap_io(ours, None));
    let greets = tokio::spawn(async move {
        writer
            .write_all(b"220 all the lines of a greeting")
            .await
            .unwrap();
        writer.flush().await.unwrap();
    });
    assert!(reader.read_u8().now_or_never().is_none());
    eventually("it is on its way", async || {
        let connections = handle.status().connections;
        connections.iter().any(|one| one.stage == Stage::Unsent)
    })
    .await;
    theirs.read_exact(&mut [0; 31]).await.unwrap();
    within("the greeting", greets).await.unwrap();
    assert_eq!(handle.status().connections, []);
}

/// How long the shutdown of a stream takes after `rounds` requests, when its peer then does as
/// `peer` says.
async fn lingers<F: Future<Output = ()> + Send + 'static>(
    rounds: usize,
    ends_before: usize,
    peer: impl FnOnce(DuplexStream) -> F,
) -> Duration {
    let (handle, _run) = settling(90).await;
    let (mut theirs, ours) = duplex(1 << 16);
    let mut stream = handle.wrap_io(ours, None);
    for round in 0..rounds {
        if round == ends_before {
            shutdown(&handle).await;
        }
        let head = b"POST / HTTP/1.1\r\n\r\n";
        theirs.write_all(head).await.unwrap();
        assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), head.len());
        stream.flush().await.unwrap();
        stream.write_all(b"HTTP/1.1 503 x\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
    }
    if ends_before == rounds {
        shutdown(&handle).await;
    }
    let peer = tokio::spawn(peer(theirs));
    tokio::task::yield_now().await;
    let begun = Instant::now();
    let shut = tokio::spawn(async move { stream.shutdown().await });
    tokio::task::yield_now().await;
    // The answer is out.
    assert!(handle.status().connections.is_empty());
    within("the shutdown", shut).await.unwrap().unwrap();
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
    // In the middle of an upload that was answered while the instance ends: until a second of
    // silence.
    assert_eq!(lingers(2, 1, sends).await, SECOND);
    assert_eq!(lingers(2, 1, silent).await, SECOND);
    assert_eq!(lingers(2, 2, sends).await, Duration::ZERO);
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
