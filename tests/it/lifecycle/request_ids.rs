//! Who is stuck is named by what it calls itself, where that was asked for.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderName, Request, Response};
use http_body_util::Full;
use tokio::io::AsyncWriteExt;
use tower::{Layer, Service, service_fn};
use tower_handoff::in_flight::{InFlight, InFlightLayer};
use tower_handoff::lifecycle::{Lifecycle, Outcome};
use tracing::Level;

use super::common::{Client, eventually, quiet_builder, request};
use super::instance::{Instance, SERVERS};
use crate::support::log::Log;

const SECOND: Duration = Duration::from_secs(1);

fn never(_: Request<()>) -> impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> {
    pending()
}

fn with_id(header: &str) -> Request<()> {
    Request::get("/a")
        .header(header, "7f3c\"9 x")
        .body(())
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn status_warning_and_report_name_it() {
    let (log, _guard) = Log::of_this_thread(Level::WARN);
    let builder = quiet_builder().grace(20 * SECOND).hook_time(6 * SECOND);
    let lifecycle = builder.request_id_header("X-Request-Id").build().unwrap();
    let handle = lifecycle.handle();
    let mut app = lifecycle.layer().layer(service_fn(never));
    let mut named = Box::pin(app.call(with_id("x-request-id")));
    let mut silent = Box::pin(app.call(request()));
    assert!(named.as_mut().now_or_never().is_none() && silent.as_mut().now_or_never().is_none());
    let ids = |list: &[tower_handoff::lifecycle::Unfinished]| {
        let id = |one: &tower_handoff::lifecycle::Unfinished| one.request_id.clone();
        list.iter().map(id).collect::<Vec<_>>()
    };
    let status = handle.status();
    assert_eq!(ids(&status.requests), [Some("7f3c\"9_x".into()), None]);
    let json = serde_json::to_value(&status.requests).unwrap();
    assert_eq!(json[0]["request_id"], "7f3c\"9_x");
    assert!(json[1].get("request_id").is_none(), "{json}");
    handle.shutdown();
    let report = lifecycle.run(handle.stop_accepting()).await;
    assert_eq!(report.outcome, Outcome::Forced);
    assert_eq!(ids(&report.aborted), [Some("7f3c\"9_x".into()), None]);
    let text = log.text();
    let lines = text.lines().filter(|line| line.contains("7f3c\\\"9_x"));
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[0].contains("half of the drain's time is over"),
        "{text}"
    );
    assert!(lines[1].contains("the drain's time is over"), "{text}");
}

/// Neither the header's value nor an allocation for it.
#[tokio::test]
async fn nothing_is_shown_that_was_not_asked_for() {
    let in_flight = InFlight::new();
    let plain = InFlightLayer::new(in_flight);
    let other = plain
        .clone()
        .with_request_id(HeaderName::from_static("x-trace"));
    let both = other.clone().with_paths(true);
    let mut held = Vec::new();
    let mut list = |layer: &InFlightLayer, header: &str| {
        let mut call = Box::pin(layer.layer(service_fn(never)).call(with_id(header)));
        assert!(call.as_mut().now_or_never().is_none());
        held.push(call);
        let last = in_flight.requests().pop().unwrap();
        (last.path, last.request_id)
    };
    assert_eq!(list(&plain, "x-request-id"), (None, None));
    assert_eq!(list(&other, "x-request-id"), (None, None));
    assert_eq!(list(&other, "x-trace"), (None, Some("7f3c\"9_x".into())));
    let path = Some("/a".to_owned());
    assert_eq!(
        list(&both, "x-trace"),
        (path.clone(), Some("7f3c\"9_x".into()))
    );
    assert_eq!(list(&both, "x-request-id"), (path, None));
}

#[test]
fn a_name_that_no_header_can_have_is_refused() {
    for (name, fits) in [
        ("x-request-id", true),
        ("Traceparent", true),
        ("", false),
        ("x id", false),
    ] {
        let built = quiet_builder().request_id_header(name).build();
        assert_eq!(built.is_ok(), fits, "{name:?}");
        if let Err(error) = built {
            assert_eq!((error.option(), error.value()), ("request_id_header", name));
            assert!(error.accepted().contains("a header's name"), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_server_it_is_bounded_and_visible() {
    let routes = |_: &Lifecycle| Router::new().route("/never", get(pending::<&str>));
    for server in SERVERS {
        let builder = quiet_builder()
            .grace(SECOND)
            .request_id_header("x-request-id");
        let instance = Instance::start_with(server, builder, routes).await;
        let mut client = Client::connect(instance.address).await;
        let long = "\u{e9}".repeat(100);
        let head = format!("GET /never HTTP/1.1\r\nHost: x\r\nX-Request-Id: {long}\r\n\r\n");
        client.tcp.write_all(head.as_bytes()).await.unwrap();
        let in_flight = instance.handle.in_flight();
        eventually("it is under way", async || in_flight.count() == 1).await;
        instance.handle.shutdown();
        let report = instance.report().await;
        let id = report.aborted[0].request_id.as_deref();
        assert_eq!(id, Some("_".repeat(64).as_str()), "{report:?}");
    }
}
