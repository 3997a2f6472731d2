//! WebSockets of a real client, over HTTP/1 and as streams of HTTP/2, through a whole shutdown.

use std::time::Duration;

use axum::body::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tower_handoff::lifecycle::{LifecycleBuilder, Outcome, ServerOutcome, Stage};

use super::common::{eventually, quiet_builder, within};
use super::instance::{Instance, SERVERS};
use crate::support::stalls::undisturbed;

/// None of these drains comes to its end by time.
fn patient() -> LifecycleBuilder {
    quiet_builder().grace(Duration::from_secs(90))
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}
type Socket = WebSocketStream<Box<dyn Io>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Http {
    One,
    Two,
}

async fn open(http: Http, instance: &Instance, path: &str) -> Socket {
    let tcp = TcpStream::connect(instance.address).await.unwrap();
    let uri = format!("{}{path}", instance.address);
    if http == Http::One {
        let io: Box<dyn Io> = Box::new(tcp);
        let shaken = client_async(format!("ws://{uri}"), io);
        return within("the handshake", shaken).await.unwrap().0;
    }
    let mut client = connect_http2(tcp).await;
    // With this answer come the server's settings, without which there is no extended CONNECT.
    let get = Request::get(format!("http://{}/", instance.address));
    let first = client.send_request(get.body(Empty::new()).unwrap());
    within("the first answer", first).await.unwrap();
    let connect = Request::connect(format!("http://{uri}"))
        .extension(Protocol::from_static("websocket"))
        .header(header::SEC_WEBSOCKET_VERSION, "13");
    let answer = client.send_request(connect.body(Empty::new()).unwrap());
    let answer = within("the answer", answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    let upgraded: Upgraded = within("the stream", hyper::upgrade::on(answer))
        .await
        .unwrap();
    let io: Box<dyn Io> = Box::new(TokioIo::new(upgraded));
    WebSocketStream::from_raw_socket(io, Role::Client, None).await
}

async fn connect_http2(tcp: TcpStream) -> SendRequest<Empty<Bytes>> {
    let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(tcp));
    let (client, connection) = within("the handshake", shaken).await.unwrap();
    tokio::spawn(connection);
    client
}

fn goodbye() -> Message {
    Message::Close(Some(CloseFrame {
        code: CloseCode::Away,
        reason: "draining".into(),
    }))
}

async fn hear(socket: &mut Socket) -> Option<Result<Message, Error>> {
    within("a message", socket.next()).await
}

/// The request is over when its stream or its connection is somebody else's.
async fn nothing_is_in_flight(instance: &Instance) {
    let in_flight = instance.handle.in_flight();
    eventually("no request", async || in_flight.is_idle()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hears_1001_when_draining_begins_and_the_drain_waits_for_its_answer() {
    for http in [Http::One, Http::Two] {
        for server in SERVERS {
            let instance = Instance::start(server, patient()).await;
            let mut socket = open(http, &instance, "/ws").await;
            socket.send("hello".into()).await.unwrap();
            assert_eq!(hear(&mut socket).await.unwrap().unwrap(), "hello".into());
            nothing_is_in_flight(&instance).await;
            instance.handle.shutdown();
            assert_eq!(hear(&mut socket).await.unwrap().unwrap(), goodbye());
            // It has not answered: that goes out with the next look.
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(!instance.run.is_finished(), "{http:?} {server:?}");
            let end = hear(&mut socket).await;
            // A stream of HTTP/2 may be reset when both have said goodbye, without an error's code.
            let reset = matches!(&end, Some(Err(Error::Io(_)))) && http == Http::Two;
            assert!(end.is_none() || reset, "{http:?} {server:?} {end:?}");
            let report = instance.report().await;
            assert_eq!(
                (report.outcome, &report.server, &report.aborted[..]),
                (Outcome::Clean, &ServerOutcome::Done, &[][..]),
                "{http:?} {server:?}"
            );
            assert!(report.took < Duration::from_secs(30), "{report:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_never_answer_the_goodbye_do_not_hold_the_drain() {
    for http in [Http::One, Http::Two] {
        for server in SERVERS {
            let instance = Instance::start(server, patient()).await;
            let mut silent = open(http, &instance, "/brief").await;
            let mut talks = open(http, &instance, "/brief").await;
            talks.send("hello".into()).await.unwrap();
            assert_eq!(hear(&mut talks).await.unwrap().unwrap(), "hello".into());
            nothing_is_in_flight(&instance).await;
            instance.handle.shutdown();
            assert_eq!(hear(&mut silent).await.unwrap().unwrap(), goodbye());
            // Frames of its own making, for tungstenite would send its close in front of them.
            let frame = [0x81, 0x80, 0, 0, 0, 0];
            let talking = async { while talks.get_mut().write_all(&frame).await.is_ok() {} };
            let (report, ()) = tokio::join!(instance.report(), within("its end", talking));
            assert_eq!(
                (report.outcome, &report.server, &report.aborted[..]),
                (Outcome::Clean, &ServerOutcome::Done, &[][..]),
                "{http:?} {server:?}"
            );
            assert!(report.took < Duration::from_secs(30), "{report:?}");
            drop(silent);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_whose_handler_is_not_told_is_cut_off_with_its_connection_of_http2() {
    for server in SERVERS {
        let cut_off = async || {
            // A second of drain, and one to wind up in.
            let [grace, hooks] = [20, 18].map(Duration::from_secs);
            let builder = quiet_builder().grace(grace).hook_time(hooks);
            let instance = Instance::start(server, builder).await;
            let mut socket = open(Http::Two, &instance, "/deaf").await;
            socket.send("hello".into()).await.unwrap();
            assert_eq!(hear(&mut socket).await.unwrap().unwrap(), "hello".into());
            nothing_is_in_flight(&instance).await;
            let handle = instance.handle.clone();
            handle.shutdown();
            let report = instance.report().await;
            let heard = hear(&mut socket).await;
            (report, heard, handle.status())
        };
        let (report, heard, status) = undisturbed(cut_off).await;
        assert_eq!(
            (report.outcome, &report.server),
            (Outcome::Forced, &ServerOutcome::Done),
            "{server:?} {report:?}"
        );
        let stages: Vec<_> = report.aborted.iter().map(|one| one.stage).collect();
        assert_eq!(stages, [Stage::Http2], "{report:?}");
        // Without a goodbye, so it does not look like one.
        assert!(matches!(heard, Some(Err(_))), "{heard:?}");
        assert_eq!(
            (status.in_flight, status.upgraded, status.connections.len()),
            (0, 0, 0)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_sent_events_over_http2_end_with_the_last_word() {
    for server in SERVERS {
        let instance = Instance::start(server, patient()).await;
        let tcp = TcpStream::connect(instance.address).await.unwrap();
        let mut client = connect_http2(tcp).await;
        let get = Request::get(format!("http://{}/events", instance.address));
        let answer = client.send_request(get.body(Empty::new()).unwrap());
        let mut events = within("the events", answer).await.unwrap().into_body();
        let first = within("an event", events.frame()).await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "data: tick\n\n");
        let [listed] = &instance.handle.status().requests[..] else {
            panic!("{:?}", instance.handle.status());
        };
        assert_eq!(listed.stage, Stage::Body);

        instance.handle.shutdown();
        let rest = within("the end", events.collect()).await.unwrap();
        let rest = String::from_utf8(rest.to_bytes().to_vec()).unwrap();
        assert!(rest.ends_with("event: bye\n\n"), "{rest}");
        let handle = instance.handle.clone();
        let report = instance.report().await;
        assert_eq!(
            (report.outcome, report.completed, report.in_flight_at_signal),
            (Outcome::Clean, 1, 1)
        );
        assert!(handle.in_flight().is_idle());
    }
}
