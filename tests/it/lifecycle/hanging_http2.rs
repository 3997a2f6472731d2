//! What would hold a server for ever on HTTP/2 ends at the deadline as well, and is named.

use std::time::Duration;

use axum::body::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tower_handoff::lifecycle::{Outcome, ServerOutcome, Stage};

use super::common::{eventually, quiet_builder, within};
use super::instance::{Instance, LARGE, SERVERS};

/// A connection, and its end.
async fn connect(
    instance: &Instance,
) -> (SendRequest<Empty<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let tcp = TcpStream::connect(instance.address).await.unwrap();
    let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(tcp));
    let (client, connection) = within("the handshake", shaken).await.unwrap();
    (client, tokio::spawn(connection))
}

fn get(instance: &Instance, path: &str) -> Request<Empty<Bytes>> {
    let uri = format!("http://{}{path}", instance.address);
    Request::get(uri).body(Empty::new()).unwrap()
}

/// All there is of a body, and whether it ended well.
async fn read(answer: Response<Incoming>) -> (usize, bool) {
    let mut body = answer.into_body();
    let mut length = 0;
    while let Some(frame) = within("a frame", body.frame()).await {
        match frame {
            Ok(frame) => length += frame.into_data().map_or(0, |data| data.len()),
            Err(_) => return (length, false),
        }
    }
    (length, true)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_http2_is_named_and_ends_at_the_deadline() {
    for server in SERVERS {
        // A second of drain, and a margin that a busy machine can wind up in.
        let [grace, hooks] = [20, 18].map(Duration::from_secs);
        let builder = quiet_builder().grace(grace).hook_time(hooks);
        let instance = Instance::start(server, builder).await;
        let (mut busy, busy_end) = connect(&instance).await;
        let never = tokio::spawn(busy.send_request(get(&instance, "/never")));
        let events = within("the events", busy.send_request(get(&instance, "/endless")));
        let events = tokio::spawn(read(events.await.unwrap()));
        let (mut stalled, stalled_end) = connect(&instance).await;
        let large = within("the head", stalled.send_request(get(&instance, "/large")));
        let large = large.await.unwrap();
        assert_eq!(large.status(), StatusCode::OK);
        let handle = instance.handle.clone();
        // For the layers the large answer is over when the server has it.
        eventually("the handler and the events", async || {
            let status = handle.status();
            let mut stages: Vec<_> = status
                .requests
                .iter()
                .map(|one| one.stage.as_str())
                .collect();
            stages.sort_unstable();
            stages == ["body", "handler"]
        })
        .await;
        handle.shutdown();

        let report = instance.report().await;
        assert_eq!((report.outcome, report.exit_status()), (Outcome::Forced, 1));
        // It ended by itself, because all its connections had.
        assert_eq!(report.server, ServerOutcome::Done, "{report:?}");
        let named = report
            .aborted
            .iter()
            .map(|one| (one.stage.as_str(), one.route.as_deref()));
        let mut named: Vec<_> = named.collect();
        named.sort_unstable();
        let http2 = (Stage::Http2.as_str(), None);
        let expected = [
            ("body", Some("/endless")),
            ("handler", Some("/never")),
            http2,
            http2,
        ];
        assert_eq!(named, expected, "{server:?} {report:?}");

        // None of them looks whole.
        assert!(within("never", never).await.unwrap().is_err());
        let (length, whole) = within("the events", events).await.unwrap();
        assert!(length > 0 && !whole);
        let (length, whole) = read(large).await;
        assert!(length < LARGE && !whole);
        for connection in [busy_end, stalled_end] {
            let _ = within("the connection", connection).await.unwrap();
        }
        let idle = async || handle.in_flight().is_idle();
        eventually("nothing is in flight", idle).await;
    }
}
