//! What a connection's first bytes make of it: HTTP/2, TLS, a tunnel.

use std::time::Duration;

use futures_util::FutureExt;
use http::{Method, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};
use tower_handoff::drain_gate::DrainGateLayer;
use tower_handoff::lifecycle::{LifecycleHandle, Phase, PhaseControl, Stage};

use super::common::{quiet_builder, within};
use super::piped::{EMPTY_SETTINGS, GET, PREFACE, hello, serve};

/// `:status: 200` in HPACK's static table.
const STATUS_200: u8 = 0x88;
const HEADERS: u8 = 1;

/// What is ready to run has run.
async fn stays_in(handle: &LifecycleHandle, phase: Phase) {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(handle.phase(), phase);
}

/// The kind of the next frame, and its payload.
async fn frame(tcp: &mut DuplexStream) -> (u8, Vec<u8>) {
    let mut head = [0; 9];
    within("a frame", tcp.read_exact(&mut head)).await.unwrap();
    let mut payload = vec![0; usize::from(head[2]) + (usize::from(head[1]) << 8)];
    within("a frame", tcp.read_exact(&mut payload))
        .await
        .unwrap();
    (head[3], payload)
}

#[tokio::test(start_paused = true)]
async fn the_gate_waits_for_the_first_request_of_http2() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let (mut theirs, ours) = duplex(1 << 16);
    let served = serve(&lifecycle, ours, hello);
    let run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
    handle.watch().reached(Phase::Ready).await;
    let (begun, held) = (Instant::now(), handle.in_flight().token());
    handle.shutdown();
    // The server writes and flushes its own before there is a request, and after.
    for piece in [PREFACE, EMPTY_SETTINGS] {
        stays_in(&handle, Phase::Settling).await;
        theirs.write_all(piece).await.unwrap();
    }
    frame(&mut theirs).await;
    stays_in(&handle, Phase::Settling).await;
    theirs.write_all(GET).await.unwrap();
    let answer = loop {
        if let (HEADERS, payload) = frame(&mut theirs).await {
            break payload;
        }
    };
    assert_eq!(answer[0], STATUS_200, "{answer:?}");
    stays_in(&handle, Phase::Draining).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    drop((theirs, held));
    within("the connection", served).await.unwrap();
    assert_eq!(within("the run", run).await.unwrap().rejected, 0);
}

#[tokio::test(start_paused = true)]
async fn the_gate_waits_for_the_handshake_of_tls() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let (mut theirs, ours) = duplex(1 << 16);
    let mut stream = handle.wrap_io(ours, None);
    let _run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
    handle.watch().reached(Phase::Ready).await;
    let (begun, held) = (Instant::now(), handle.in_flight().token());
    handle.shutdown();
    for (flight, then) in [(0x16, Phase::Settling), (0x14, Phase::Draining)] {
        theirs.write_all(&[flight, 3, 3, 0, 0]).await.unwrap();
        stream.read_exact(&mut [0; 5]).await.unwrap();
        stream.write_all(b"ours").await.unwrap();
        stream.flush().await.unwrap();
        stays_in(&handle, Phase::Settling).await;
        assert!(stream.read_u8().now_or_never().is_none());
        stays_in(&handle, then).await;
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn half_a_preface_becomes_http2_with_the_rest() {
    for cut in 1..PREFACE.len() {
        let lifecycle = quiet_builder().build().unwrap();
        let handle = lifecycle.handle();
        let (mut theirs, ours) = duplex(1 << 16);
        let mut stream = handle.wrap_io(ours, None);
        let goodbye = stream.goodbye();
        let (begin, rest) = PREFACE.split_at(cut);
        theirs.write_all(begin).await.unwrap();
        stream.read_exact(&mut vec![0; cut]).await.unwrap();
        assert!(stream.read_u8().now_or_never().is_none());
        let stages = || handle.status().connections;
        let waits = stages().iter().any(|one| one.stage == Stage::Head);
        assert!(waits, "cut at {cut}");
        theirs.write_all(rest).await.unwrap();
        stream.read_exact(&mut vec![0; rest.len()]).await.unwrap();
        assert_eq!(stages(), []);
        let _held = handle.in_flight().token();
        let _run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
        handle.shutdown();
        handle.watch().reached(Phase::Draining).await;
        assert!(goodbye.now_or_never().is_some(), "cut at {cut}");
        assert!(stream.goodbye().now_or_never().is_some());
    }
}

#[tokio::test]
async fn a_tunnel_is_not_told_to_close() {
    let phases = PhaseControl::new();
    phases.advance(Phase::Settling);
    for (method, status, closes) in [
        (Method::CONNECT, 200, false),
        (Method::CONNECT, 502, true),
        (Method::GET, 200, true),
        (Method::GET, 101, false),
    ] {
        let gate = DrainGateLayer::new(phases.watch());
        let service = gate.layer(service_fn(|_: Request<()>| async {
            let answer = Response::builder().status(status).body(String::new());
            Ok::<_, std::convert::Infallible>(answer.unwrap())
        }));
        let request = Request::builder().method(&method).body(()).unwrap();
        let answer = service.oneshot(request).await.unwrap();
        let told = answer.headers().contains_key("connection");
        assert_eq!(told, closes, "{method} {status}");
    }
}

/// `C` may be the beginning of `CONNECT`, and of `COPY`.
#[tokio::test(start_paused = true)]
async fn a_tunnel_is_known_by_the_whole_word() {
    for (method, upgraded) in [("CONNECT", 1), ("COPY", 0), ("CONN", 0), ("CONNECTED", 0)] {
        let head = format!("{method} /x HTTP/1.1\r\nHost: x\r\n\r\n");
        for cut in 1..method.len() {
            let lifecycle = quiet_builder().build().unwrap();
            let handle = lifecycle.handle();
            let (mut theirs, ours) = duplex(1 << 16);
            let mut stream = handle.wrap_io(ours, None);
            let (begin, rest) = head.split_at(cut);
            for piece in [begin, rest] {
                theirs.write_all(piece.as_bytes()).await.unwrap();
                stream.read_exact(&mut vec![0; piece.len()]).await.unwrap();
                assert!(stream.read_u8().now_or_never().is_none());
            }
            stream.flush().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            stream.flush().await.unwrap();
            assert_eq!(handle.status().upgraded, upgraded, "{method} cut at {cut}");
        }
    }
}

/// A server looks at nothing behind empty lines until a head is whole; in front of them it does.
#[tokio::test(start_paused = true)]
async fn whatever_follows_empty_lines_is_half_a_head() {
    for (pieces, is_head) in [
        (&["\r\n", "("][..], true),
        (&["\r\n", "\x16"], true),
        (&["("], false),
    ] {
        let lifecycle = quiet_builder().build().unwrap();
        let handle = lifecycle.handle();
        let (mut theirs, ours) = duplex(16);
        let mut stream = handle.wrap_io(ours, None);
        for piece in pieces {
            theirs.write_all(piece.as_bytes()).await.unwrap();
            stream.read_exact(&mut vec![0; piece.len()]).await.unwrap();
        }
        assert!(stream.read_u8().now_or_never().is_none());
        let stages = handle.status().connections.into_iter();
        let stages: Vec<_> = stages.map(|one| one.stage).collect();
        let expected: &[Stage] = if is_head { &[Stage::Head] } else { &[] };
        assert_eq!(stages, expected, "{pieces:?}");
    }
}
