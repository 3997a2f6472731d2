//! Many threads come and go; zero means zero, and nobody slips past the drain.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_handoff::drain_gate::DrainGateLayer;
use tower_handoff::in_flight::{InFlight, InFlightLayer};
use tower_handoff::lifecycle::{Phase, PhaseControl};

use super::common::{request, within};

/// Small and fast; only variety matters.
pub(crate) fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

pub(crate) const TASKS: u64 = 8;

pub(crate) fn cancellations_a_task() -> u64 {
    match std::env::var_os("TOWER_HANDOFF_LONG") {
        Some(_) => 1_000_000 / TASKS,
        None => 100_000 / TASKS,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancellations_at_any_point_end_at_zero() {
    let in_flight = InFlight::new();
    let mut runs = Vec::new();
    for run in 1..=TASKS {
        let layer = InFlightLayer::new(in_flight);
        runs.push(tokio::spawn(async move {
            let mut seed = run * 7919;
            let mut service = layer.layer(service_fn(|_: Request<()>| async {
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("x"))))
            }));
            for _ in 0..cancellations_a_task() {
                let mut call = Box::pin(service.ready().await.unwrap().call(request()));
                match next(&mut seed) % 6 {
                    0 => drop(call),
                    1 => drop(call.as_mut().now_or_never()),
                    // On another thread, where its token is given back to another's shard.
                    2 => drop(tokio::spawn(call)),
                    3 => {
                        let task = tokio::spawn(call);
                        tokio::task::yield_now().await;
                        task.abort();
                    }
                    4 => drop(call.await.unwrap()),
                    _ => drop(call.await.unwrap().into_body().collect().await),
                }
            }
        }));
    }
    for run in runs {
        run.await.unwrap();
    }
    within("the count comes to zero", in_flight.idle()).await;
    assert_eq!(in_flight.count(), 0);
    assert!(in_flight.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn once_the_drain_has_seen_zero_no_handler_begins() {
    for _ in 0..300 {
        let phases = PhaseControl::new();
        let in_flight = InFlight::new();
        let begun = Arc::new(AtomicU64::new(0));
        let counter = begun.clone();
        let service = ServiceBuilder::new()
            .layer(InFlightLayer::new(in_flight))
            // Time for the drain to begin and end between the two; in the wrong order it does.
            .map_request(|request: Request<()>| {
                std::thread::yield_now();
                request
            })
            .layer(DrainGateLayer::new(phases.watch()))
            .service(service_fn(move |_: Request<()>| {
                counter.fetch_add(1, SeqCst);
                async {
                    tokio::task::yield_now().await;
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
                }
            }));
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let mut service = service.clone();
                tokio::spawn(async move {
                    let mut refused = 0;
                    while refused < 3 {
                        let answer = service
                            .ready()
                            .await
                            .unwrap()
                            .call(request())
                            .await
                            .unwrap();
                        refused += u32::from(answer.status() == 503);
                    }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        phases.advance(Phase::Draining);
        within("the drain", in_flight.idle()).await;
        let seen = begun.load(SeqCst);
        for client in clients {
            client.await.unwrap();
        }
        assert_eq!(
            begun.load(SeqCst),
            seen,
            "a handler began after the drain had seen zero"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_departure_is_missed_by_who_waits() {
    let in_flight = InFlight::new();
    for _ in 0..2000 {
        let token = in_flight.token();
        let leaving = tokio::spawn(async move { drop(token) });
        let idle = tokio::time::timeout(Duration::from_secs(20), in_flight.idle());
        idle.await.expect("a lost wake-up");
        leaving.await.unwrap();
    }
}
