//! What only shows when the process is about to end, or without a server: a recorder of the
//! thread's own, on a runtime of one thread.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{Layer, ServiceExt, service_fn};
use tower_handoff::lock::{LockKey, LockLayer, MemoryLocks, OnUnavailable};
use tower_handoff::redis::RedisHandle;
use tower_handoff::{Lifecycle, telemetry};

use super::scrape::Scrape;
use crate::support::lock_paths::each_way;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

/// All that `work` records.
pub(super) fn recorded(work: impl Future<Output = ()>) -> Scrape {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    metrics::with_local_recorder(&recorder, || {
        telemetry::describe();
        runtime.block_on(work);
    });
    Scrape::read(&recorder.handle().render())
}

#[test]
fn a_forced_end_tells_who_was_served_from_who_was_cut_off() {
    let scrape = recorded(async {
        let lifecycle = Lifecycle::builder()
            .grace(Duration::from_millis(400))
            .settle(Duration::ZERO)
            .signals(false)
            .on_shutdown("well", Duration::from_millis(50), async || Ok(()))
            .on_shutdown(
                "badly",
                Duration::from_millis(50),
                async || Err("no".into()),
            )
            .build()
            .expect("it fits");
        let quick =
            service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
        let quick = lifecycle.layer().layer(quick);
        for _ in 0..3 {
            let answer = quick.clone().oneshot(Request::new(Body::empty())).await;
            drop(answer);
        }
        let stuck = service_fn(async |_: Request<Body>| {
            std::future::pending::<()>().await;
            Ok::<_, Infallible>(Response::new(Body::empty()))
        });
        let short = lifecycle.finish_within(Duration::ZERO).layer(stuck);
        let short = lifecycle.layer().layer(short);
        let short = short.oneshot(Request::new(Body::empty()));
        let stuck = lifecycle.layer().layer(stuck);
        let stuck = [stuck.clone(), stuck].map(|s| s.oneshot(Request::new(Body::empty())));
        let handle = lifecycle.handle();
        handle.spawn("endless", std::future::pending());
        let server = async move {
            handle.shutdown();
            // Its answer is dropped at once.
            let short = async { drop(short.await) };
            let _ = futures_util::future::join(short, futures_util::future::join_all(stuck)).await;
        };
        let report = lifecycle.run(server).await;
        assert_eq!(report.aborted.len(), 3, "{report:?}");
    });
    scrape.is(&[
        ("requests_total{outcome=\"served\"}", 3.0),
        ("requests_total{outcome=\"rejected\"}", 0.0),
        ("requests_total{outcome=\"overran\"}", 1.0),
        ("requests_total{outcome=\"aborted\"}", 2.0),
        ("tasks_aborted_total", 1.0),
        ("hooks_total{outcome=\"done\"}", 1.0),
        ("hooks_total{outcome=\"failed\"}", 1.0),
        ("hooks_total{outcome=\"timed_out\"}", 0.0),
        ("grace_seconds", 0.4),
    ]);
    assert!(scrape.value("drain_seconds") > 0.0);
}

#[test]
fn a_request_that_passes_without_its_lock_is_counted() {
    let scrape = recorded(async {
        // Nobody listens there.
        let redis = RedisHandle::connect("redis://127.0.0.1:1").expect("well-formed");
        let key = LockKey::new("till-7").expect("short");
        let layer = LockLayer::new(redis.locks(), key)
            .with_name("pay")
            .with_on_unavailable(OnUnavailable::Pass);
        let service = layer.layer(service_fn(async |_: Request<Body>| {
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }));
        let request = Request::post("/").body(Body::empty()).expect("well-formed");
        let Ok(answer) = service.oneshot(request).await;
        assert_eq!(answer.status(), 200);
    });
    scrape.is(&[
        (
            "lock_unguarded_total{lock=\"pay\",reason=\"unavailable\"}",
            1.0,
        ),
        (
            "lock_unguarded_total{lock=\"pay\",reason=\"key_missing\"}",
            0.0,
        ),
        (
            "lock_acquires_total{lock=\"pay\",outcome=\"unavailable\"}",
            1.0,
        ),
        ("redis_up", 0.0),
        ("redis_outages_total{cause=\"unreachable\"}", 1.0),
    ]);
}

#[test]
fn locks_are_counted_by_how_they_came_in_memory_and_in_redis() {
    let server = RedisServer::start();
    let scrapes = [
        recorded(async {
            each_way(MemoryLocks::new(), "till").await;
        }),
        recorded(async {
            let redis = patient(&server.url());
            each_way(redis.locks(), "till").await;
        }),
    ];
    for scrape in scrapes {
        scrape.is(&[
            ("lock_grants_total{lock=\"till\",path=\"free\"}", 1.0),
            ("lock_grants_total{lock=\"till\",path=\"queued\"}", 1.0),
            ("lock_grants_total{lock=\"till\",path=\"local\"}", 1.0),
            (
                "lock_acquires_total{lock=\"till\",outcome=\"acquired\"}",
                3.0,
            ),
            ("lock_waits_total{lock=\"till\"}", 2.0),
        ]);
    }
}
