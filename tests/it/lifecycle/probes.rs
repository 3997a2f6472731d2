//! Probes answer in every phase, at once, whatever the dependencies do.

use std::future::pending;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::sleep;
use tower::ServiceExt;
use tower_handoff::health::ProbeBody;
use tower_handoff::health::ProbeService;
use tower_handoff::lifecycle::{LifecycleBuilder, LifecycleHandle, Phase};

use super::common::quiet_builder;

const SECOND: Duration = Duration::from_secs(1);

async fn ask(probes: &ProbeService, method: Method, path: &str) -> Response<ProbeBody> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(())
        .unwrap();
    let Ok(answer) = probes.clone().oneshot(request).await;
    answer
}

pub(super) async fn get(probes: &ProbeService, path: &str) -> (u16, Value) {
    let answer = ask(probes, Method::GET, path).await;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Runs it with a server that stops when told, and hands out what a test needs.
pub(super) fn start(
    builder: LifecycleBuilder,
) -> (LifecycleHandle, ProbeService, tokio::task::JoinHandle<()>) {
    let lifecycle = builder.instance_id("i-1").build().unwrap();
    let (handle, probes) = (lifecycle.handle(), lifecycle.probes().with_details(true));
    let stop = handle.stop_accepting();
    let run = tokio::spawn(async move { drop(lifecycle.run(stop).await) });
    (handle, probes, run)
}

async fn codes(probes: &ProbeService) -> [u16; 3] {
    let mut codes = [0; 3];
    for (code, path) in codes.iter_mut().zip(ProbeService::PATHS) {
        *code = get(probes, path).await.0;
    }
    codes
}

#[tokio::test(start_paused = true)]
async fn each_phase_has_its_answers() {
    let (handle, probes, run) = start(
        quiet_builder()
            .settle(SECOND)
            .hook_time(2 * SECOND)
            .on_start("warm", async {
                sleep(SECOND).await;
                Ok(())
            })
            .on_shutdown("slow", SECOND, || async {
                sleep(SECOND / 2).await;
                Ok(())
            }),
    );
    tokio::task::yield_now().await;
    let phase = async |probes| get(probes, "/ready").await.1["phase"].clone();
    assert_eq!(
        (codes(&probes).await, phase(&probes).await),
        ([200, 503, 503], json!("starting"))
    );
    handle.watch().reached(Phase::Ready).await;
    assert_eq!(
        (codes(&probes).await, phase(&probes).await),
        ([200, 200, 200], json!("ready"))
    );
    let request = handle.in_flight().token();
    handle.shutdown();
    // At once, before `run` has even been polled.
    assert_eq!(
        (codes(&probes).await, phase(&probes).await),
        ([200, 503, 200], json!("settling"))
    );
    let (_, body) = get(&probes, "/ready").await;
    let expected = json!({
        "status": "fail", "phase": "settling", "instance": "i-1", "checks": {},
        "output": "the instance is settling",
    });
    assert_eq!(body, expected);
    handle.watch().reached(Phase::Draining).await;
    assert_eq!(
        (codes(&probes).await, phase(&probes).await),
        ([200, 503, 200], json!("draining"))
    );
    drop(request);
    handle.watch().reached(Phase::Stopping).await;
    assert_eq!(
        (codes(&probes).await, phase(&probes).await),
        ([200, 503, 200], json!("stopping"))
    );
    run.await.unwrap();
    assert_eq!(
        (codes(&probes).await, phase(&probes).await),
        ([200, 503, 200], json!("stopping"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_forced_end_has_its_answers_too() {
    let lifecycle = quiet_builder().build().unwrap();
    let (handle, probes) = (lifecycle.handle(), lifecycle.probes().with_details(true));
    let run = tokio::spawn(lifecycle.run(pending::<()>()));
    handle.watch().reached(Phase::Ready).await;
    handle.shutdown();
    handle.watch().reached(Phase::Forcing).await;
    let (code, body) = get(&probes, "/ready").await;
    assert_eq!(
        (handle.phase(), code, &body["phase"]),
        (Phase::Forcing, 503, &json!("draining"))
    );
    assert_eq!(codes(&probes).await, [200, 503, 200]);
    run.await.unwrap();
}

#[tokio::test]
async fn methods_paths_and_headers() {
    let lifecycle = quiet_builder().instance_id("i-1").build().unwrap();
    let probes = lifecycle.probes();
    for path in ["/health", "/health?full=1", "/ready", "/startup"] {
        let whole = ask(&probes, Method::GET, path).await;
        assert_eq!(
            whole.headers()[header::CONTENT_TYPE],
            "application/health+json"
        );
        assert_eq!(whole.headers()[header::CACHE_CONTROL], "no-store");
        let head = ask(&probes, Method::HEAD, path).await;
        assert_eq!(
            (head.status(), head.headers()),
            (whole.status(), whole.headers())
        );
        let body = whole.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            head.headers()[header::CONTENT_LENGTH],
            body.len().to_string()
        );
        assert!(
            head.into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .is_empty()
        );
    }
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
    ] {
        let answer = ask(&probes, method, "/ready").await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()[header::ALLOW], "GET, HEAD");
    }
    for path in ["/", "/healthz", "/health/", "/READY"] {
        assert_eq!(
            ask(&probes, Method::GET, path).await.status(),
            StatusCode::NOT_FOUND
        );
    }
    assert_eq!(lifecycle.in_flight().count(), 0);
}
