//! What tracking and the gate add to a request: against nothing, on one thread and on two.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::{Layer, Service};
use tower_handoff::drain_gate::DrainGateLayer;
use tower_handoff::in_flight::{InFlight, InFlightLayer};
use tower_handoff::lifecycle::PhaseControl;

/// The cheapest service there is.
#[derive(Clone)]
struct Bare;

impl Service<Request<()>> for Bare {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(Full::new(Bytes::from_static(b"x")))))
    }
}

/// One request, from the call to the end of its body.
fn serve<S, B>(service: &mut S)
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    B: Body,
{
    let mut cx = Context::from_waker(Waker::noop());
    let call = pin!(service.call(Request::new(())));
    if let Poll::Ready(Ok(response)) = call.poll(&mut cx) {
        let body = pin!(response.into_body());
        let _ = black_box(body.poll_frame(&mut cx).is_ready());
    }
}

/// Measures `work` on one thread and on two at once, each with a copy of its own.
fn measure<W: FnMut()>(c: &mut Criterion, name: &str, make: impl Fn() -> W + Sync) {
    for threads in [1, 2] {
        c.bench_function(&format!("in_flight/{name}/threads={threads}"), |b| {
            b.iter_custom(|iterations| {
                let barrier = Barrier::new(threads);
                let run = || {
                    let mut work = make();
                    barrier.wait();
                    let begun = tokio::time::Instant::now();
                    (0..iterations).for_each(|_| work());
                    begun.elapsed()
                };
                std::thread::scope(|scope| {
                    let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
                    let times = running.into_iter().filter_map(|thread| thread.join().ok());
                    times.max().unwrap_or(Duration::ZERO)
                })
            });
        });
    }
}

fn in_flight(c: &mut Criterion) {
    let in_flight = InFlight::new();
    let gate = DrainGateLayer::new(PhaseControl::new().watch());
    let counting = InFlightLayer::new(in_flight).with_list(false);
    let listing = InFlightLayer::new(in_flight);

    measure(c, "token", || move || drop(black_box(in_flight.token())));
    measure(c, "nothing", || {
        let mut service = Bare;
        move || serve(&mut service)
    });
    measure(c, "counted", || {
        let mut service = counting.layer(Bare);
        move || serve(&mut service)
    });
    measure(c, "counted and gated", || {
        let mut service = counting.layer(gate.layer(Bare));
        move || serve(&mut service)
    });
    measure(c, "listed", || {
        let mut service = listing.layer(Bare);
        move || serve(&mut service)
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = in_flight
}
criterion_main!(benches);
