//! Streams and sockets hear that draining begins, and end by themselves.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};
use tokio::io::AsyncReadExt;
use tower_handoff::lifecycle::{Outcome, Phase, PhaseControl, Stage};

use super::common::{Client, eventually, quiet_builder, within};
use super::instance::{Instance, SERVERS};
use crate::support::websocket::{Frame, WebSocket};

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_says_goodbye_and_is_waited_for() {
    for server in SERVERS {
        let instance =
            Instance::start(server, quiet_builder().grace(Duration::from_secs(90))).await;
        let mut idle = Client::connect(instance.address).await;
        assert!(idle.get("/").await.0.starts_with("http/1.1 200"));
        let mut socket = WebSocket::open(instance.address, "/ws").await;
        // Counted before its peer can know of it.
        assert_eq!(instance.handle.status().upgraded, 1);
        assert_eq!(
            instance.handle.status().connections[0].stage,
            Stage::Upgraded
        );
        socket.text("HTTP/1.1 200 OK").await;
        assert_eq!(socket.frame().await, Frame::Text("HTTP/1.1 200 OK".into()));
        let in_flight = instance.handle.in_flight();
        eventually("the request is over", async || in_flight.is_idle()).await;

        instance.handle.shutdown();
        assert_eq!(within("a frame", socket.frame()).await, Frame::Close(1001));
        // Everything else is over, so it is the socket that the drain waits for: a server that
        // is told to stop closes what is idle.
        assert!(idle.get("/").await.0.starts_with("http/1.1 503"));
        assert_eq!(instance.handle.phase(), Phase::Draining);
        assert!(!instance.run.is_finished());
        socket.close(1001).await;
        assert_eq!(within("the end", socket.frame()).await, Frame::End);
        let report = instance.report().await;
        assert_eq!((report.outcome, report.upgraded), (Outcome::Clean, 1));
        assert_eq!((report.in_flight_at_signal, report.completed), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_goodbye_first_is_answered() {
    for server in SERVERS {
        let instance = Instance::start(server, quiet_builder()).await;
        let mut socket = WebSocket::open(instance.address, "/ws").await;
        socket.close(1000).await;
        assert_eq!(within("a frame", socket.frame()).await, Frame::Close(1000));
        assert_eq!(within("the end", socket.frame()).await, Frame::End);
        instance.handle.shutdown();
        assert_eq!(instance.report().await.outcome, Outcome::Clean);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_sent_events_end_with_the_last_word() {
    for server in SERVERS {
        let instance =
            Instance::start(server, quiet_builder().grace(Duration::from_secs(90))).await;
        let mut client = Client::connect(instance.address).await;
        client.send("/events").await;
        let handle = instance.handle.clone();
        eventually("events flow", async || {
            handle
                .status()
                .requests
                .first()
                .is_some_and(|one| one.stage == Stage::Body)
        })
        .await;
        let mut tick = vec![0; 1024];
        let mut read = 0;
        while !tick[..read].ends_with(b"data: tick\n\n\r\n") {
            read += within("a tick", client.tcp.read(&mut tick[read..]))
                .await
                .unwrap();
        }
        handle.shutdown();
        let mut text = String::new();
        within("the end", client.tcp.read_to_string(&mut text))
            .await
            .unwrap();
        let end = "event: bye\n\n\r\n0\r\n\r\n";
        assert!(text.ends_with(end), "{text}");
        let report = instance.report().await;
        assert_eq!((report.outcome, report.completed), (Outcome::Clean, 1));
    }
}

#[tokio::test]
async fn a_stream_ends_when_draining_begins_and_not_before() {
    let phases = PhaseControl::new();
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    let items = stream::unfold(receive, |mut receive| async {
        let item: u32 = receive.recv().await?;
        Some((item, receive))
    });
    let mut told = Box::pin(phases.watch().until_drain(items));
    send.send(1).unwrap();
    assert_eq!(told.next().await, Some(1));
    assert!(told.next().now_or_never().is_none());
    for phase in [Phase::Ready, Phase::Settling] {
        phases.advance(phase);
        assert!(told.next().now_or_never().is_none(), "{phase}");
    }
    send.send(2).unwrap();
    assert_eq!(told.next().await, Some(2));
    // Wakes who waits.
    let waiting = tokio::spawn(async move { (told.next().await, told) });
    tokio::task::yield_now().await;
    phases.advance(Phase::Draining);
    let (last, mut told) = within("the end", waiting).await.unwrap();
    assert_eq!(last, None);
    // And stays ended.
    send.send(3).unwrap();
    assert_eq!(told.next().await, None);

    let mut late = Box::pin(phases.watch().until_drain(stream::repeat(1)));
    assert_eq!(late.next().await, None);
    let fresh = PhaseControl::new().watch();
    assert_eq!(
        fresh
            .until_drain(stream::iter([1, 2]))
            .collect::<Vec<_>>()
            .await,
        [1, 2]
    );
}

#[tokio::test]
async fn a_request_carries_the_watch_where_it_was_asked_for() {
    use http::{Request, Response};
    use tower::{Layer, ServiceExt, service_fn};
    use tower_handoff::drain_gate::DrainGateLayer;
    use tower_handoff::lifecycle::PhaseWatch;

    let phases = PhaseControl::new();
    for shown in [false, true] {
        let gate = DrainGateLayer::new(phases.watch()).with_watch(shown);
        let service = gate.layer(service_fn(|request: Request<()>| async move {
            let watch = request.extensions().get::<PhaseWatch>().copied();
            Ok::<_, std::convert::Infallible>(Response::new(format!("{watch:?}")))
        }));
        let answer = service.oneshot(Request::new(())).await.unwrap();
        use http_body_util::BodyExt;
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let expected: &[u8] = if shown {
            b"Some(PhaseWatch(Starting))"
        } else {
            b"None"
        };
        assert_eq!(body, expected);
    }
}

/// By the layer that a service has anyway.
#[tokio::test]
async fn requests_of_a_lifecycle_carry_the_watch_where_it_was_asked_for() {
    use http::{Request, Response};
    use http_body_util::Empty;
    use tower::{Layer, ServiceExt, service_fn};
    use tower_handoff::lifecycle::PhaseWatch;

    for shown in [false, true] {
        let lifecycle = super::common::quiet_builder().show_watch(shown).build();
        let lifecycle = lifecycle.unwrap();
        let handler = service_fn(async |request: Request<()>| {
            let watch = request.extensions().get::<PhaseWatch>().copied();
            let mut answer = Response::new(Empty::<bytes::Bytes>::new());
            answer.extensions_mut().insert(watch);
            Ok::<_, std::convert::Infallible>(answer)
        });
        let service = lifecycle.layer().layer(handler);
        let answer = service.oneshot(Request::new(())).await.unwrap();
        let watch = answer.extensions().get::<Option<PhaseWatch>>().unwrap();
        assert_eq!(watch.is_some(), shown);
        if let Some(watch) = watch {
            lifecycle.shutdown();
            assert_eq!(watch.current(), Phase::Settling);
        }
    }
}
