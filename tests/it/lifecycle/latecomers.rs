//! What begins when draining has begun can only be refused: it neither holds a drain nor forces it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_handoff::lifecycle::{Outcome, Phase, ServerOutcome, Stage};

use super::common::{Client, eventually, quiet_builder, within};
use super::instance::{Instance, SERVERS, Server};

/// Longer than a test is waited for.
const LONG: Duration = Duration::from_secs(3600);
/// HTTP/2 on which nothing is asked; and on which `GET /` is.
const HELLO: &[u8] = HTTP2.split_at(33).0;
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\0\x04\0\0\0\0\0\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x86";
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_begins_while_draining_is_not_waited_for_to_the_end() {
    for server in SERVERS {
        let instance = Instance::start(server, quiet_builder().grace(LONG)).await;
        let mut clients = Vec::new();
        for served in [true, true, false, false] {
            let mut client = Client::connect(instance.address).await;
            if served {
                client.get("/").await;
            }
            clients.push(client);
        }
        let held = instance.handle.in_flight().token();
        instance.handle.shutdown();
        instance.handle.watch().reached(Phase::Draining).await;
        for (client, begin) in clients
            .iter_mut()
            .zip([&b"G"[..], b"POST / HT", b"G", b"P"])
        {
            client.tcp.write_all(begin).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(held);
        let report = instance.report().await;
        assert_eq!(
            (report.outcome, &report.server, report.rejected),
            (Outcome::Clean, &ServerOutcome::Done, 0),
            "{server:?} {report:?}"
        );
        assert_eq!(report.unfinished_heads.len(), 4, "{report:?}");
        for client in &mut clients {
            assert_eq!(within("the end", client.answer()).await.0, "");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_head_that_becomes_whole_is_answered() {
    for server in SERVERS {
        // The server has not ended before: something else is in flight, or the second is not over.
        for held in [true, false] {
            // A busy machine may have read nothing when all else is over, or take the second.
            let mut tries = 0;
            while !is_answered_late(server, held).await {
                tries += 1;
                assert!(!held && tries < 10, "{server:?}");
            }
        }
    }
}

/// Whether it was not closed before.
async fn is_answered_late(server: Server, held: bool) -> bool {
    let instance = Instance::start(server, quiet_builder().grace(LONG)).await;
    let mut client = Client::connect(instance.address).await;
    client.get("/").await;
    let first = instance.handle.in_flight().token();
    instance.handle.shutdown();
    instance.handle.watch().reached(Phase::Draining).await;
    client.tcp.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let first = held.then_some(first);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let rest = client.tcp.write_all(b"Host: x\r\n\r\n").await;
    let head = match rest {
        Ok(()) => within("the answer", client.answer()).await.0,
        Err(_) => String::new(),
    };
    drop(first);
    let report = instance.report().await;
    let answered = head.starts_with("http/1.1 503");
    let expected = (Outcome::Clean, u64::from(answered));
    assert_eq!((report.outcome, report.rejected), expected, "{head:?}");
    answered
}

#[tokio::test(start_paused = true)]
async fn late_ones_have_a_second_together_and_force_nothing() {
    // Time runs out while something else is in flight; or nothing else is.
    for busy in [true, false] {
        let lifecycle = quiet_builder().grace(20 * SECOND).build().unwrap();
        let (handle, drain) = (lifecycle.handle(), lifecycle.budget().drain());
        let run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
        handle.watch().reached(Phase::Ready).await;
        let mut streams = Vec::new();
        for begin in [&b"G"[..], HELLO, HTTP2] {
            let (theirs, ours) = duplex(64);
            streams.push((theirs, handle.wrap_io(ours, None), begin));
        }
        let held = handle.in_flight().token();
        let shut = Instant::now();
        handle.shutdown();
        handle.watch().reached(Phase::Draining).await;
        for (theirs, stream, begin) in &mut streams {
            theirs.write_all(begin).await.unwrap();
            stream.read_exact(&mut vec![0; begin.len()]).await.unwrap();
            assert!(stream.read_u8().now_or_never().is_none());
        }
        let stages = handle.status().connections;
        let stages: Vec<_> = stages.iter().map(|one| one.stage).collect();
        assert_eq!(stages, [Stage::Head]);
        let held = busy.then_some(held);
        let draining = Instant::now();
        let report = within("the run", run).await.unwrap();
        assert_eq!((report.aborted, report.unfinished_heads.len()), (vec![], 1));
        if busy {
            assert_eq!(report.outcome, Outcome::Forced);
            assert!(shut.elapsed() >= drain);
        } else {
            assert_eq!(draining.elapsed(), SECOND);
            assert_eq!(report.outcome, Outcome::Clean);
        }
        for (_, stream, _) in &mut streams {
            assert!(matches!(stream.read_u8().now_or_never(), Some(Err(_))));
        }
        drop(held);
    }
}

/// One whose window lets no byte of a body through.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_on_http2_needs_no_room_in_its_clients_window() {
    for server in SERVERS {
        let instance = Instance::start(server, quiet_builder().grace(LONG)).await;
        let tcp = TokioIo::new(TcpStream::connect(instance.address).await.unwrap());
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(0).adaptive_window(false);
        let (mut client, connection) = builder.handshake(tcp).await.unwrap();
        let connection = tokio::spawn(connection);
        let get = || {
            let uri = format!("http://{}/empty", instance.address);
            Request::get(uri).body(Empty::<Bytes>::new()).unwrap()
        };
        let first = within("the first", client.send_request(get())).await;
        assert_eq!(first.unwrap().status(), 404);
        let held = instance.handle.in_flight().token();
        instance.handle.shutdown();
        instance.handle.watch().reached(Phase::Draining).await;
        let answer = within("the refusal", client.send_request(get())).await;
        if let Ok(answer) = answer {
            assert_eq!(answer.status(), 503);
            assert!(answer.headers().contains_key("retry-after"));
            assert!(!answer.headers().contains_key("content-type"));
            let body = within("the body", answer.into_body().collect()).await;
            assert!(body.unwrap().to_bytes().is_empty());
        } else {
            // There GOAWAY comes when draining begins.
            assert_eq!(server, Server::Hyper);
        }
        let in_flight = instance.handle.in_flight();
        eventually("only the first", async || in_flight.count() == 1).await;
        drop(held);
        let report = instance.report().await;
        assert_eq!(
            (report.outcome, report.server),
            (Outcome::Clean, ServerOutcome::Done)
        );
        let _ = within("GOAWAY", connection).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_late_head_that_its_client_takes_slowly_is_waited_for() {
    let lifecycle = quiet_builder().grace(20 * SECOND).build().unwrap();
    let handle = lifecycle.handle();
    let run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
    handle.watch().reached(Phase::Ready).await;
    let held = handle.in_flight().token();
    handle.shutdown();
    handle.watch().reached(Phase::Draining).await;
    let (mut theirs, ours) = duplex(64);
    let mut stream = handle.wrap_io(ours, None);
    for piece in [&b"GET / HTTP"[..], b"/1.1\r\nHost: x\r\n\r\n"] {
        assert!(stream.read_u8().now_or_never().is_none());
        theirs.write_all(piece).await.unwrap();
        stream.read_exact(&mut vec![0; piece.len()]).await.unwrap();
        // A head that is not whole is looked for the rest of.
        let _ = stream.read_u8().now_or_never();
    }
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let body = [b'x'; 1000];
    assert!(stream.write_all(&body).now_or_never().is_none());
    let stages: Vec<_> = handle
        .status()
        .connections
        .iter()
        .map(|one| one.stage)
        .collect();
    assert_eq!(stages, [Stage::Unsent]);
    drop(held);
    // Longer than latecomers are waited for; meanwhile the server looks for the client's end.
    tokio::time::sleep(2 * SECOND).await;
    assert!(stream.read_u8().now_or_never().is_none());
    assert!(!run.is_finished());
    let taken = tokio::spawn(async move {
        let mut all = Vec::new();
        let _ = theirs.read_to_end(&mut all).await;
        all.len()
    });
    // The first of it went out above.
    let rest = body.len() - (64 - head.len());
    stream.write_all(&body[..rest]).await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    assert_eq!(
        within("the answer", taken).await.unwrap(),
        head.len() + body.len()
    );
    let report = within("the run", run).await.unwrap();
    assert_eq!((report.outcome, report.aborted), (Outcome::Clean, vec![]));
}
