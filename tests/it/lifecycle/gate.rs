//! The gate lets everything in before the drain and turns everything away after.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Empty};
use tokio::sync::oneshot;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_handoff::drain_gate::DrainGateLayer;
use tower_handoff::lifecycle::{Phase, PhaseControl};
use tower_handoff::{Reason, Refusal, Responder};

use super::common::{hello, request};

fn of_version(version: Version) -> Request<()> {
    let mut request = request();
    *request.version_mut() = version;
    request
}

#[tokio::test]
async fn each_phase_has_its_answer_on_each_version() {
    let closes = [Version::HTTP_10, Version::HTTP_11];
    for version in [
        Version::HTTP_10,
        Version::HTTP_11,
        Version::HTTP_2,
        Version::HTTP_3,
    ] {
        let close = closes.contains(&version).then_some("close");
        let phases = PhaseControl::new();
        let mut service = DrainGateLayer::new(phases.watch()).layer(service_fn(hello));
        for (phase, status, connection) in [
            (Phase::Starting, 200, None),
            (Phase::Ready, 200, None),
            (Phase::Settling, 200, close),
            (Phase::Draining, 503, close),
            (Phase::Forcing, 503, close),
            (Phase::Stopping, 503, close),
            (Phase::Stopped, 503, close),
        ] {
            phases.advance(phase);
            let ready = service.ready().await.unwrap();
            let answer = ready.call(of_version(version)).await.unwrap();
            assert_eq!(answer.status(), status, "{version:?} {phase}");
            let sent = answer.headers().get(header::CONNECTION);
            assert_eq!(
                sent.map(HeaderValue::as_bytes),
                connection.map(str::as_bytes)
            );
            assert_eq!(
                answer.headers().contains_key(header::RETRY_AFTER),
                status == 503
            );
        }
    }
}

#[tokio::test]
async fn a_request_that_was_let_in_is_answered_with_the_hint_when_the_drain_has_begun() {
    let phases = PhaseControl::new();
    let (finish, finished) = oneshot::channel::<()>();
    let mut finished = Some(finished);
    let mut service = DrainGateLayer::new(phases.watch()).layer(service_fn(move |_| {
        let finished = finished.take().unwrap();
        async move {
            finished.await.unwrap();
            hello(request()).await
        }
    }));
    let call = tokio::spawn(service.ready().await.unwrap().call(request()));
    phases.advance(Phase::Draining);
    finish.send(()).unwrap();
    let answer = call.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[header::CONNECTION], "close");
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
}

#[tokio::test]
async fn an_upgrade_keeps_its_connection_header() {
    let phases = PhaseControl::new();
    phases.advance(Phase::Settling);
    let service = DrainGateLayer::new(phases.watch()).layer(service_fn(|_: Request<()>| async {
        let answer = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(header::CONNECTION, "upgrade")
            .body(Empty::<bytes::Bytes>::new());
        Ok::<_, Infallible>(answer.unwrap())
    }));
    let answer = service.oneshot(request()).await.unwrap();
    assert_eq!(answer.headers()[header::CONNECTION], "upgrade");
}

#[tokio::test]
async fn who_is_turned_away_is_told_why_and_when_to_come_back() {
    let phases = PhaseControl::new();
    phases.advance(Phase::Draining);
    let layer = DrainGateLayer::new(phases.watch());
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let retry = std::time::Duration::from_secs(4);
        let service = layer
            .clone()
            .with_retry_after(retry)
            .layer(service_fn(hello));
        let answer = service.oneshot(request()).await.unwrap();
        let refusal = *answer.extensions().get::<Refusal>().unwrap();
        assert_eq!(refusal.reason, Reason::Draining);
        seen.insert(refusal.retry_after_secs().unwrap());
        let problem = answer.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&problem).unwrap();
        assert_eq!(problem["type"], "urn:tower-handoff:draining");
    }
    assert!(seen.len() > 1 && *seen.first().unwrap() >= 4 && *seen.last().unwrap() <= 8);

    let teapot = Responder::new(|_| {
        let mut answer = Response::new("short and stout".into());
        *answer.status_mut() = StatusCode::IM_A_TEAPOT;
        answer
    });
    let service = layer.with_responder(teapot).layer(service_fn(hello));
    let answer = service.oneshot(request()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(answer.headers()[header::CONNECTION], "close");
}

/// As gRPC says it: an answer without a body, whose type is part of what it says.
#[tokio::test]
async fn an_answer_without_a_body_keeps_its_type_on_http2() {
    let phases = PhaseControl::new();
    phases.advance(Phase::Draining);
    let unavailable = Responder::new(|_| {
        let head = Response::builder().header(header::CONTENT_TYPE, "application/grpc");
        head.header("grpc-status", 14).body(Bytes::new()).unwrap()
    });
    let gate = DrainGateLayer::new(phases.watch()).with_responder(unavailable);
    let service = gate.layer(service_fn(hello));
    let answer = service.oneshot(of_version(Version::HTTP_2)).await.unwrap();
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/grpc");
    assert_eq!(answer.headers()["grpc-status"], "14");
}
