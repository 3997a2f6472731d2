//! In-flight tracking: one request through a service that answers at once, its body read to the end.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, service_fn};

use crate::Error;
use crate::measure::{Series, header, row};

/// Rounds are short and many: what else the machine does then falls on all of one round alike.
const REQUESTS: u32 = 20_000;
const ROUNDS: usize = 151;

/// Polls by hand: no runtime between the figures.
fn drive<S, B>(service: &mut S)
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
    let mut future = pin!(service.call(Request::new(())));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else {
        panic!("not at once")
    };
    let mut body = pin!(response.into_body().collect());
    assert!(matches!(body.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
}

fn nanoseconds<S, B>(threads: usize, service: S) -> f64
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible> + Clone + Send,
    B: http_body::Body<Data = Bytes>,
{
    let barrier = Barrier::new(threads);
    let work = &|mut service: S| {
        // Not the time that it takes to start threads.
        barrier.wait();
        let start = Instant::now();
        for _ in 0..REQUESTS {
            drive(black_box(&mut service));
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(REQUESTS)
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| service.clone())
            .map(|service| scope.spawn(move || work(service)))
            .collect();
        let times = running.into_iter().filter_map(|thread| thread.join().ok());
        times.fold(0.0, f64::max)
    })
}

pub fn run() -> Result<(), Error> {
    let bare = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
    });
    let names = [
        "nothing",
        "tower-handoff, list of requests",
        "tower-handoff, count only",
        "tower-http",
        "tokio-util TaskTracker token",
        "tower-handoff, drain gate",
        "tower-handoff, count only and drain gate",
    ];
    // One a process: its memory is never given back.
    let in_flight = tower_handoff::InFlight::new();
    let phase = tower_handoff::lifecycle::PhaseControl::new();
    phase.advance(tower_handoff::Phase::Ready);
    println!("\n## In-flight tracking, {ROUNDS} rounds, interleaved\n");
    header(&[
        "threads",
        "layer",
        "ns a request (median)",
        "spread",
        "added within a round (median)",
    ]);
    for threads in [1, 2] {
        let mut series = vec![Series::default(); names.len()];
        let mut added = vec![Series::default(); names.len()];
        for _ in 0..ROUNDS {
            let tracker = tokio_util::task::TaskTracker::new();
            let tracked = service_fn(move |request: Request<()>| {
                let token = tracker.token();
                async move {
                    let _token = token;
                    let _ = request;
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
                }
            });
            let handoff = tower_handoff::InFlightLayer::new(in_flight);
            let (tower_http, _counter) = tower_http::metrics::InFlightRequestsLayer::pair();
            let counting = handoff.clone().with_list(false);
            let gate = tower_handoff::DrainGateLayer::new(phase.watch());
            let round = [
                nanoseconds(threads, bare),
                nanoseconds(threads, handoff.layer(bare)),
                nanoseconds(threads, counting.layer(bare)),
                nanoseconds(threads, tower_http.layer(bare)),
                nanoseconds(threads, tracked),
                nanoseconds(threads, gate.layer(bare)),
                nanoseconds(threads, counting.layer(gate.layer(bare))),
            ];
            for (one, took) in round.into_iter().enumerate() {
                series[one].push(took);
                added[one].push(took - round[0]);
            }
        }
        for ((name, one), added) in names.iter().zip(&series).zip(&added) {
            row(&[
                threads.to_string(),
                (*name).to_owned(),
                format!("{:.1}", one.median()),
                one.spread(),
                format!("{:+.1}", added.median()),
            ]);
        }
    }
    println!("\nOnly tower-handoff's can be waited for at zero and names what is stuck.");
    Ok(())
}
